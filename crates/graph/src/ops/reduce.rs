//! Folds over axes: sum, mean, product, max, min, and the position of the greatest and least.

use crate::op::{Array, Lower, Op};
use crate::shape::for_each_index;
use crate::{OpCase, Tensor, gradients_of};
use wgrad_device::DType;
use wgrad_device::kernels::ReduceOp;

/// Over ascending axes, which are dropped.
#[derive(Debug)]
struct Reduce {
    op: ReduceOp,
    axes: Vec<usize>,
}

impl Reduce {
    fn is_arg(&self) -> bool {
        matches!(self.op, ReduceOp::ArgMax | ReduceOp::ArgMin)
    }
}

impl Op for Reduce {
    fn name(&self) -> &'static str {
        match self.op {
            ReduceOp::Sum => "sum",
            ReduceOp::Prod => "prod",
            ReduceOp::Max => "max",
            ReduceOp::Min => "min",
            ReduceOp::ArgMax => "argmax",
            ReduceOp::ArgMin => "argmin",
            ReduceOp::SquaredDeviations => "squared_deviations",
        }
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<(Vec<usize>, DType), String> {
        let x = inputs[0];
        if x.dtype() == DType::Bool {
            return Err("not defined for bool; cast to u32 or f32 first".into());
        }
        if self.op == ReduceOp::SquaredDeviations && x.dtype() != DType::F32 {
            return Err(format!("f32 expected, not {}", x.dtype()));
        }
        let empty = self.axes.iter().any(|&a| x.shape()[a] == 0);
        if empty && !matches!(self.op, ReduceOp::Sum | ReduceOp::Prod | ReduceOp::SquaredDeviations) {
            return Err(format!("{:?} has nothing to choose from along {:?}", x.shape(), self.axes));
        }
        let shape = (0..x.rank()).filter(|d| !self.axes.contains(d)).map(|d| x.shape()[d]).collect();
        Ok((shape, if self.is_arg() { DType::U32 } else { x.dtype() }))
    }

    fn gradient(&self, output: &Tensor, grad: &Tensor) -> Result<Vec<Option<Tensor>>, String> {
        let x = &output.inputs()[0];
        let mut keep = x.shape().to_vec();
        self.axes.iter().for_each(|&a| keep[a] = 1);
        let wide = |t: &Tensor| t.reshape(keep.clone()).broadcast_to(x.shape());
        match self.op {
            ReduceOp::Sum => Ok(vec![Some(wide(grad))]),
            ReduceOp::Max | ReduceOp::Min => {
                // Shared evenly between equal elements, as PyTorch's amax and amin do.
                let zero = grad.lit(0.0);
                let hit = x.equal(&wide(output)).select(&grad.lit(1.0), &zero);
                let axes: Vec<isize> = self.axes.iter().map(|&a| a as isize).collect();
                let ties = hit.sum(&axes);
                Ok(vec![Some(hit * wide(&(grad / ties)))])
            }
            // Not output / x, which is 0 / 0 where an element is 0.
            ReduceOp::Prod => {
                let tree = product_tree(x, &self.axes).reshape(output.shape());
                Ok(vec![Some(gradients_of(&tree, &[x], grad).remove(0))])
            }
            // That the mean moves, too, adds up to nothing.
            ReduceOp::SquaredDeviations => {
                let axes: Vec<isize> = self.axes.iter().map(|&a| a as isize).collect();
                Ok(vec![Some((x - x.mean_keepdim(&axes)) * wide(&(grad * 2.0)))])
            }
            ReduceOp::ArgMax | ReduceOp::ArgMin => Err(format!("{} has no gradient", self.name())),
        }
    }

    fn reference(&self, inputs: &[&Array], shape: &[usize]) -> Array {
        let x = inputs[0];
        let start = match self.op {
            ReduceOp::Sum | ReduceOp::SquaredDeviations => 0.0,
            ReduceOp::Prod => 1.0,
            ReduceOp::Max | ReduceOp::ArgMax => f64::NEG_INFINITY,
            ReduceOp::Min | ReduceOp::ArgMin => f64::INFINITY,
        };
        let mut acc = vec![start; shape.iter().product()];
        let mut arg = vec![0.0; acc.len()];
        let mut seen = vec![0.0; acc.len()];
        let kept: Vec<usize> = (0..x.shape.len()).filter(|d| !self.axes.contains(d)).collect();
        let mut values = x.data.iter();
        for_each_index(&x.shape, |i| {
            let v = *values.next().expect("one for each index");
            let p = kept.iter().fold(0, |p, &d| p * x.shape[d] + i[d]);
            match self.op {
                ReduceOp::Sum => acc[p] += v,
                ReduceOp::Prod => acc[p] *= v,
                ReduceOp::Max => acc[p] = acc[p].max(v),
                ReduceOp::Min => acc[p] = acc[p].min(v),
                // `arg` is the mean so far.
                ReduceOp::SquaredDeviations => {
                    let apart = v - arg[p];
                    arg[p] += apart / (seen[p] + 1.0);
                    acc[p] += apart * (v - arg[p]);
                }
                ReduceOp::ArgMax if v > acc[p] => (acc[p], arg[p]) = (v, seen[p]),
                ReduceOp::ArgMin if v < acc[p] => (acc[p], arg[p]) = (v, seen[p]),
                _ => {}
            }
            seen[p] += 1.0;
        });
        Array::new(shape, if self.is_arg() { arg } else { acc })
    }

    fn lower(&self) -> Lower<'_> {
        Lower::Reduce(self.op, &self.axes)
    }
}

/// The product over `axes`, which stay with extent 1, as products of halves: its gradients of any order are right, whatever
/// elements are 0.
fn product_tree(x: &Tensor, axes: &[usize]) -> Tensor {
    let mut y = x.clone();
    for &d in axes {
        let axis = d as isize;
        while y.shape()[d] != 1 {
            // An odd one out (or the product of nothing) is matched by a 1.
            let n = y.shape()[d].next_multiple_of(2).max(1);
            y = y.pad(axis, 0, n - y.shape()[d], 1.0);
            if n > 1 {
                y = y.slice(axis, 0..n / 2) * y.slice(axis, n / 2..n);
            }
        }
    }
    y
}

impl Tensor {
    #[track_caller]
    fn reduce(&self, op: ReduceOp, axes: &[isize]) -> Tensor {
        let reduce = Reduce { op, axes: vec![] };
        let axes = self.axes(reduce.name(), axes);
        if axes.is_empty() && !reduce.is_arg() {
            return self.clone();
        }
        Tensor::apply(Reduce { op, axes }, &[self])
    }

    /// A value that lacks `axes` of this tensor, with extents of 1 put there.
    #[track_caller]
    pub(crate) fn keepdim(&self, reduced: Tensor, axes: &[isize]) -> Tensor {
        let mut shape = self.shape().to_vec();
        self.axes("keepdim", axes).iter().for_each(|&a| shape[a] = 1);
        reduced.reshape(shape)
    }

    /// Sum over `axes` (negative ones count from the end), which are dropped. Of nothing: 0. f16 is summed in f32, and the
    /// result rounded.
    #[track_caller]
    pub fn sum(&self, axes: &[isize]) -> Tensor {
        self.reduce(ReduceOp::Sum, axes)
    }

    /// Sum over `axes`, which stay with extent 1.
    #[track_caller]
    pub fn sum_keepdim(&self, axes: &[isize]) -> Tensor {
        self.keepdim(self.sum(axes), axes)
    }

    /// Mean over `axes`, which are dropped.
    #[track_caller]
    pub fn mean(&self, axes: &[isize]) -> Tensor {
        let n: usize = self.axes("mean", axes).iter().map(|&a| self.shape()[a]).product();
        (self.in_f32().sum(axes) / self.in_f32().lit(n as f64)).cast(self.dtype())
    }

    /// Mean over `axes`, which stay with extent 1.
    #[track_caller]
    pub fn mean_keepdim(&self, axes: &[isize]) -> Tensor {
        self.keepdim(self.mean(axes), axes)
    }

    /// Sum of all elements.
    #[track_caller]
    pub fn sum_all(&self) -> Tensor {
        self.sum(&(0..self.rank() as isize).collect::<Vec<_>>())
    }

    /// Mean of all elements.
    #[track_caller]
    pub fn mean_all(&self) -> Tensor {
        self.mean(&(0..self.rank() as isize).collect::<Vec<_>>())
    }

    /// Product over `axes`, which are dropped. Of nothing: 1. The gradient is right where elements are 0.
    #[track_caller]
    pub fn prod(&self, axes: &[isize]) -> Tensor {
        self.reduce(ReduceOp::Prod, axes)
    }

    /// Product over `axes`, which stay with extent 1.
    #[track_caller]
    pub fn prod_keepdim(&self, axes: &[isize]) -> Tensor {
        self.keepdim(self.prod(axes), axes)
    }

    /// Greatest over `axes`, which are dropped; the gradient is shared evenly between equal elements.
    #[track_caller]
    pub fn max(&self, axes: &[isize]) -> Tensor {
        self.reduce(ReduceOp::Max, axes)
    }

    /// Greatest over `axes`, which stay with extent 1.
    #[track_caller]
    pub fn max_keepdim(&self, axes: &[isize]) -> Tensor {
        self.keepdim(self.max(axes), axes)
    }

    /// Least over `axes`, which are dropped; the gradient is shared evenly between equal elements.
    #[track_caller]
    pub fn min(&self, axes: &[isize]) -> Tensor {
        self.reduce(ReduceOp::Min, axes)
    }

    /// Least over `axes`, which stay with extent 1.
    #[track_caller]
    pub fn min_keepdim(&self, axes: &[isize]) -> Tensor {
        self.keepdim(self.min(axes), axes)
    }

    /// Sum over `axes`, which are dropped, of the squared distances from the mean over them: the biased variance times the
    /// number of elements. In one pass, and a large mean does no harm. Of nothing: 0. f16 is computed in f32, and the result
    /// rounded.
    #[track_caller]
    pub fn squared_deviations(&self, axes: &[isize]) -> Tensor {
        let axes: Vec<isize> = self.axes("squared_deviations", axes).into_iter().map(|a| a as isize).collect();
        if axes.is_empty() {
            return Tensor::zeros(self.shape().to_vec(), self.dtype());
        }
        self.in_f32().reduce(ReduceOp::SquaredDeviations, &axes).cast(self.dtype())
    }

    /// Position of the first greatest element over `axes`, counted row-major among them: u32.
    #[track_caller]
    pub fn argmax(&self, axes: &[isize]) -> Tensor {
        self.reduce(ReduceOp::ArgMax, axes)
    }

    /// Position of the first least element over `axes`, counted row-major among them: u32.
    #[track_caller]
    pub fn argmin(&self, axes: &[isize]) -> Tensor {
        self.reduce(ReduceOp::ArgMin, axes)
    }
}

pub(crate) fn cases() -> Vec<OpCase> {
    let shapes: &[(&[usize], &[isize])] = &[
        (&[3, 4, 5], &[1]),
        (&[3, 4, 5], &[0, 2]),
        (&[70, 3], &[0]),
        (&[2, 523], &[-1]),
        (&[6], &[0]),
        (&[1, 1], &[0, 1]),
        (&[5, 1, 2], &[1]),
        (&[0, 3], &[1]),
    ];
    type Fold = fn(&Tensor, &[isize]) -> Tensor;
    let folds: &[(&'static str, Fold)] = &[
        ("sum", |x, a| x.square().sum(a)),
        ("mean", |x, a| x.square().mean(a)),
        ("max", |x, a| (x * 2.0).max(a)),
        ("min", |x, a| (x * 2.0).min(a)),
        // Elements of 0 among them, one or more.
        ("squared_deviations", |x, a| (x * 0.5 + 2.0).squared_deviations(a)),
        ("prod", |x, a| (x.gt(&x.lit(-0.6)).select(x, &(x * 0.0)) * 1.5).prod(a)),
        ("argmax", |x, a| x.argmax(a).cast(x.dtype()) * x.sum(a)),
        ("argmin", |x, a| x.argmin(a).cast(x.dtype()) * x.sum(a)),
    ];
    let mut all = vec![];
    for &(name, fold) in folds {
        for &(shape, axes) in shapes {
            all.push(OpCase::new(name, format!("{name} {shape:?} over {axes:?}"), &[shape], move |x| {
                fold(&x[0], axes)
            }));
        }
    }
    all.push(OpCase::new("prod", "prod of nothing", &[&[0, 3]], |x| x[0].prod(&[0])));
    all.push(OpCase::new("prod", "prod_keepdim of a transpose", &[&[3, 5, 2]], |x| {
        x[0].transpose(0, 2).prod_keepdim(&[0, -1])
    }));
    all.push(OpCase::new("min", "min_keepdim", &[&[3, 5]], |x| &x[0] - x[0].min_keepdim(&[1])));
    all.push(OpCase::new("sum", "sum of nothing", &[&[0, 3]], |x| x[0].sum(&[0])));
    all.push(OpCase::new("sum", "sum of a transpose with a broadcast", &[&[4, 6], &[4]], |x| {
        (x[0].permute(&[1, 0]) * &x[1]).sum(&[1])
    }));
    all
}
