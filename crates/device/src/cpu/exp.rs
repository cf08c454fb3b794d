//! The exponential of whole rows, in vectors.

use super::math::exp;
use pulp::{Arch, Simd, WithSimd};

/// Rows of scores.
pub(super) struct Rows;

impl Rows {
    /// The greatest element, or the least float.
    pub fn max(row: &[f32]) -> f32 {
        struct Max<'a>(&'a [f32]);
        impl WithSimd for Max<'_> {
            type Output = f32;
            #[inline(always)]
            fn with_simd<S: Simd>(self, simd: S) -> f32 {
                let (head, tail) = S::as_simd_f32s(self.0);
                let max = head.iter().fold(simd.splat_f32s(f32::MIN), |m, &x| simd.max_f32s(m, x));
                tail.iter().fold(simd.reduce_max_f32s(max), |m, &x| m.max(x))
            }
        }
        Arch::new().dispatch(Max(row))
    }

    /// Replaces x by e^(x - `shift`); returns the sum.
    pub fn exp(row: &mut [f32], shift: f32) -> f32 {
        struct Exp<'a>(&'a mut [f32], f32);
        impl WithSimd for Exp<'_> {
            type Output = f32;
            #[inline(always)]
            fn with_simd<S: Simd>(self, simd: S) -> f32 {
                let Exp(row, shift) = self;
                for x in row.iter_mut() {
                    *x = exp(*x - shift);
                }
                let (head, tail) = S::as_simd_f32s(row);
                let sum = head.iter().fold(simd.splat_f32s(0.0), |s, &x| simd.add_f32s(s, x));
                tail.iter().fold(simd.reduce_sum_f32s(sum), |s, x| s + x)
            }
        }
        Arch::new().dispatch(Exp(row, shift))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_any_length() {
        for n in 0..70 {
            let row: Vec<f32> = (0..n).map(|i| (i * 7 % 13) as f32 - 9.0).collect();
            let max = row.iter().fold(f32::MIN, |m, &x| m.max(x));
            assert_eq!(Rows::max(&row), max);
            let mut e = row.clone();
            let sum = Rows::exp(&mut e, 1.5);
            let exact: f32 = row.iter().map(|x| (x - 1.5).exp()).sum();
            assert!((sum - exact).abs() <= 1e-5 * exact, "{n}: {sum} {exact}");
        }
    }
}
