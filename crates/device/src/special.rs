//! Functions that neither Rust's library nor WGSL has: in f64, plain and exact, for references and for constants found on
//! the host; and in f32, as the CPU backend computes them (the shaders' math.wgsl has the same formulas).

use std::f64::consts::PI;

/// The error function, 2 / sqrt(pi) times the integral of `e^(-t^2)` from 0 to x.
pub fn erf(x: f64) -> f64 {
    if x.abs() > 6.0 {
        return x.signum();
    }
    // erf(x) = 2 / sqrt(pi) * e^(-x^2) * sum of 2^n x^(2n+1) / (1 * 3 * ... * (2n+1)): terms of one sign.
    let (mut term, mut sum, mut n) = (x, x, 0.0);
    // NaN ends it at once.
    while term.abs() > sum.abs() * 1e-17 {
        n += 1.0;
        term *= 2.0 * x * x / (2.0 * n + 1.0);
        sum += term;
    }
    2.0 / PI.sqrt() * (-x * x).exp() * sum
}

/// The inverse of [`erf`]: infinite at -1 and 1, NaN beyond.
pub fn erfinv(x: f64) -> f64 {
    if x.abs() >= 1.0 || x.is_nan() {
        return if x.abs() == 1.0 { x * f64::INFINITY } else { f64::NAN };
    }
    // Newton's steps from the f32 formula.
    let start = erfinv_by(x, (-((1.0 - x) * (1.0 + x)).ln()).max(0.0));
    (0..4).fold(start, |y, _| y - (erf(y) - x) * PI.sqrt() / 2.0 * (y * y).exp())
}

/// Giles, "Approximating the erfinv function" (GPU Computing Gems, 2011), given `w = -log(1 - x^2)`.
fn erfinv_by(x: f64, w: f64) -> f64 {
    let (coefficients, w) = if w < 5.0 { (&CENTRE, w - 2.5) } else { (&TAIL, w.sqrt() - 3.0) };
    coefficients.iter().fold(0.0, |p, &c| p * w + c as f64) * x
}

const CENTRE: [f32; 9] = [
    2.810_226_4e-8,
    3.432_739_4e-7,
    -3.523_387_7e-6,
    -4.391_506_5e-6,
    0.000_218_580_87,
    -0.001_253_725,
    -0.004_177_681_6,
    0.246_640_73,
    1.501_409_4,
];

const TAIL: [f32; 9] = [
    -0.000_200_214_26,
    0.000_100_950_56,
    0.001_349_343_2,
    -0.003_673_428_4,
    0.005_739_508,
    -0.007_622_461,
    0.009_438_870_5,
    1.001_674,
    2.832_976_8,
];

/// [`erfinv`] in f32.
pub(crate) fn erfinv_f32(x: f32) -> f32 {
    if x.abs() == 1.0 {
        return x * f32::INFINITY;
    }
    let w = -((1.0 - x) * (1.0 + x)).ln();
    let (coefficients, w) = if w < 5.0 { (&CENTRE, w - 2.5) } else { (&TAIL, w.sqrt() - 3.0) };
    coefficients.iter().fold(0.0, |p, &c| p * w + c) * x
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values() {
        // Abramowitz and Stegun, table 7.1, and a tail value.
        for (x, y) in [(0.5, 0.5204998778130465), (1.0, 0.8427007929497149), (2.0, 0.9953222650189527), (0.0, 0.0)] {
            assert!((erf(x) - y).abs() < 1e-15 && (erf(-x) + y).abs() < 1e-15, "{x}");
        }
        assert!(erf(f64::NAN).is_nan() && erf(7.0) == 1.0 && erfinv(-1.0) == f64::NEG_INFINITY && erfinv(1.1).is_nan());
        for x in [-0.999999, -0.7, -1e-12, 0.0, 0.3, 0.99] {
            assert!((erf(erfinv(x)) - x).abs() < 1e-15, "{x}");
        }
    }

    #[test]
    fn single_precision_is_close() {
        for i in -4000..=4000 {
            let x = i as f32 / 1000.0;
            let p = x / 4.0;
            if p.abs() < 1.0 {
                let exact = erfinv(p as f64);
                assert!((erfinv_f32(p) as f64 - exact).abs() <= 5e-7 * exact.abs(), "erfinv({p})");
            }
        }
        assert_eq!(erfinv_f32(1.0), f32::INFINITY);
    }
}
