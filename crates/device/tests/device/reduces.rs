//! Sample reductions.

use crate::maps::load;
use crate::sample::{Sample, Work};
use DType::*;
use ReduceOp::*;
use wgrad_device::kernels::{Reduce, ReduceOp, Reduction};
use wgrad_device::{Access, Affine, Binary, Coord, DType, Expr, ExprNode};

fn reduce(keep: &[usize], inner: &[usize], dtype: DType, access: Access, ops: &[ReduceOp]) -> Work {
    let mut expr = Expr::default();
    let node = load(&mut expr, 0, dtype, access);
    let outputs = ops.iter().map(|&op| Reduction { op, node }).collect();
    Work::Reduce(Reduce { keep: keep.to_vec(), reduce: inner.to_vec(), expr, inputs: vec![dtype], outputs })
}

fn linear(keep: &[usize], inner: &[usize], dtype: DType, ops: &[ReduceOp]) -> Work {
    reduce(keep, inner, dtype, Access::linear(&[keep, inner].concat()), ops)
}

pub fn samples() -> Vec<Sample> {
    let mut all = vec![];
    let mut add = |name: &str, work: Work, tolerance: f64| all.push(Sample::new(name, work, tolerance));
    let every = [Sum, Max, Min, ArgMax, ArgMin];
    add("rows", linear(&[7], &[13], F32, &every), 1e-6);
    add("rows, split", linear(&[3], &[5003], F32, &every), 1e-5);
    add("all", linear(&[], &[77, 1031], F32, &[Sum, ArgMin]), 1e-4);
    add("products", linear(&[5], &[3], F32, &[Prod]), 1e-5);
    let with_deviations = [Sum, SquaredDeviations, ArgMax];
    for (keep, inner) in [([7], 1), ([7], 13), ([3], 5003), ([2000], 40), ([1], 100_003)] {
        add(&format!("deviations of {inner}"), linear(&keep, &[inner], F32, &with_deviations), 1e-4);
    }
    add("no deviations", linear(&[3], &[0], F32, &[SquaredDeviations]), 0.0);
    add("of nothing", linear(&[5], &[0], F32, &[Sum, Prod, Max, Min, ArgMax]), 0.0);
    add("into nothing", linear(&[0], &[5], F32, &[Sum]), 0.0);
    add("of one", linear(&[3], &[1], F32, &every), 0.0);
    for dtype in [U32, I32] {
        add(&format!("of {dtype}"), linear(&[3], &[2001], dtype, &[Sum, Prod, Max, Min, ArgMax, ArgMin]), 0.0);
        add(&format!("of no {dtype}"), linear(&[3], &[0], dtype, &[Sum, Max, Min]), 0.0);
    }
    add("of bool", linear(&[9], &[3], Bool, &[Sum, Prod, ArgMax, ArgMin]), 0.0);
    add("of f16", linear(&[9], &[129], F16, &[Sum, Max, ArgMax]), 2e-3);
    let columns =
        |keep: i64, reduce: i64| Access { base: Affine { strides: vec![keep, reduce], offset: 0 }, coords: vec![] };
    add("columns", reduce(&[37], &[19], F32, columns(1, 37), &every), 1e-6);
    add("deviations of columns", reduce(&[33], &[3001], F32, columns(1, 33), &with_deviations), 1e-4);
    add("columns, split", reduce(&[33], &[3001], F32, columns(1, 33), &every), 1e-5);
    add("ties", reduce(&[2], &[4001], U32, columns(0, 0), &[ArgMax, ArgMin]), 0.0);
    // Channels of an image batch, as batch norm sums them, and two nodes at once.
    let shape = [6, 4, 25];
    let access = Access { base: Affine { strides: vec![25, 150, 1], offset: 0 }, coords: vec![] };
    let mut expr = Expr::default();
    let x = load(&mut expr, 0, F32, access);
    let square = expr.push(ExprNode::Binary(Binary::Mul, x, x), F32);
    let outputs = vec![Reduction { op: Sum, node: x }, Reduction { op: Sum, node: square }];
    let work = Reduce { keep: vec![shape[0]], reduce: vec![shape[1], shape[2]], expr, inputs: vec![F32], outputs };
    add("channels", Work::Reduce(work), 1e-5);
    // A 3 x 3 maximum with padding, as pooling takes it.
    let coord = |strides: [i64; 5], stride| Coord {
        affine: Affine { strides: strides.to_vec(), offset: -1 },
        div: 1,
        len: 8,
        stride,
    };
    let window = Access {
        base: Affine { strides: vec![64, 0, 0, 0, 0], offset: 0 },
        coords: vec![coord([0, 2, 0, 1, 0], 8), coord([0, 0, 2, 0, 1], 1)],
    };
    add("windows", reduce(&[3, 4, 4], &[3, 3], F32, window, &[Max, ArgMax, Sum]), 1e-6);
    all
}
