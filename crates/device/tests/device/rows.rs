//! Sample rows: folded and mapped over.

use crate::maps::{constant, load};
use crate::sample::{Sample, Work};
use DType::*;
use ReduceOp::*;
use wgrad_device::kernels::{ReduceOp, Reduction, RowOutput, Rows};
use wgrad_device::{Access, Affine, Binary, DType, Expr, ExprId, ExprNode, Unary};

fn binary(e: &mut Expr, op: Binary, a: ExprId, b: ExprId) -> ExprId {
    let dtype = e.dtypes[a];
    e.push(ExprNode::Binary(op, a, b), dtype)
}

fn unary(e: &mut Expr, op: Unary, a: ExprId) -> ExprId {
    let dtype = e.dtypes[a];
    e.push(ExprNode::Unary(op, a), dtype)
}

/// Elements of a row, by `strides` over `[rows, length]`.
fn strided(strides: [i64; 2]) -> Access {
    Access { base: Affine { strides: strides.to_vec(), offset: 0 }, coords: vec![] }
}

fn rows(
    kept: usize,
    length: usize,
    expr: Expr,
    inputs: &[DType],
    folds: &[(ReduceOp, ExprId)],
    o: &[RowOutput],
) -> Rows {
    let folds = folds.iter().map(|&(op, node)| Reduction { op, node }).collect();
    Rows { keep: vec![kept], row: vec![length], expr, inputs: inputs.to_vec(), folds, outputs: o.to_vec() }
}

/// `e^(x - max) / sum(e^(x - max))`, and the logarithm of the sum of e^x for each row.
fn softmax(kept: usize, length: usize, dtype: DType, access: Access) -> Rows {
    let mut e = Expr::default();
    let x = load(&mut e, 0, dtype, access);
    let x = if dtype == F32 { x } else { e.push(ExprNode::Cast(x), F32) };
    let max = e.push(ExprNode::Folded(0), F32);
    let shifted = binary(&mut e, Binary::Sub, x, max);
    let exp = unary(&mut e, Unary::Exp, shifted);
    let sum = e.push(ExprNode::Folded(1), F32);
    let y = binary(&mut e, Binary::Div, exp, sum);
    let y = if dtype == F32 { y } else { e.push(ExprNode::Cast(y), dtype) };
    let log = unary(&mut e, Unary::Log, sum);
    let log = binary(&mut e, Binary::Add, log, max);
    rows(kept, length, e, &[dtype], &[(Max, x), (Sum, exp)], &[RowOutput::Each(y), RowOutput::Once(log)])
}

/// A sum of two, stored; and that normalised, weighted and shifted, with its mean.
fn norm(kept: usize, length: usize, access: Access) -> Rows {
    let mut e = Expr::default();
    let a = load(&mut e, 0, F32, access);
    let b = load(&mut e, 1, F32, Access::linear(&[kept, length]));
    let x = binary(&mut e, Binary::Add, a, b);
    let (share, eps) = (constant(&mut e, 1.0 / length as f32), constant(&mut e, 0.1));
    let [sum, deviations] = [0, 1].map(|f| e.push(ExprNode::Folded(f), F32));
    let mean = binary(&mut e, Binary::Mul, sum, share);
    let variance = binary(&mut e, Binary::Mul, deviations, share);
    let variance = binary(&mut e, Binary::Add, variance, eps);
    let deviation = unary(&mut e, Unary::Sqrt, variance);
    let centred = binary(&mut e, Binary::Sub, x, mean);
    let y = binary(&mut e, Binary::Div, centred, deviation);
    let weight = load(&mut e, 2, F32, strided([0, 1]));
    let scale = load(&mut e, 3, F32, strided([1, 0]));
    let y = binary(&mut e, Binary::Mul, y, weight);
    let y = binary(&mut e, Binary::Mul, y, scale);
    let outputs = [RowOutput::Each(y), RowOutput::Each(x), RowOutput::Once(mean)];
    rows(kept, length, e, &[F32; 4], &[(Sum, x), (SquaredDeviations, x)], &outputs)
}

/// Several walks: where the greatest is, how many are above half of it, and the elements by both.
fn counted(kept: usize, length: usize) -> Rows {
    let mut e = Expr::default();
    let x = load(&mut e, 0, I32, Access::linear(&[kept, length]));
    let max = e.push(ExprNode::Folded(0), I32);
    let at = e.push(ExprNode::Folded(1), U32);
    let two = e.push(ExprNode::Const(2), I32);
    let double = binary(&mut e, Binary::Mul, x, two);
    let above = e.push(ExprNode::Binary(Binary::Le, max, double), Bool);
    let above = e.push(ExprNode::Cast(above), I32);
    let count = e.push(ExprNode::Folded(2), I32);
    let place = e.push(ExprNode::Cast(at), I32);
    let by = binary(&mut e, Binary::Add, count, place);
    let y = binary(&mut e, Binary::Mul, x, by);
    let outputs = [RowOutput::Each(y), RowOutput::Once(at), RowOutput::Once(count), RowOutput::Each(above)];
    rows(kept, length, e, &[I32], &[(Max, x), (ArgMax, x), (Sum, above)], &outputs)
}

pub fn samples() -> Vec<Sample> {
    let mut all = vec![];
    let mut add = |name: &str, work: Rows, tolerance: f64| all.push(Sample::new(name, Work::Rows(work), tolerance));
    for (kept, length) in [(5, 1), (1, 1), (700, 3), (67, 17), (1, 100), (9, 130), (3, 1000), (70, 1025), (2, 4097)] {
        let linear = Access::linear(&[kept, length]);
        add(&format!("softmax of {length}"), softmax(kept, length, F32, linear.clone()), 1e-5);
        add(&format!("norm of {length}"), norm(kept, length, linear), 2e-5);
        let columns = strided([1, kept as i64]);
        add(&format!("softmax of columns of {length}"), softmax(kept, length, F32, columns.clone()), 1e-5);
        add(&format!("norm of columns of {length}"), norm(kept, length, columns), 2e-5);
        add(&format!("counted, {length}"), counted(kept, length), 0.0);
    }
    add("softmax of f16", softmax(6, 77, F16, Access::linear(&[6, 77])), 2e-3);
    add("no rows", softmax(0, 3, F32, Access::linear(&[0, 3])), 0.0);
    // Three kept and two folded dimensions, in another order than in memory.
    let mut two = softmax(24, 35, F32, strided([0, 0]));
    two.expr.affines_mut().into_iter().for_each(|a| a.strides = vec![35, 35 * 6, 35 * 2, 1, 5]);
    (two.keep, two.row) = (vec![2, 4, 3], vec![5, 7]);
    add("softmax over two dimensions", two, 1e-5);
    // The result over the argument.
    for length in [40, 1500] {
        let work = softmax(80, length, F32, Access::linear(&[80, length]));
        add(&format!("in place, {length}"), work, 1e-5);
    }
    all.iter_mut().filter(|s| s.name.starts_with("in place")).for_each(|s| s.aliases = vec![Some(0), None]);
    all
}

#[test]
fn a_result_goes_over_an_argument_that_nobody_reads_later() {
    use wgrad_device::Kernel;
    let linear = || Access::linear(&[8, 20]);
    assert!(softmax(8, 20, F32, linear()).may_alias(0, 0));
    // One value a row.
    assert!(!softmax(8, 20, F32, linear()).may_alias(1, 0));
    // The sum is stored in the first walk, and read back; weights are read in the last.
    let norm = norm(8, 20, linear());
    assert!(norm.may_alias(1, 0) && norm.may_alias(1, 1) && norm.may_alias(0, 1));
    assert!(!norm.may_alias(0, 2) && !norm.may_alias(0, 3));
    assert!(!softmax(8, 20, F32, strided([1, 8])).may_alias(0, 0));
}
