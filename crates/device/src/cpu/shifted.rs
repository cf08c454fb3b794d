//! Convolutions with stride 1, without packing patches: each kernel tap reads the same padded copy of the image, shifted.
//!
//! Outputs are computed over rows as wide as the padded image; the few columns past the real width are thrown away.

use super::tile::{COLUMNS, ROWS};
use crate::Affine;
use crate::kernels::Contraction;

/// How a contraction's B is an image seen through shifts.
pub(super) struct Shifted {
    /// Output rows and columns, and the extents of the padded image.
    height: usize,
    width: usize,
    padded: [usize; 2],
    /// Least coordinates that any tap reads.
    low: [i64; 2],
    /// For each k, where its padded plane starts, shifted by its tap.
    pub offsets: Vec<usize>,
    /// For each plane (the sub-axes of k that do not move over the image), what it adds to the position in memory.
    planes: Vec<i64>,
    /// The image's extents and strides.
    lens: [usize; 2],
    strides: [i64; 2],
}

impl Shifted {
    /// Recognises `position = base(batch, image, plane) + y * row + x * column` with `y = oy + shift`, `x = ox + shift`, where
    /// the padding is a small part of the width.
    pub fn of(c: &Contraction) -> Option<Shifted> {
        let (b, kl, nl) = (c.batch.len(), c.k.len(), c.n.len());
        let [y, x] = &c.b.coords[..] else { return None };
        if nl < 2 || kl < 2 || y.div != 1 || x.div != 1 {
            return None;
        }
        let k_axes = b..b + kl;
        let (oy, ox) = (b + kl + nl - 2, b + kl + nl - 1);
        let (r, s) = (b + kl - 2, b + kl - 1);
        // Each coordinate moves with one output axis and one tap axis; the base with neither.
        let only =
            |a: &Affine, axes: [usize; 2]| a.strides.iter().enumerate().all(|(i, &s)| s == 0 || axes.contains(&i));
        let fits = only(&y.affine, [oy, r])
            && only(&x.affine, [ox, s])
            && y.affine.strides[oy] == 1
            && x.affine.strides[ox] == 1
            && [oy, ox, r, s].iter().all(|&i| c.b.base.strides[i] == 0)
            // C's rows and columns must be dense in an image.
            && c.c.strides[c.c.strides.len() - 1] == 1
            && c.c.strides[c.c.strides.len() - 2] == c.n[nl - 1] as i64;
        if !fits {
            return None;
        }
        let (height, width) = (c.n[nl - 2], c.n[nl - 1]);
        let taps = |a: &Affine, axis: usize, n: usize| {
            (0..n as i64).map(|t| a.offset + a.strides[axis] * t).collect::<Vec<_>>()
        };
        let (ty, tx) = (taps(&y.affine, r, c.k[kl - 2]), taps(&x.affine, s, c.k[kl - 1]));
        let span = |t: &[i64]| (*t.iter().min().expect("taps"), *t.iter().max().expect("taps"));
        let ((y0, y1), (x0, x1)) = (span(&ty), span(&tx));
        let padded = [height + (y1 - y0) as usize, width + (x1 - x0) as usize];
        if padded[1] * 2 > width * 3 {
            return None;
        }
        // What the other sub-axes of k add to the position: input channels.
        let mut planes = vec![0i64];
        for (i, axis) in k_axes.take(kl - 2).enumerate() {
            let stride = c.b.base.strides[axis];
            planes = planes.iter().flat_map(|&p| (0..c.k[i] as i64).map(move |j| p + j * stride)).collect();
        }
        let area = padded[0] * padded[1];
        let mut offsets = vec![];
        for plane in 0..planes.len() {
            for y in &ty {
                offsets.extend(tx.iter().map(|x| plane * area + (y - y0) as usize * padded[1] + (x - x0) as usize));
            }
        }
        Some(Shifted {
            height,
            width,
            padded,
            low: [y0, x0],
            offsets,
            planes,
            lens: [y.len, x.len],
            strides: [y.stride, x.stride],
        })
    }

    /// Positions over which outputs are computed: rows as wide as the padded image.
    pub fn positions(&self) -> usize {
        self.height * self.padded[1]
    }

    /// Copies an image, whose first element is `from`, with zeros around it.
    ///
    /// # Safety
    /// The image must lie inside the input.
    pub unsafe fn pad(&self, from: *const f32, to: &mut Vec<f32>) {
        let [h, w] = self.padded;
        to.clear();
        // Tiles read past the last position of the last plane: the rest of a tile, and of a shifted row.
        to.resize(self.planes.len() * h * w + w + COLUMNS, 0.0);
        let x_from = (-self.low[1]).max(0) as usize;
        let x_end = ((self.lens[1] as i64 - self.low[1]).max(0) as usize).min(w);
        for (plane, &base) in self.planes.iter().enumerate() {
            for row in 0..h {
                let y = row as i64 + self.low[0];
                if y < 0 || y >= self.lens[0] as i64 {
                    continue;
                }
                let to = &mut to[(plane * h + row) * w..(plane * h + row + 1) * w];
                for x in x_from..x_end {
                    let at = base + y * self.strides[0] + (x as i64 + self.low[1]) * self.strides[1];
                    // SAFETY: a valid coordinate of the image.
                    to[x] = unsafe { *from.offset(at as isize) };
                }
            }
        }
    }

    /// Calls `put(first element of the image's row of C, values)` for the real columns among positions `at..`.
    #[inline(always)]
    pub fn rows(&self, at: usize, values: &[f32; COLUMNS], mut put: impl FnMut(usize, &[f32])) {
        let wide = self.padded[1];
        let end = (at + COLUMNS).min(self.positions());
        let mut p = at;
        while p < end {
            let (y, x) = (p / wide, p % wide);
            let stop = ((y + 1) * wide).min(end);
            let real = (self.width.saturating_sub(x)).min(stop - p);
            if real > 0 {
                put(y * self.width + x, &values[p - at..p - at + real]);
            }
            p = stop;
        }
    }
}

/// As [`super::tile::OuterTiles`], with B read at `b[offsets[k] + position]`: `store(strip of a, position, tile)` for every
/// strip of `a` and every `COLUMNS`-th position.
pub(super) struct ShiftedTiles<'a, F> {
    pub a: &'a [f32],
    pub b: &'a [f32],
    pub offsets: &'a [usize],
    pub positions: std::ops::Range<usize>,
    pub store: F,
}

impl<F: FnMut(usize, usize, &[[f32; COLUMNS]; ROWS])> pulp::WithSimd for ShiftedTiles<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(mut self, simd: S) {
        const V: usize = 2;
        let k = self.offsets.len();
        let reach = self.offsets.iter().max().expect("taps") + self.positions.end.next_multiple_of(COLUMNS);
        assert!(reach <= self.b.len() && COLUMNS % (V * S::F32_LANES) == 0);
        let mut tile = [[0f32; COLUMNS]; ROWS];
        for position in self.positions.clone().step_by(COLUMNS) {
            for (i, a) in self.a.chunks_exact(k * ROWS).enumerate() {
                for at in (0..COLUMNS).step_by(V * S::F32_LANES) {
                    let mut acc = [[simd.splat_f32s(0.0); V]; ROWS];
                    for (&offset, a) in self.offsets.iter().zip(a.chunks_exact(ROWS)) {
                        let mut row = [simd.splat_f32s(0.0); V];
                        for v in 0..V {
                            // SAFETY: within reach of the padded copy, as asserted and as `pad` leaves room for.
                            row[v] = unsafe {
                                self.b
                                    .as_ptr()
                                    .add(offset + position + at + v * S::F32_LANES)
                                    .cast::<S::f32s>()
                                    .read_unaligned()
                            };
                        }
                        for r in 0..ROWS {
                            let x = simd.splat_f32s(a[r]);
                            for v in 0..V {
                                acc[r][v] = simd.mul_add_e_f32s(x, row[v], acc[r][v]);
                            }
                        }
                    }
                    for r in 0..ROWS {
                        for v in 0..V {
                            // SAFETY: inside row r of the tile.
                            unsafe {
                                tile[r]
                                    .as_mut_ptr()
                                    .add(at + v * S::F32_LANES)
                                    .cast::<S::f32s>()
                                    .write_unaligned(acc[r][v])
                            }
                        }
                    }
                }
                (self.store)(i, position, &tile);
            }
        }
    }
}
