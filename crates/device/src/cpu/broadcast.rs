//! Convolutions whose vectors run along the rows of C (channels), so that no position is thrown away and no sum is taken across
//! a vector: element (k, n) of B is read where it lies in padded copies of the images, at the sum of an offset of k and one of
//! n, and spread over a vector. For images of few elements, and for weight gradients.

use super::bands::Bands;
use super::contraction::{Along, Block, Scratch, unravel};
use super::shifted::Shifted;
use super::target::Target;
use super::work::{Work, start};
use pulp::{Arch, Simd, WithSimd};
use std::ops::Range;

/// Rows of C in a strip: two vectors of AVX-512.
pub(super) const STRIP: usize = 32;
/// Inner extent of a packed block: a strip of A stays in the first-level cache.
pub(super) const K_BLOCK: usize = 256;
/// Elements of copies that stay in the second-level cache.
const COPIED: usize = 1 << 16;

impl Work<'_> {
    /// A block of C whose columns are positions of whole images.
    pub(super) fn broadcast_along_n(
        &self,
        shifted: &Shifted,
        block: &Block,
        target: &Target,
        base: isize,
        scratch: &mut Scratch,
    ) {
        let (c, b, kl) = (self.c, self.c.batch.len(), self.c.k.len());
        let (image, height) = (shifted.image(), shifted.height());
        let planes = self.k / shifted.taps();
        let size = planes * shifted.area(height);
        let images = block.columns.start / image..block.columns.end / image;
        let of_batch = unravel(block.batch, &c.batch);
        let from = |i: usize| start(&c.b.base, &of_batch, b + kl, &unravel(i, &c.n[..c.n.len() - 2]));
        if scratch.copied != Some(from(images.start)) {
            scratch.b.resize(images.len() * size, 0.0);
            for (i, to) in images.clone().zip(scratch.b.chunks_exact_mut(size)) {
                // SAFETY: the reader's range is inside the input.
                unsafe {
                    shifted.copy(self.operands[1].from.offset(from(i) as isize), 0..planes, 0..height, height, to)
                };
            }
            scratch.copied = Some(from(images.start));
        }
        let of_n = shifted.positions(images.len(), size, 0..height);
        let of_k = shifted.offsets(planes, height, &of_batch);
        let mut sums = std::mem::take(&mut scratch.row);
        sums.resize(block.rows.len().next_multiple_of(STRIP) * of_n.len(), 0.0);
        let mut row = vec![];
        for k0 in (0..self.k).step_by(K_BLOCK) {
            let k = k0..(k0 + K_BLOCK).min(self.k);
            Arch::new().dispatch(Tiles {
                a: self.strips_of::<STRIP>(block, k.clone(), &mut row, &mut scratch.a),
                b: &scratch.b,
                of_k: &of_k[k],
                of_n: &of_n,
                rows: block.rows.len(),
                sums: &mut sums,
                first: k0 == 0,
            });
        }
        write(&sums, block, image, target, base);
        scratch.row = sums;
    }

    /// A block of C whose columns are the taps of whole planes; `range` counts bands of images.
    pub(super) fn broadcast_along_k(
        &self,
        shifted: &Shifted,
        block: &Block,
        range: Range<usize>,
        target: &Target,
        base: isize,
        scratch: &mut Scratch,
    ) {
        let bands = Bands::new(self.c, shifted, block);
        let (size, of_n, strips) = (bands.size(), bands.columns(), block.rows.len().div_ceil(STRIP));
        let at_once = (COPIED / size).min(K_BLOCK / (bands.height * shifted.width)).max(1);
        let mut sums = std::mem::take(&mut scratch.row);
        sums.resize(strips * STRIP * of_n.len(), 0.0);
        let mut done = range.start;
        while done < range.end {
            let parts = done..(done + at_once).min(range.end);
            if bands.an_image > 1 {
                // Zeros lie elsewhere in the last band.
                scratch.b.clear();
            }
            scratch.b.resize(at_once * size, 0.0);
            let mut of_k = vec![];
            for (i, (part, to)) in parts.clone().zip(scratch.b.chunks_exact_mut(size)).enumerate() {
                // SAFETY: the reader's range is inside the input.
                unsafe { bands.copy(self.operands[1].from, part, to) };
                of_k.extend(shifted.positions(1, 0, 0..bands.rows(part).len()).iter().map(|p| p + i * size));
            }
            let k = of_k.len();
            scratch.a.resize(strips * STRIP * k, 0.0);
            for (a_rows, to) in bands.a_rows.chunks(STRIP).zip(scratch.a.chunks_exact_mut(STRIP * k)) {
                let mut at = 0;
                for part in parts.clone() {
                    let len = bands.rows(part).len() * shifted.width;
                    for (r, row) in a_rows.iter().enumerate() {
                        let from = self.operands[0].from.wrapping_offset((bands.in_a(part) + row) as isize);
                        for (p, to) in to[at * STRIP + r..].iter_mut().step_by(STRIP).take(len).enumerate() {
                            // SAFETY: the positions of an image are dense in A, and inside it.
                            *to = unsafe { *from.add(p) };
                        }
                    }
                    at += len;
                }
            }
            Arch::new().dispatch(Tiles {
                a: &scratch.a[..strips * STRIP * k],
                b: &scratch.b,
                of_k: &of_k,
                of_n: &of_n,
                rows: block.rows.len(),
                sums: &mut sums,
                first: done == range.start,
            });
            done = parts.end;
        }
        write(&sums, block, of_n.len(), target, base);
        scratch.row = sums;
    }

    /// Dispatches on where the positions are.
    pub(super) fn broadcast(
        &self,
        (shifted, along): (&Shifted, Along),
        block: &Block,
        range: Range<usize>,
        target: &Target,
        base: isize,
        scratch: &mut Scratch,
    ) {
        match along {
            Along::N => self.broadcast_along_n(shifted, block, target, base, scratch),
            Along::K => self.broadcast_along_k(shifted, block, range, target, base, scratch),
        }
    }
}

/// Writes a block's sums, [strip][column][row], to C. `dense` columns at a time may lie together there.
fn write(sums: &[f32], block: &Block, dense: usize, target: &Target, base: isize) {
    let n = block.columns.len();
    let mut values = vec![0f32; dense];
    for (i, r) in block.rows.clone().enumerate() {
        let (strip, at) = (i / STRIP * n * STRIP, i % STRIP);
        for (j, columns) in block.columns.clone().step_by(dense).zip(sums[strip..].chunks_exact(dense * STRIP)) {
            values.iter_mut().zip(columns.iter().skip(at).step_by(STRIP)).for_each(|(v, &x)| *v = x);
            target.put(base, r, j, &values, true);
        }
    }
}

/// Stores (or, unless `first`, adds to what is stored) `sums[strip][n][row] = sum over k of a[strip][k][row] * b[of_k[k] +
/// of_n[n]]`, for strips of [`STRIP`] rows. Only `rows` of them are wanted.
struct Tiles<'a> {
    a: &'a [f32],
    b: &'a [f32],
    of_k: &'a [usize],
    of_n: &'a [usize],
    rows: usize,
    sums: &'a mut [f32],
    first: bool,
}

impl WithSimd for Tiles<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match (S::F32_LANES, self.rows) {
            (16, ..=16) => self.tiles::<S, 1, 16>(simd),
            (16, _) => self.tiles::<S, 2, 8>(simd),
            _ => self.tiles::<S, 2, 4>(simd),
        }
    }
}

impl Tiles<'_> {
    /// Tiles of `V` vectors of rows by `J` columns.
    #[inline(always)]
    fn tiles<S: Simd, const V: usize, const J: usize>(self, simd: S) {
        let (k, n) = (self.of_k.len(), self.of_n.len());
        let reach = |o: &[usize]| o.iter().max().copied().unwrap_or(0);
        assert!(reach(self.of_k) + reach(self.of_n) < self.b.len() && STRIP % (V * S::F32_LANES) == 0);
        // A strip of a stays in the first-level cache while the columns pass by.
        let strips = self.a.chunks_exact(k * STRIP).zip(self.sums.chunks_exact_mut(n * STRIP));
        for (strip, (a, sums)) in strips.enumerate() {
            let rows = self.rows.saturating_sub(strip * STRIP).min(STRIP);
            for (of_n, sums) in self.of_n.chunks(J).zip(sums.chunks_mut(J * STRIP)) {
                let mut from = [self.b.as_ptr(); J];
                for j in 0..J {
                    // The last tile may lack columns; it computes one of them again.
                    from[j] = from[j].wrapping_add(of_n[j.min(of_n.len() - 1)]);
                }
                for at in (0..rows).step_by(V * S::F32_LANES) {
                    let mut acc = [[simd.splat_f32s(0.0); V]; J];
                    for (&offset, a) in self.of_k.iter().zip(a.chunks_exact(STRIP)) {
                        let mut x = [simd.splat_f32s(0.0); V];
                        for v in 0..V {
                            let at = at + v * S::F32_LANES;
                            // SAFETY: at is a multiple of V vectors, which divide a strip.
                            x[v] = unsafe { a.as_ptr().add(at).cast::<S::f32s>().read_unaligned() };
                        }
                        for j in 0..J {
                            // SAFETY: within reach, as asserted.
                            let y = simd.splat_f32s(unsafe { *from[j].add(offset) });
                            for v in 0..V {
                                acc[j][v] = simd.mul_add_e_f32s(x[v], y, acc[j][v]);
                            }
                        }
                    }
                    for j in 0..J {
                        if j < of_n.len() {
                            for v in 0..V {
                                let at = j * STRIP + at + v * S::F32_LANES;
                                let sum = &mut sums[at..at + S::F32_LANES];
                                // SAFETY: as many elements as a vector has.
                                unsafe {
                                    let to = sum.as_mut_ptr().cast::<S::f32s>();
                                    let sum = match self.first {
                                        true => acc[j][v],
                                        false => simd.add_f32s(to.read_unaligned(), acc[j][v]),
                                    };
                                    to.write_unaligned(sum);
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}
