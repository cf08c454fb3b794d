//! The Frechet distance between normal distributions.

use crate::error::DataError;

/// A normal distribution fitted to feature vectors.
#[derive(Clone, Debug, PartialEq)]
pub struct Gaussian {
    mean: Vec<f64>,
    /// Row-major.
    covariance: Vec<f64>,
}

impl Gaussian {
    /// Mean and unbiased covariance of the rows of `features`, each `width` long.
    ///
    /// # Errors
    /// When there are fewer than two whole rows, or a value is not finite.
    pub fn fit(features: &[f32], width: usize) -> Result<Gaussian, DataError> {
        let invalid = |reason: String| DataError::Invalid { name: "features".into(), reason };
        if width == 0 || !features.len().is_multiple_of(width) || features.len() / width < 2 {
            return Err(invalid(format!("{} values are not two or more rows of {width}", features.len())));
        }
        if let Some(bad) = features.iter().find(|x| !x.is_finite()) {
            return Err(invalid(format!("a value is {bad}")));
        }
        let count = (features.len() / width) as f64;
        let mut mean = vec![0.0; width];
        for row in features.chunks_exact(width) {
            mean.iter_mut().zip(row).for_each(|(m, &x)| *m += f64::from(x) / count);
        }
        let mut covariance = vec![0.0; width * width];
        let mut off = vec![0.0; width];
        for row in features.chunks_exact(width) {
            off.iter_mut().zip(row).zip(&mean).for_each(|((o, &x), m)| *o = f64::from(x) - m);
            for (i, &a) in off.iter().enumerate() {
                let line = &mut covariance[i * width..][..width];
                line.iter_mut().zip(&off).for_each(|(c, &b)| *c += a * b / (count - 1.0));
            }
        }
        Ok(Gaussian { mean, covariance })
    }

    /// The squared Frechet (2-Wasserstein) distance to a distribution of the same width (Dowson and Landau, 1982):
    /// `|m1 - m2|^2 + trace(C1 + C2 - 2 (C1 C2)^(1/2))`, the number that is called FID where the features are those of
    /// Inception (Heusel et al., 2017).
    ///
    /// # Panics
    /// When the widths differ.
    pub fn frechet_distance(&self, other: &Gaussian) -> f64 {
        let n = self.mean.len();
        assert_eq!(n, other.mean.len(), "features of different widths");
        let shift: f64 = self.mean.iter().zip(&other.mean).map(|(a, b)| (a - b).powi(2)).sum();
        let trace = |m: &[f64]| (0..n).map(|i| m[i * n + i]).sum::<f64>();
        // C1 C2 has the eigenvalues of R C2 R with R = C1^(1/2), which is symmetric: so their roots are real, and what rounding
        // takes below 0 is 0.
        let root = square_root(&self.covariance, n);
        let between = product(&product(&root, &other.covariance, n), &root, n);
        let (values, _) = eigen(between, n);
        let roots: f64 = values.iter().map(|v| v.max(0.0).sqrt()).sum();
        (shift + trace(&self.covariance) + trace(&other.covariance) - 2.0 * roots).max(0.0)
    }
}

/// The product of two `n` by `n` matrices.
fn product(a: &[f64], b: &[f64], n: usize) -> Vec<f64> {
    let mut c = vec![0.0; n * n];
    for (i, row) in a.chunks_exact(n).enumerate() {
        for (&x, line) in row.iter().zip(b.chunks_exact(n)) {
            c[i * n..][..n].iter_mut().zip(line).for_each(|(c, y)| *c += x * y);
        }
    }
    c
}

/// The symmetric root of a symmetric matrix without negative eigenvalues.
fn square_root(matrix: &[f64], n: usize) -> Vec<f64> {
    let (values, vectors) = eigen(matrix.to_vec(), n);
    // Rows of `vectors` are the eigenvectors: V^T diag(sqrt) V.
    let mut root = vec![0.0; n * n];
    for (value, vector) in values.iter().zip(vectors.chunks_exact(n)) {
        let scale = value.max(0.0).sqrt();
        for i in 0..n {
            let x = scale * vector[i];
            root[i * n..][..n].iter_mut().zip(vector).for_each(|(r, y)| *r += x * y);
        }
    }
    root
}

/// Eigenvalues of a symmetric matrix, and its eigenvectors as rows in the same order, by Jacobi's rotations (Golub and Van
/// Loan, "Matrix computations", section 8.5): each makes one element 0, and in sweeps over all of them they vanish together.
fn eigen(mut a: Vec<f64>, n: usize) -> (Vec<f64>, Vec<f64>) {
    let mut v = vec![0.0; n * n];
    (0..n).for_each(|i| v[i * n + i] = 1.0);
    let scale: f64 = a.iter().map(|x| x * x).sum();
    // It converges quadratically: 64 features take 8 sweeps or so.
    for _ in 0..60 {
        let off: f64 = (0..n).flat_map(|i| (0..i).map(move |j| (i, j))).map(|(i, j)| a[i * n + j].powi(2)).sum();
        if off <= scale * 1e-30 {
            break;
        }
        for p in 0..n {
            for q in p + 1..n {
                let apq = a[p * n + q];
                if apq == 0.0 {
                    continue;
                }
                let tau = (a[q * n + q] - a[p * n + p]) / (2.0 * apq);
                let t = if tau >= 0.0 {
                    1.0 / (tau + (1.0 + tau * tau).sqrt())
                } else {
                    1.0 / (tau - (1.0 + tau * tau).sqrt())
                };
                let c = 1.0 / (1.0 + t * t).sqrt();
                let s = t * c;
                for k in 0..n {
                    let (x, y) = (a[k * n + p], a[k * n + q]);
                    (a[k * n + p], a[k * n + q]) = (c * x - s * y, s * x + c * y);
                }
                for k in 0..n {
                    let (x, y) = (a[p * n + k], a[q * n + k]);
                    (a[p * n + k], a[q * n + k]) = (c * x - s * y, s * x + c * y);
                    let (x, y) = (v[p * n + k], v[q * n + k]);
                    (v[p * n + k], v[q * n + k]) = (c * x - s * y, s * x + c * y);
                }
            }
        }
    }
    ((0..n).map(|i| a[i * n + i]).collect(), v)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint;

    /// The numbers of scripts/golden/frechet.py, by scipy's matrix root: plain features, features of which some do not vary
    /// or depend on others, and ones that are hardly apart.
    #[test]
    fn as_scipy_has_it() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/frechet.safetensors");
        let file = checkpoint::load(path).unwrap();
        let get = |name: String| (file[&name].shape.clone(), file[&name].to_f32(&name).unwrap());
        for case in ["plain", "singular", "close"] {
            let [a, b] = ["a", "b"].map(|side| {
                let (shape, features) = get(format!("{case}.{side}"));
                Gaussian::fit(&features, shape[1]).unwrap()
            });
            let expected = f64::from(get(format!("{case}.distance")).1[0]);
            for got in [a.frechet_distance(&b), b.frechet_distance(&a)] {
                assert!((got - expected).abs() <= 1e-5 * expected, "{case}: {got}, not {expected}");
            }
            assert!(a.frechet_distance(&a) < 1e-9, "{}", a.frechet_distance(&a));
        }
    }

    /// In one dimension it is (m1 - m2)^2 + (s1 - s2)^2.
    #[test]
    fn one_dimension() {
        let a = Gaussian::fit(&[0.0, 2.0, 0.0, 2.0], 1).unwrap(); // mean 1, variance 4/3
        let b = Gaussian::fit(&[3.0, 11.0], 1).unwrap(); // mean 7, variance 32
        let expected = 36.0 + (32f64.sqrt() - (4.0f64 / 3.0).sqrt()).powi(2);
        assert!((a.frechet_distance(&b) - expected).abs() < 1e-9);
    }

    #[test]
    fn eigenvectors_are_what_they_are_called() {
        // Eigenvalues 1, 2, 4 for a rotated diagonal.
        let a = [3.0, 1.0, 0.0, 1.0, 3.0, 0.0, 0.0, 0.0, 1.0];
        let (values, vectors) = eigen(a.to_vec(), 3);
        let mut sorted = values.clone();
        sorted.sort_by(f64::total_cmp);
        assert!(sorted.iter().zip([1.0, 2.0, 4.0]).all(|(x, e)| (x - e).abs() < 1e-12), "{values:?}");
        for (value, vector) in values.iter().zip(vectors.chunks(3)) {
            for i in 0..3 {
                let image: f64 = (0..3).map(|j| a[i * 3 + j] * vector[j]).sum();
                assert!((image - value * vector[i]).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn what_cannot_be_fitted_is_refused() {
        for (features, width) in [(&[][..], 1), (&[1.0], 1), (&[1.0, 2.0, 3.0], 2), (&[1.0], 0), (&[1.0, f32::NAN], 1)]
        {
            assert!(matches!(Gaussian::fit(features, width), Err(DataError::Invalid { .. })), "{features:?}");
        }
    }
}
