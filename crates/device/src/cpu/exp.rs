//! The exponential of whole rows, in vectors.

use pulp::{Arch, Simd, WithSimd};

/// e^x for x <= 88, within two units in the last place; 0 below -87. Cody and Waite's reduction and the polynomial of
/// Cephes, without branches, so that loops over it become vector code.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    // Adding this rounds to an integer, which then stands in the low bits.
    const ROUND: f32 = 12582912.0;
    // A comparison, where NaN stays NaN; `f32::max` would drop it.
    let inside = if x < -87.0 { -87.0 } else { x };
    let shifted = inside * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (inside - n * 0.693_359_4) + n * 2.121_944_4e-4;
    let p = 1.987_569_1e-4;
    let p = p * r + 1.398_199_9e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 0.166_666_65;
    let p = p * r + 0.5;
    let y = p * r * r + r + 1.0;
    let scale = f32::from_bits((shifted.to_bits() << 23).wrapping_add(127 << 23));
    if x < -87.0 { 0.0 } else { y * scale }
}

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
    fn close_to_the_exact_value() {
        for i in -8700..=8800 {
            let x = i as f32 / 100.0;
            let exact = (x as f64).exp();
            assert!((exp(x) as f64 / exact - 1.0).abs() < 2.4e-7, "{x}");
        }
        assert_eq!((exp(-87.1), exp(f32::MIN), exp(f32::NEG_INFINITY), exp(0.0)), (0.0, 0.0, 0.0, 1.0));
        assert!(exp(f32::NAN).is_nan());
    }

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
