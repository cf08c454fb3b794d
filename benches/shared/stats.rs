//! The arithmetic of a report.

/// The middle value, or the mean of the two in the middle; NaN of nothing.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n => (sorted[(n - 1) / 2] + sorted[n / 2]) / 2.0,
    }
}

/// The least value; infinity of nothing.
pub fn least(values: impl IntoIterator<Item = f64>) -> f64 {
    values.into_iter().fold(f64::INFINITY, f64::min)
}

/// The greatest value; 0 of nothing.
pub fn greatest(values: impl IntoIterator<Item = f64>) -> f64 {
    values.into_iter().fold(0.0, f64::max)
}

/// Whether both sides computed the same: each value within this much of the peer's, and as many of them.
pub fn agree(ours: &[f64], theirs: &[f64], tolerance: f64) -> bool {
    let close = |(a, b): (&f64, &f64)| (a - b).abs() <= tolerance * b.abs();
    ours.len() == theirs.len() && ours.iter().zip(theirs).all(close)
}

/// How y grows with x: the exponent of the power law through the points, by least squares of the logarithms. 1 is linear.
pub fn growth(points: &[(f64, f64)]) -> f64 {
    let n = points.len() as f64;
    let logs: Vec<(f64, f64)> = points.iter().map(|(x, y)| (x.ln(), y.ln())).collect();
    let mean = |f: &dyn Fn(&(f64, f64)) -> f64| logs.iter().map(f).sum::<f64>() / n;
    let (mx, my) = (mean(&|p| p.0), mean(&|p| p.1));
    let (cov, var) = (mean(&|p| (p.0 - mx) * (p.1 - my)), mean(&|p| (p.0 - mx).powi(2)));
    cov / var
}
