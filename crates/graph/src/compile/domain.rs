//! One index space seen as another: [256, 256] as [256, 2, 128].

use wgrad_device::Expr;

/// An expression over `from` as one over `to`, elements in the same order, if each dimension of `from` is a product of
/// neighbours in `to`.
pub(super) fn finer(expr: &Expr, from: &[usize], to: &[usize]) -> Option<Expr> {
    // For each dimension of `to`, which of `from` it is a part of, and how many elements of that a step is.
    let mut parts: Vec<Option<(usize, i64)>> = vec![None; to.len()];
    let mut t = to.len();
    for (f, &n) in from.iter().enumerate().rev().filter(|(_, n)| **n != 1) {
        let mut step = 1;
        while step < n {
            t = t.checked_sub(1)?;
            if to[t] != 1 {
                parts[t] = Some((f, step as i64));
                step *= to[t];
            }
        }
        if step != n {
            return None;
        }
    }
    if to[..t].iter().any(|&n| n != 1) {
        return None;
    }
    let mut expr = expr.clone();
    for a in expr.affines_mut() {
        a.strides = parts.iter().map(|p| p.map_or(0, |(f, step)| a.strides[f] * step)).collect();
    }
    Some(expr)
}

#[cfg(test)]
mod tests {
    use super::*;
    use wgrad_device::{Affine, DType, ExprNode};

    #[test]
    fn strides_are_those_of_the_parts() {
        let mut expr = Expr::default();
        expr.push(ExprNode::Index(Affine { strides: vec![7, 100, 3], offset: 5 }), DType::U32);
        let strides = |from: &[usize], to: &[usize]| {
            let mut finer = finer(&expr, from, to)?;
            Some(finer.affines_mut()[0].strides.clone())
        };
        assert_eq!(strides(&[4, 1, 6], &[4, 1, 6]), Some(vec![7, 0, 3]));
        assert_eq!(strides(&[4, 2, 6], &[2, 2, 1, 2, 3, 2]), Some(vec![14, 7, 0, 100, 6, 3]));
        assert_eq!(strides(&[4, 2, 6], &[8, 6]), None);
        assert_eq!(strides(&[4, 2, 6], &[4, 2, 4]), None);
        assert_eq!(strides(&[4, 2, 6], &[3, 4, 2, 6]), None);
    }
}
