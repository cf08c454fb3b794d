//! Functions of one number in f32, without branches or calls, so that loops over them become vector code.

/// e^x within two units in the last place: infinite from 88.73 on, 0 below -104. Cody and Waite's reduction and the
/// polynomial of Cephes.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    // Adding this rounds to an integer, which then stands in the low bits.
    const ROUND: f32 = 12582912.0;
    // Comparisons, where NaN stays NaN; `f32::clamp` would do, but `max` would drop it.
    let inside = if x < -105.0 { -105.0 } else { x };
    let inside = if inside > 89.0 { 89.0 } else { inside };
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
    // Two factors: their product may be too large, or too small, for one.
    let n = shifted.to_bits() as i32 - ROUND.to_bits() as i32;
    y * power_of_two(n >> 1) * power_of_two(n - (n >> 1))
}

#[inline(always)]
fn power_of_two(n: i32) -> f32 {
    f32::from_bits((n.wrapping_add(127) as u32) << 23)
}

/// The natural logarithm within two units in the last place, after Cephes: NaN of negative numbers.
#[inline(always)]
pub(super) fn log(x: f32) -> f32 {
    let tiny = x < f32::MIN_POSITIVE;
    let bits = (if tiny { x * 8388608.0 } else { x }).to_bits();
    // m in [sqrt(1/2), sqrt(2))
    let above = bits.wrapping_sub(0x3f35_04f3);
    let e = (above as i32 >> 23) as f32 - if tiny { 23.0 } else { 0.0 };
    let z = f32::from_bits((above & 0x007f_ffff).wrapping_add(0x3f35_04f3)) - 1.0;
    let p = 7.037_683_6e-2;
    let p = p * z - 0.115_146_1;
    let p = p * z + 0.116_769_99;
    let p = p * z - 0.124_201_41;
    let p = p * z + 0.142_493_23;
    let p = p * z - 0.166_680_58;
    let p = p * z + 0.200_007_15;
    let p = p * z - 0.249_999_94;
    let p = p * z + 0.333_333_3;
    let square = z * z;
    let y = p * z * square + e * -2.121_944_4e-4 - 0.5 * square;
    let y = z + y + e * 0.693_359_4;
    let y = if x < f32::INFINITY { y } else { x };
    let y = if x < 0.0 { f32::NAN } else { y };
    if x == 0.0 { f32::NEG_INFINITY } else { y }
}

/// tanh within four units in the last place, as a quotient of polynomials (the one that Eigen uses).
#[inline(always)]
pub(super) fn tanh(x: f32) -> f32 {
    const ONE_FROM: f32 = 7.905_311;
    let t = if x > ONE_FROM { ONE_FROM } else { x };
    let t = if t < -ONE_FROM { -ONE_FROM } else { t };
    let s = t * t;
    let p = -2.760_768_5e-16;
    let p = p * s + 2.000_188e-13;
    let p = p * s - 8.604_672e-11;
    let p = p * s + 5.122_297e-8;
    let p = p * s + 1.485_722_4e-5;
    let p = p * s + 6.372_619_3e-4;
    let p = p * s + 4.893_524_6e-3;
    let q = 1.198_258_4e-6;
    let q = q * s + 1.185_347_1e-4;
    let q = q * s + 2.268_434_6e-3;
    let q = q * s + 4.893_525e-3;
    if x.abs() < 4e-4 { x } else { t * p / q }
}

/// e^x - 1; near 0, where the difference would cancel, as 2 t / (1 - t) with t = tanh(x / 2).
#[inline(always)]
pub(super) fn expm1(x: f32) -> f32 {
    let t = tanh(x * 0.5);
    if x.abs() < 0.5 { 2.0 * t / (1.0 - t) } else { exp(x) - 1.0 }
}

/// log(1 + x); small x as the logarithm of the rounded sum, corrected for the rounding (Kahan).
#[inline(always)]
pub(super) fn log1p(x: f32) -> f32 {
    let sum = 1.0 + x;
    let corrected = log(sum) * (x / (sum - 1.0));
    let y = if sum == 1.0 { x } else { corrected };
    if x < f32::INFINITY { y } else { x }
}

/// The error function: a polynomial near 0, else 1 less e to the power of one. Both are minimax fits.
#[inline(always)]
pub(super) fn erf(x: f32) -> f32 {
    let s = x * x;
    let near = -5.967_617e-4;
    let near = near * s + 4.991_194e-3;
    let near = near * s - 0.026_768_135;
    let near = near * s + 0.112_819_925;
    let near = near * s - 0.376_125_34;
    let near = near * s + 0.128_379_17;
    // Not `min`, which would drop NaN.
    let t = if x.abs() > 10.0 { 10.0 } else { x.abs() };
    let far = (-1.728_534_7e-5 * t + 3.831_972e-4) * (t * t) + (-3.883_964e-3 * t + 0.024_254_622);
    let far = far * t - 0.106_777_88;
    let far = far * t - 0.634_846_7;
    let far = far * t - 0.128_717_51;
    let far = (1.0 - exp(far * t - t)).copysign(x);
    if x.abs() < 0.927_734_4 { near * x + x } else { far }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Relative differences from f64 over many arguments, in units of 2^-24.
    fn worst(f: impl Fn(f32) -> f32, exact: impl Fn(f64) -> f64, range: (f32, f32)) -> (f64, f32) {
        let n = 200_000;
        let at = |i: i32| range.0 + (range.1 - range.0) * (i as f32 / n as f32);
        (0..=n)
            .map(|i| (((f(at(i)) as f64 / exact(at(i) as f64) - 1.0) * 2f64.powi(24)).abs(), at(i)))
            .filter(|(e, _)| !e.is_nan())
            .max_by(|a, b| a.0.total_cmp(&b.0))
            .expect("some are numbers")
    }

    #[test]
    fn close_to_the_exact_value() {
        for (range, bound) in [((-87.3, 88.7), 4.0), ((-1.0, 1.0), 3.0)] {
            assert!(worst(exp, f64::exp, range).0 < bound, "{:?}", worst(exp, f64::exp, range));
        }
        for range in [(0.5, 2.0), (1e-30, 1e-20), (0.9, 1.1), (3.0, 1e30)] {
            assert!(worst(log, f64::ln, range).0 < 4.0, "{:?}", worst(log, f64::ln, range));
        }
        for range in [(-1e-3, 1e-3), (-1.0, 1.0), (-12.0, 12.0)] {
            assert!(worst(tanh, f64::tanh, range).0 < 8.0, "{:?}", worst(tanh, f64::tanh, range));
            assert!(worst(expm1, f64::exp_m1, range).0 < 12.0, "{:?}", worst(expm1, f64::exp_m1, range));
            assert!(worst(erf, crate::special::erf, range).0 < 6.0, "{:?}", worst(erf, crate::special::erf, range));
        }
        for range in [(-1e-3, 1e-3), (-0.99, 1.0), (1.0, 1e10)] {
            assert!(worst(log1p, f64::ln_1p, range).0 < 8.0, "{:?}", worst(log1p, f64::ln_1p, range));
        }
    }

    #[test]
    fn at_the_ends() {
        const INF: f32 = f32::INFINITY;
        assert_eq!([-INF, -105.5, f32::MIN, 0.0, 88.8, INF].map(exp), [0.0, 0.0, 0.0, 1.0, INF, INF]);
        assert!(exp(-100.0) > 0.0 && exp(88.7) < INF);
        assert_eq!([0.0, -0.0, 1.0, INF].map(log), [-INF, -INF, 0.0, INF]);
        assert!((log(1e-41) as f64 - (1e-41f32 as f64).ln()).abs() < 1e-5 && log(-1.0).is_nan());
        assert_eq!([-INF, -20.0, 0.0, 20.0, INF].map(tanh), [-1.0, -1.0, 0.0, 1.0, 1.0]);
        assert_eq!([-INF, -1e-30, 0.0, 1e-30, INF].map(expm1), [-1.0, -1e-30, 0.0, 1e-30, INF]);
        assert_eq!([-1.0, -1e-30, 0.0, 1e-30, INF].map(log1p), [-INF, -1e-30, 0.0, 1e-30, INF]);
        assert_eq!([-INF, -8.0, 0.0, 8.0, INF].map(erf), [-1.0, -1.0, 0.0, 1.0, 1.0]);
        assert!([exp, log, tanh, expm1, log1p, erf].iter().all(|f| f(f32::NAN).is_nan()));
    }
}
