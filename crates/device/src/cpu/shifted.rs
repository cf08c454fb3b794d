//! Convolutions with stride 1, without packing patches: each kernel tap reads the same padded copy of the image, shifted.
//!
//! The copy's rows are wider than the image's by the padding. Positions are linear over rows of that width; the few past
//! the image's width are thrown away (forward and input gradient) or meet zeros (weight gradient).

use super::source::copy;
use super::tile::{COLUMNS, INNER_PAD};
use crate::kernels::Contraction;
use crate::{Affine, Coord};
use std::ops::Range;

/// Positions of a band of rows.
const BAND: usize = 1024;

/// How a contraction's B is an image seen through shifts. Two of its sub-axes walk over positions, two over taps.
pub(super) struct Shifted {
    /// Rows and columns of positions.
    height: usize,
    pub width: usize,
    /// Row width of the copy, and how many more rows it has than positions.
    pub wide: usize,
    more: usize,
    /// What each tap adds to a position in the copy.
    taps: Vec<usize>,
    /// Least coordinates that any tap reads.
    low: [i64; 2],
    /// What each plane (the sub-axes beside the taps) adds to the position in memory.
    planes: Vec<i64>,
    /// The image's extents and strides.
    lens: [usize; 2],
    strides: [i64; 2],
}

impl Shifted {
    /// For products with the columns of B: positions along n, taps along k.
    pub fn along_n(c: &Contraction) -> Option<Shifted> {
        let k = c.batch.len();
        Shifted::of(c, k + c.k.len(), &c.n, k, &c.k)
    }

    /// For products with the rows of B: positions along k, taps along n.
    pub fn along_k(c: &Contraction) -> Option<Shifted> {
        let k = c.batch.len();
        Shifted::of(c, k, &c.k, k + c.k.len(), &c.n)
    }

    /// Recognises `position = base(others) + y * row + x * column` with `y = oy + shift(r)`, `x = ox + shift(s)`, where the
    /// padding is at most half the width. Positions (oy, ox) are the last of the sub-axes `over`, which start at `first`;
    /// taps (r, s) are the last of `others`, which start at `other`.
    fn of(c: &Contraction, first: usize, over: &[usize], other: usize, others: &[usize]) -> Option<Shifted> {
        if over.len() < 2 || others.len() < 2 {
            return None;
        }
        let ([oy, ox], [r, s]) =
            ([0, 1].map(|i| first + over.len() - 2 + i), [0, 1].map(|i| other + others.len() - 2 + i));
        let [y, x] = coordinates(c, [(oy, r), (ox, s)])?;
        let ([height, width], [th, tw]) = (last_two(over), last_two(others));
        let taps = |a: &Affine, axis: usize, n: usize| {
            (0..n as i64).map(|t| a.offset + a.strides[axis] * t).collect::<Vec<_>>()
        };
        let (ty, tx) = (taps(&y.affine, r, th), taps(&x.affine, s, tw));
        let span = |t: &[i64]| (*t.iter().min().expect("taps"), *t.iter().max().expect("taps"));
        let ((y0, y1), (x0, x1)) = (span(&ty), span(&tx));
        let (more, wide) = ((y1 - y0) as usize, width + (x1 - x0) as usize);
        if wide * 2 > width * 3 {
            return None;
        }
        let mut planes = vec![0i64];
        for (i, &n) in others[..others.len() - 2].iter().enumerate() {
            let stride = c.b.base.strides[other + i];
            planes = planes.iter().flat_map(|&p| (0..n as i64).map(move |j| p + j * stride)).collect();
        }
        let taps =
            ty.iter().flat_map(|y| tx.iter().map(move |x| (y - y0) as usize * wide + (x - x0) as usize)).collect();
        let lens = [y.len, x.len];
        Some(Shifted { height, width, wide, more, taps, low: [y0, x0], planes, lens, strides: [y.stride, x.stride] })
    }

    /// Rows of positions in an image.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Rows of positions that a weight gradient takes at once: of large images not all, so that copies stay in cache.
    pub fn band(&self) -> usize {
        (BAND / self.wide).clamp(1, self.height)
    }

    /// How many bands make up `k` positions.
    pub fn bands(&self, k: usize) -> usize {
        k / (self.height * self.width) * self.height.div_ceil(self.band())
    }

    /// Whether the positions of an image are dense in A, too.
    pub fn rows_are_dense(&self, c: &Contraction) -> bool {
        let [y, x] = last_two(&c.a.base.strides);
        c.a.coords.is_empty() && x == 1 && y == self.width as i64
    }

    /// Kernel taps of a plane.
    pub fn taps(&self) -> usize {
        self.taps.len()
    }

    /// Elements of the copy of a plane that serves `rows` rows of positions, and zeros after it for vectors that overhang.
    pub fn area(&self, rows: usize) -> usize {
        (rows + self.more) * self.wide + (self.wide - self.width) + INNER_PAD
    }

    /// Where each of planes `planes` of a copy is read by each tap, in B's order.
    pub fn offsets(&self, planes: usize, area: usize) -> Vec<usize> {
        (0..planes).flat_map(|p| self.taps.iter().map(move |t| p * area + t)).collect()
    }

    /// Copies what rows `rows` of positions read of the given planes of an image, whose first element is `from`, with zeros
    /// around it. A plane's copy takes `area` elements, see [`Shifted::area`].
    ///
    /// # Safety
    /// The image must lie inside the input.
    pub unsafe fn copy(&self, from: *const f32, planes: Range<usize>, rows: Range<usize>, area: usize, to: &mut [f32]) {
        to.fill(0.0);
        let x_from = (-self.low[1]).max(0) as usize;
        let x_end = ((self.lens[1] as i64 - self.low[1]).max(x_from as i64) as usize).min(self.wide);
        for (plane, &base) in self.planes[planes].iter().enumerate() {
            for row in 0..rows.len() + self.more {
                let y = (rows.start + row) as i64 + self.low[0];
                if y < 0 || y >= self.lens[0] as i64 {
                    continue;
                }
                let at = plane * area + row * self.wide;
                let to = &mut to[at + x_from..at + x_end];
                let at = base + y * self.strides[0] + (x_from as i64 + self.low[1]) * self.strides[1];
                // SAFETY: valid coordinates of the image.
                unsafe {
                    let from = from.offset(at as isize);
                    if self.strides[1] == 1 {
                        copy(from, to);
                    } else {
                        let step = self.strides[1] as isize;
                        to.iter_mut().enumerate().for_each(|(i, x)| *x = *from.offset(step * i as isize));
                    }
                }
            }
        }
    }

    /// Calls `put(first element of the image's row of C, values)` for the real columns among positions `at..`.
    #[inline(always)]
    pub fn rows(&self, at: usize, values: &[f32; COLUMNS], mut put: impl FnMut(usize, &[f32])) {
        let end = (at + COLUMNS).min(self.height * self.wide);
        let mut p = at;
        while p < end {
            let (y, x) = (p / self.wide, p % self.wide);
            let stop = ((y + 1) * self.wide).min(end);
            let real = (self.width.saturating_sub(x)).min(stop - p);
            if real > 0 {
                put(y * self.width + x, &values[p - at..p - at + real]);
            }
            p = stop;
        }
    }
}

fn last_two<T: Copy>(v: &[T]) -> [T; 2] {
    [v[v.len() - 2], v[v.len() - 1]]
}

/// The coordinates of B that walk the given pairs of sub-axes (position, tap). Where nothing is padded there are
/// none in the access, and the base says as much.
fn coordinates(c: &Contraction, axes: [(usize, usize); 2]) -> Option<[Coord; 2]> {
    let base = &c.b.base.strides;
    let coords: Vec<Coord> = match &c.b.coords[..] {
        [y, x] if axes.iter().all(|&(o, t)| base[o] == 0 && base[t] == 0) => vec![y.clone(), x.clone()],
        [] => axes
            .iter()
            .filter(|&&(o, t)| base[o] > 0 && base[t] >= 0 && base[t] % base[o] == 0)
            .map(|&(o, t)| {
                let mut affine = Affine::constant(base.len(), 0);
                (affine.strides[o], affine.strides[t]) = (1, base[t] / base[o]);
                Coord { affine, div: 1, len: 1 << 40, stride: base[o] }
            })
            .collect(),
        _ => return None,
    };
    let only = |c: &Coord, (o, t): (usize, usize)| {
        c.div == 1
            && c.affine.strides[o] == 1
            && c.affine.strides.iter().enumerate().all(|(i, &s)| s == 0 || i == o || i == t)
    };
    match &coords[..] {
        [y, x] if only(y, axes[0]) && only(x, axes[1]) => Some([y.clone(), x.clone()]),
        _ => None,
    }
}
