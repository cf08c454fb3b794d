//! Register tiles: the inner loops of a contraction whose operands were packed or copied.

use pulp::{Simd, WithSimd};

/// Rows and columns of an outer-product tile. Two vectors of columns make sixteen accumulators, for the 32 registers of
/// AVX-512; narrower vectors come with sixteen registers, and take the rows by four and the columns in several goes.
pub(super) const ROWS: usize = 8;
pub(super) const COLUMNS: usize = 32;

/// Rows and columns of an inner-product tile: 24 accumulators with AVX-512, else the rows by four and twelve of them.
pub(super) const INNER_ROWS: usize = 8;
pub(super) const INNER_COLUMNS: usize = 3;
/// Inner-product rows are padded with zeros to a multiple of this: the widest vector there is.
pub(super) const INNER_PAD: usize = 16;

/// Neighbouring columns of a tile that lie `step` apart in C.
#[derive(Clone, Copy)]
pub(super) struct Piece {
    /// The first column in the tile, and how many.
    pub at: usize,
    pub len: usize,
    /// Where the first one goes in a row of C.
    pub to: isize,
    pub step: isize,
}

/// Stores (or, unless `first`, adds to what is stored) tile (i, j) for each pair of strips, where
/// `tile[i][j] = sum over k of a[k][i] * b[k][j]`. A strip of `a` is dense: `[k][ROWS]`. Row k of strip `j` of `b` is
/// `COLUMNS` elements from `offsets[k] + j * stride` on.
pub(super) struct OuterTiles<'a, F> {
    pub a: &'a [f32],
    pub b: &'a [f32],
    pub offsets: &'a [usize],
    pub strips: usize,
    pub stride: usize,
    /// C, and where in it each row that exists begins.
    pub to: *mut f32,
    pub rows: &'a [isize],
    /// Finds the columns of strip j that exist.
    pub pieces: F,
    pub first: bool,
}

/// Vectors of columns in a tile.
const V: usize = 2;

impl<F: FnMut(usize, &mut Vec<Piece>)> WithSimd for OuterTiles<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match S::F32_LANES {
            16 => self.tiles::<S, ROWS>(simd),
            _ => self.tiles::<S, { ROWS / 2 }>(simd),
        }
    }
}

impl<F: FnMut(usize, &mut Vec<Piece>)> OuterTiles<'_, F> {
    /// Tiles by `R` rows at once.
    #[inline(always)]
    fn tiles<S: Simd, const R: usize>(mut self, simd: S) {
        let k = self.offsets.len();
        let reach = self.offsets.iter().max().map_or(0, |o| o + (self.strips - 1) * self.stride + COLUMNS);
        assert!(reach <= self.b.len() && COLUMNS % (V * S::F32_LANES) == 0 && ROWS % R == 0);
        let mut pieces = vec![];
        // A strip of b stays in the first-level cache while the strips of a pass by.
        for j in 0..self.strips {
            (self.pieces)(j, &mut pieces);
            for (i, a) in self.a.chunks_exact(k * ROWS).enumerate() {
                for top in (0..ROWS).step_by(R) {
                    for at in (0..COLUMNS).step_by(V * S::F32_LANES) {
                        let mut acc = [[simd.splat_f32s(0.0); V]; R];
                        for (&offset, a) in self.offsets.iter().zip(a.chunks_exact(ROWS)) {
                            let mut row = [simd.splat_f32s(0.0); V];
                            for v in 0..V {
                                let at = offset + j * self.stride + at + v * S::F32_LANES;
                                // SAFETY: within reach, as asserted; vectors of pulp need no alignment.
                                row[v] = unsafe { self.b.as_ptr().add(at).cast::<S::f32s>().read_unaligned() };
                            }
                            for r in 0..R {
                                let x = simd.splat_f32s(a[top + r]);
                                for v in 0..V {
                                    acc[r][v] = simd.mul_add_e_f32s(x, row[v], acc[r][v]);
                                }
                            }
                        }
                        let rows = &self.rows[(i * ROWS + top).min(self.rows.len())..];
                        // SAFETY: the pieces of existing rows lie inside C, in a block that is this task's alone.
                        unsafe { self.write::<S, R>(simd, &acc, at, rows, &pieces) };
                    }
                }
            }
        }
    }

    /// Writes columns `at..` of a tile.
    ///
    /// # Safety
    /// The pieces' places in these rows must be in C, and nobody else's.
    #[inline(always)]
    unsafe fn write<S: Simd, const R: usize>(
        &self,
        simd: S,
        acc: &[[S::f32s; V]; R],
        at: usize,
        rows: &[isize],
        pieces: &[Piece],
    ) {
        for piece in pieces {
            for v in 0..V {
                let first = at + v * S::F32_LANES;
                let (from, end) = (piece.at.max(first), (piece.at + piece.len).min(first + S::F32_LANES));
                if from >= end {
                    continue;
                }
                let to = self.to.wrapping_offset(piece.to + piece.step * (from as isize - piece.at as isize));
                let (from, end) = (from - first, end - first);
                if piece.step == 1 {
                    let mask = simd.mask_between_m32s(from as u32, end as u32);
                    for (acc, &row) in acc.iter().zip(rows) {
                        let to = to.wrapping_offset(row - from as isize);
                        // SAFETY: the lanes of the mask are the piece's columns.
                        unsafe {
                            let sum = match self.first {
                                true => acc[v],
                                false => simd.add_f32s(simd.mask_load_ptr_f32s(mask, to), acc[v]),
                            };
                            simd.mask_store_ptr_f32s(mask, to, sum);
                        }
                    }
                    continue;
                }
                for (acc, &row) in acc.iter().zip(rows) {
                    let values: &[f32] = bytemuck::cast_slice(std::slice::from_ref(&acc[v]));
                    for (i, &x) in values[from..end].iter().enumerate() {
                        // SAFETY: one of the piece's columns.
                        unsafe {
                            let to = to.offset(row + piece.step * i as isize);
                            *to = if self.first { x } else { *to + x };
                        }
                    }
                }
            }
        }
    }
}

/// Copies `n` elements, usually a few vectors of them.
///
/// # Safety
/// They must be readable and writable.
#[inline(always)]
pub(super) unsafe fn copy_row<S: Simd>(simd: S, from: *const f32, to: *mut f32, n: usize) {
    let whole = n / S::F32_LANES * S::F32_LANES;
    // SAFETY: as promised; the mask leaves out what is past the end.
    unsafe {
        for i in (0..whole).step_by(S::F32_LANES) {
            to.add(i).cast::<S::f32s>().write_unaligned(from.add(i).cast::<S::f32s>().read_unaligned());
        }
        if whole < n {
            let mask = simd.mask_between_m32s(0, (n - whole) as u32);
            simd.mask_store_ptr_f32s(mask, to.add(whole), simd.mask_load_ptr_f32s(mask, from.add(whole)));
        }
    }
}

/// `store(row of a, row of b, tile)` for each tile of rows, where `tile[i][j] = sum over k of a[i][k] * b[j][k]`. A row is
/// `parts` pieces of `k` elements, a multiple of [`INNER_PAD`]. Rows of `a` are dense, and their number a multiple of
/// [`INNER_ROWS`]; piece `p` of row `j` of `b` begins at `offsets[j] + p * stride`.
pub(super) struct InnerTiles<'a, F> {
    pub k: usize,
    pub parts: usize,
    pub a: &'a [f32],
    pub b: &'a [f32],
    pub offsets: &'a [usize],
    pub stride: usize,
    pub store: F,
}

impl<F: FnMut(usize, usize, &[[f32; INNER_COLUMNS]; INNER_ROWS])> WithSimd for InnerTiles<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match S::F32_LANES {
            16 => self.tiles::<S, INNER_ROWS>(simd),
            _ => self.tiles::<S, { INNER_ROWS / 2 }>(simd),
        }
    }
}

impl<F: FnMut(usize, usize, &[[f32; INNER_COLUMNS]; INNER_ROWS])> InnerTiles<'_, F> {
    /// Tiles by `R` rows at once.
    #[inline(always)]
    fn tiles<S: Simd, const R: usize>(mut self, simd: S) {
        let (k, row) = (self.k, self.k * self.parts);
        let reach = self.offsets.iter().max().map_or(0, |o| o + (self.parts - 1) * self.stride + k);
        assert!(reach <= self.b.len() && k % S::F32_LANES == 0 && self.a.len() % (row * INNER_ROWS) == 0);
        // A strip of a stays in the first-level cache while b passes by.
        for (i, a) in self.a.chunks_exact(row * INNER_ROWS).enumerate() {
            for (j, offsets) in self.offsets.chunks(INNER_COLUMNS).enumerate() {
                // The last tile may lack columns; it computes one of them again.
                let offset: [usize; INNER_COLUMNS] = std::array::from_fn(|c| offsets[c.min(offsets.len() - 1)]);
                let mut tile = [[0f32; INNER_COLUMNS]; INNER_ROWS];
                for top in (0..INNER_ROWS).step_by(R) {
                    let mut acc = [[simd.splat_f32s(0.0); INNER_COLUMNS]; R];
                    for part in 0..self.parts {
                        let read = |p: &[f32], at: usize| {
                            // SAFETY: inside the rows, as asserted.
                            unsafe { p.as_ptr().add(at).cast::<S::f32s>().read_unaligned() }
                        };
                        let (a_at, b_at) = (top * row + part * k, part * self.stride);
                        for at in (0..k).step_by(S::F32_LANES) {
                            let mut y = [simd.splat_f32s(0.0); INNER_COLUMNS];
                            for c in 0..INNER_COLUMNS {
                                y[c] = read(self.b, offset[c] + b_at + at);
                            }
                            for r in 0..R {
                                let x = read(a, r * row + a_at + at);
                                for c in 0..INNER_COLUMNS {
                                    acc[r][c] = simd.mul_add_e_f32s(x, y[c], acc[r][c]);
                                }
                            }
                        }
                    }
                    for r in 0..R {
                        for c in 0..INNER_COLUMNS {
                            tile[top + r][c] = simd.reduce_sum_f32s(acc[r][c]);
                        }
                    }
                }
                (self.store)(i * INNER_ROWS, j * INNER_COLUMNS, &tile);
            }
        }
    }
}
