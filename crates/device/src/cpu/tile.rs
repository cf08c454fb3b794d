//! Register tiles: the inner loops of a contraction whose operands had to be packed.

use pulp::{Simd, WithSimd};

/// Rows and columns of an outer-product tile. Two vectors of columns make twelve accumulators: enough to keep the
/// multipliers busy, and few enough for sixteen registers. Narrower vectors take the columns in several goes.
pub(super) const ROWS: usize = 6;
pub(super) const COLUMNS: usize = 32;

/// Rows and columns of an inner-product tile.
pub(super) const INNER_ROWS: usize = 4;
pub(super) const INNER_COLUMNS: usize = 3;
/// Inner-product rows are padded with zeros to a multiple of this: the widest vector there is.
pub(super) const INNER_PAD: usize = 16;

/// `store(strip of a, strip of b, tile)` for each pair of strips, where `tile[i][j] = sum over k of a[k][i] * b[k][j]`.
/// Strips are dense: `a` has `[k][ROWS]` for each, `b` has `[k][COLUMNS]`.
pub(super) struct OuterTiles<'a, F> {
    pub k: usize,
    pub a: &'a [f32],
    pub b: &'a [f32],
    pub store: F,
}

impl<F: FnMut(usize, usize, &[[f32; COLUMNS]; ROWS])> WithSimd for OuterTiles<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let mut tile = [[0f32; COLUMNS]; ROWS];
        // A strip of b stays in the first-level cache while the strips of a pass by.
        for (j, b) in self.b.chunks_exact(self.k * COLUMNS).enumerate() {
            for (i, a) in self.a.chunks_exact(self.k * ROWS).enumerate() {
                for at in (0..COLUMNS).step_by(S::F32_LANES * 2) {
                    outer::<S>(simd, self.k, a, b, at, &mut tile);
                }
                (self.store)(i, j, &tile);
            }
        }
    }
}

/// Columns `at..at + 2 * lanes` of a tile.
#[inline(always)]
fn outer<S: Simd>(simd: S, k: usize, a: &[f32], b: &[f32], at: usize, tile: &mut [[f32; COLUMNS]; ROWS]) {
    const V: usize = 2;
    assert!(a.len() == k * ROWS && b.len() == k * COLUMNS && at + V * S::F32_LANES <= COLUMNS);
    let mut acc = [[simd.splat_f32s(0.0); V]; ROWS];
    for k in 0..k {
        let mut row = [simd.splat_f32s(0.0); V];
        for v in 0..V {
            // SAFETY: inside row k of b, as asserted; vectors of pulp need no alignment.
            row[v] = unsafe { b.as_ptr().add(k * COLUMNS + at + v * S::F32_LANES).cast::<S::f32s>().read_unaligned() };
        }
        for i in 0..ROWS {
            // SAFETY: inside row k of a, as asserted.
            let x = simd.splat_f32s(unsafe { *a.as_ptr().add(k * ROWS + i) });
            for v in 0..V {
                acc[i][v] = simd.mul_add_e_f32s(x, row[v], acc[i][v]);
            }
        }
    }
    for i in 0..ROWS {
        for v in 0..V {
            // SAFETY: inside row i of the tile, as asserted.
            unsafe { tile[i].as_mut_ptr().add(at + v * S::F32_LANES).cast::<S::f32s>().write_unaligned(acc[i][v]) }
        }
    }
}

/// `store(row of a, row of b, tile)` for each tile of rows, where `tile[i][j] = sum over k of a[i][k] * b[j][k]`. Rows are
/// `k` long, a multiple of [`INNER_PAD`]; their numbers are multiples of [`INNER_ROWS`] and [`INNER_COLUMNS`].
pub(super) struct InnerTiles<'a, F> {
    pub k: usize,
    pub a: &'a [f32],
    pub b: &'a [f32],
    pub store: F,
}

impl<F: FnMut(usize, usize, &[[f32; INNER_COLUMNS]; INNER_ROWS])> WithSimd for InnerTiles<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let k = self.k;
        for (j, b) in self.b.chunks_exact(k * INNER_COLUMNS).enumerate() {
            for (i, a) in self.a.chunks_exact(k * INNER_ROWS).enumerate() {
                let mut acc = [[simd.splat_f32s(0.0); INNER_COLUMNS]; INNER_ROWS];
                for at in (0..k).step_by(S::F32_LANES) {
                    // SAFETY: k is a multiple of every vector length, so all reads are inside the rows.
                    let read = |p: &[f32], row: usize| unsafe {
                        p.as_ptr().add(row * k + at).cast::<S::f32s>().read_unaligned()
                    };
                    let mut y = [simd.splat_f32s(0.0); INNER_COLUMNS];
                    for (c, y) in y.iter_mut().enumerate() {
                        *y = read(b, c);
                    }
                    for r in 0..INNER_ROWS {
                        let x = read(a, r);
                        for c in 0..INNER_COLUMNS {
                            acc[r][c] = simd.mul_add_e_f32s(x, y[c], acc[r][c]);
                        }
                    }
                }
                let mut tile = [[0f32; INNER_COLUMNS]; INNER_ROWS];
                for r in 0..INNER_ROWS {
                    for c in 0..INNER_COLUMNS {
                        tile[r][c] = simd.reduce_sum_f32s(acc[r][c]);
                    }
                }
                (self.store)(i * INNER_ROWS, j * INNER_COLUMNS, &tile);
            }
        }
    }
}
