//! Recurrences along an axis, and what is made of them: running sums, products, maxima and averages.

use crate::op::{Array, Lower, Op};
use crate::ops::gather::flat_along;
use crate::{OpCase, Tensor};
use std::sync::Arc;
use wgrad_device::DType;
use wgrad_device::kernels::{Recurrence as Kernel, Step};

/// Arguments: terms, then factors where there are any; or keys.
#[derive(Debug)]
struct Recurrence {
    kernel: Kernel,
    axis: usize,
}

impl Recurrence {
    #[track_caller]
    fn apply(step: Step, inputs: &[&Tensor], axis: usize, reverse: bool) -> Tensor {
        let shape = inputs[0].shape();
        let extent = |range: &[usize]| range.iter().product::<usize>();
        let (outer, inner) = (extent(&shape[..axis]), extent(&shape[axis + 1..]));
        Tensor::apply(Recurrence { kernel: Kernel { step, outer, n: shape[axis], inner, reverse }, axis }, inputs)
    }

    /// Each element's neighbour in the direction that the recurrence comes from; 0 before the first.
    fn previous(&self, x: &Tensor) -> Tensor {
        neighbour(x, self.axis, self.kernel.reverse, 0.0)
    }

    /// The neighbour in the other direction.
    fn next(&self, x: &Tensor) -> Tensor {
        neighbour(x, self.axis, !self.kernel.reverse, 0.0)
    }
}

/// The element before each one along an axis, or after it; `fill` where there is none.
#[track_caller]
fn neighbour(x: &Tensor, axis: usize, after: bool, fill: f32) -> Tensor {
    let (n, axis) = (x.shape()[axis], axis as isize);
    match (n, after) {
        (0, _) => x.clone(),
        (_, true) => x.slice(axis, 1..n).pad(axis, 0, 1, fill),
        (_, false) => x.slice(axis, 0..n - 1).pad(axis, 1, 0, fill),
    }
}

impl Op for Recurrence {
    fn name(&self) -> &'static str {
        if self.kernel.step == Step::Greatest { "running_argmax" } else { "recurrence" }
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<(Vec<usize>, DType), String> {
        let x = inputs[0];
        let wanted = if self.kernel.step == Step::Greatest { DType::U32 } else { DType::F32 };
        for t in inputs {
            if t.dtype() != wanted || t.shape() != x.shape() {
                return Err(format!("{wanted} {:?} expected, not {} {:?}", x.shape(), t.dtype(), t.shape()));
            }
        }
        Ok((x.shape().to_vec(), wanted))
    }

    fn gradient(&self, output: &Tensor, grad: &Tensor) -> Result<Vec<Option<Tensor>>, String> {
        let reverse = !self.kernel.reverse;
        let back = |inputs: &[&Tensor]| Recurrence::apply(self.kernel.step, inputs, self.axis, reverse);
        match self.kernel.step {
            Step::Greatest => Ok(vec![None]),
            Step::Add => Ok(vec![Some(back(&[grad]))]),
            Step::MulAdd => {
                let to_terms = back(&[grad, &self.next(&output.inputs()[1])]);
                let to_factors = &to_terms * self.previous(output);
                Ok(vec![Some(to_terms), Some(to_factors)])
            }
        }
    }

    fn reference(&self, inputs: &[&Array], shape: &[usize]) -> Array {
        let k = &self.kernel;
        let mut out = vec![0.0; inputs[0].data.len()];
        for line in 0..k.outer * k.inner {
            let mut state = 0.0;
            let mut best: Option<usize> = None;
            for i in 0..k.n {
                let place = if k.reverse { k.n - 1 - i } else { i };
                let at = (line / k.inner * k.n + place) * k.inner + line % k.inner;
                let x = inputs[0].data[at];
                state = match k.step {
                    Step::Greatest => {
                        best = best.filter(|&b| inputs[0].data[b] > x).or(Some(at));
                        best.expect("just set") as f64
                    }
                    Step::Add => state + x,
                    Step::MulAdd => inputs[1].data[at] * state + x,
                };
                let done = k.step == Step::Greatest;
                out[at] = if done { (state as usize / k.inner % k.n) as f64 } else { state };
            }
        }
        Array::new(shape, out)
    }

    fn lower(&self) -> Lower<'_> {
        Lower::Kernel(Arc::new(self.kernel.clone()))
    }
}

/// In which direction a running sum or product goes, and whether an element counts for its own place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scan {
    /// From the last element to the first.
    pub reverse: bool,
    /// Each result is of the elements before it, without its own; the first is 0 for sums, 1 for products.
    pub exclusive: bool,
}

impl Tensor {
    /// `y[i] = factor[i] * y[i - 1] + self[i]` along an axis, with `y[-1] = 0`; `factor` has this tensor's shape. With
    /// `reverse`, `y[i] = factor[i] * y[i + 1] + self[i]`. f32 and f16 (computed in f32).
    ///
    /// Its gradient is a recurrence in the other direction: `r[i] = g[i] + factor[i + 1] * r[i + 1]` with respect to
    /// `self[i]`, and `r[i] * y[i - 1]` with respect to `factor[i]`.
    #[track_caller]
    pub fn recurrence(&self, factor: &Tensor, axis: isize, reverse: bool) -> Tensor {
        let axis = self.axis("recurrence", axis);
        if !self.dtype().is_float() || (factor.shape(), factor.dtype()) != (self.shape(), self.dtype()) {
            let (a, b) = (self.dtype(), factor.dtype());
            crate::fail("recurrence", format!("terms {a} {:?}, factors {b} {:?}", self.shape(), factor.shape()));
        }
        let inputs = [&self.cast(DType::F32), &factor.cast(DType::F32)];
        Recurrence::apply(Step::MulAdd, &inputs, axis, reverse).cast(self.dtype())
    }

    /// Running sums along an axis: `y[i] = x[0] + ... + x[i]`. As `torch.cumsum`.
    #[track_caller]
    pub fn cumsum(&self, axis: isize) -> Tensor {
        self.cumsum_with(axis, Scan::default())
    }

    /// [`Tensor::cumsum`] in either direction, with or without the own element.
    #[track_caller]
    pub fn cumsum_with(&self, axis: isize, scan: Scan) -> Tensor {
        let axis = self.float_axis("cumsum", axis);
        let sums = Recurrence::apply(Step::Add, &[&self.cast(DType::F32)], axis, scan.reverse).cast(self.dtype());
        if scan.exclusive { neighbour(&sums, axis, scan.reverse, 0.0) } else { sums }
    }

    /// Running products along an axis: `y[i] = x[0] * ... * x[i]`. The gradient is right where elements are 0 too. As
    /// `torch.cumprod`.
    #[track_caller]
    pub fn cumprod(&self, axis: isize) -> Tensor {
        self.cumprod_with(axis, Scan::default())
    }

    /// [`Tensor::cumprod`] in either direction, with or without the own element.
    #[track_caller]
    pub fn cumprod_with(&self, axis: isize, scan: Scan) -> Tensor {
        let axis = self.float_axis("cumprod", axis);
        // The first element is a term, all others are factors: nothing is divided, so zeros do no harm.
        let first = self.is_first(axis, scan.reverse);
        let products = first.select(self, &self.lit(0.0)).recurrence(self, axis as isize, scan.reverse);
        if scan.exclusive { neighbour(&products, axis, scan.reverse, 1.0) } else { products }
    }

    /// Discounted sums of what is still to come: `y[i] = x[i] + gamma * y[i + 1]` along an axis (Sutton and Barto,
    /// "Reinforcement learning", 2018, eq. 3.9). For episodes that end in between, see [`Tensor::recurrence`].
    #[track_caller]
    pub fn discounted_sum(&self, axis: isize, gamma: f32) -> Tensor {
        self.float_axis("discounted_sum", axis);
        self.recurrence(&self.lit(gamma as f64).broadcast_to(self.shape()), axis, true)
    }

    /// Exponential moving average along an axis: `y[0] = x[0]`, `y[i] = (1 - alpha) * y[i - 1] + alpha * x[i]` (what pandas
    /// calls `ewm(adjust=False)`).
    #[track_caller]
    pub fn moving_average(&self, axis: isize, alpha: f32) -> Tensor {
        let place = self.float_axis("moving_average", axis);
        let terms = self.is_first(place, false).select(self, &self.mul_scalar(alpha as f64));
        terms.recurrence(&self.lit(1.0 - alpha as f64).broadcast_to(self.shape()), axis, false)
    }

    /// Running `log(exp(x[0]) + ... + exp(x[i]))` along an axis, without overflow. As `torch.logcumsumexp`.
    #[track_caller]
    pub fn logcumsumexp(&self, axis: isize) -> Tensor {
        let place = self.float_axis("logcumsumexp", axis);
        // Sums relative to the greatest so far, which does not matter for the value: no exponent is above 0.
        let x = self.cast(DType::F32);
        let greatest = x.stop_gradient().cummax(axis).0.maximum(&x.lit(f32::MIN as f64));
        let factors = (neighbour(&greatest, place, false, 0.0) - &greatest).minimum(&x.lit(0.0)).exp();
        let sums = (x - &greatest).exp().recurrence(&factors, axis, false);
        (sums.log() + greatest).cast(self.dtype())
    }

    /// Running maxima along an axis, and the index (u32) along it of each: the last of equal ones. NaN is greater than any
    /// number. The gradient goes to the element chosen. As `torch.cummax`.
    #[track_caller]
    pub fn cummax(&self, axis: isize) -> (Tensor, Tensor) {
        let axis = self.float_axis("cummax", axis);
        self.running_best(self.sort_keys(), axis)
    }

    /// Running minima; see [`Tensor::cummax`]. NaN is less than any number. As `torch.cummin`.
    #[track_caller]
    pub fn cummin(&self, axis: isize) -> (Tensor, Tensor) {
        let axis = self.float_axis("cummin", axis);
        self.running_best((-self).sort_keys(), axis)
    }

    #[track_caller]
    fn running_best(&self, keys: Tensor, axis: usize) -> (Tensor, Tensor) {
        let index = Recurrence::apply(Step::Greatest, &[&keys], axis, false);
        (self.take(&flat_along(&index, self.shape(), axis)), index)
    }

    /// True at the first step along an axis.
    #[track_caller]
    fn is_first(&self, axis: usize, reverse: bool) -> Tensor {
        let first = if reverse { self.shape()[axis].saturating_sub(1) } else { 0 };
        Tensor::iota(self.shape(), axis).equal(&Tensor::scalar(first as u32))
    }

    /// An axis of a float tensor.
    #[track_caller]
    fn float_axis(&self, op: &str, axis: isize) -> usize {
        if !self.dtype().is_float() {
            crate::fail(op, format!("a float tensor expected, not {} {:?}", self.dtype(), self.shape()));
        }
        self.axis(op, axis)
    }
}

pub(crate) fn cases() -> Vec<OpCase> {
    type Build = fn(&Tensor, isize) -> Tensor;
    let each = |op: &'static str, build: Build| {
        [(&[7usize][..], 0isize), (&[3, 5, 2], 1), (&[2, 1, 3], 1), (&[2, 0], 1), (&[4, 3], -2)].map(|(shape, axis)| {
            // Through a transpose, so that the memory is not walked in order.
            OpCase::new(op, format!("{op} {shape:?} axis {axis}"), &[shape], move |x| {
                if x[0].rank() == 2 {
                    return build(&x[0].transpose(0, 1), -1 - axis.rem_euclid(2)).sin();
                }
                build(&x[0], axis)
            })
        })
    };
    let turned = |reverse, exclusive| Scan { reverse, exclusive };
    let mut all = [
        each("cumsum", |x, a| x.cumsum(a)),
        each("cumprod", |x, a| x.cumprod(a)),
        each("discounted_sum", |x, a| x.discounted_sum(a, 0.9)),
        each("moving_average", |x, a| x.moving_average(a, 0.3)),
        each("logcumsumexp", |x, a| x.logcumsumexp(a)),
        each("cummax", |x, a| x.cummax(a).0),
        each("cummin", |x, a| x.cummin(a).0),
    ]
    .concat();
    for (reverse, exclusive) in [(true, false), (false, true), (true, true)] {
        let name = |op: &str| format!("{op}, reverse {reverse}, exclusive {exclusive}");
        all.push(OpCase::new("cumsum", name("cumsum"), &[&[3, 5]], move |x| {
            x[0].cumsum_with(1, turned(reverse, exclusive))
        }));
        all.push(OpCase::new("cumprod", name("cumprod"), &[&[3, 5]], move |x| {
            x[0].cumprod_with(1, turned(reverse, exclusive))
        }));
        if !exclusive {
            continue;
        }
        let name = format!("recurrence, reverse {reverse}");
        all.push(OpCase::new("recurrence", name, &[&[2, 6, 3], &[2, 6, 3]], move |x| {
            x[0].recurrence(&x[1], 1, reverse)
        }));
    }
    all.push(OpCase::new("cumprod", "cumprod with zeros", &[&[2, 7]], |x| {
        let zero = Tensor::iota([2, 7], 1).rem(&Tensor::scalar(3u32)).equal(&Tensor::scalar(1u32));
        zero.select(&(&x[0] - x[0].stop_gradient()), &x[0]).cumprod(1)
    }));
    // A difference cannot see through the stopped gradient.
    let last = all.len() - 1;
    all[last].differences = false;
    all.push(OpCase::new("cumsum", "cumsum, long enough for chunks", &[&[1, 150]], |x| x[0].cumsum(1) * 0.1));
    all.push(OpCase::new("running_argmax", "indices of running maxima", &[&[3, 9, 2]], |x| {
        let (value, index) = ((&x[0] * 4.0).round()).cummax(1);
        &x[0] * &index.cast(x[0].dtype()) + value
    }));
    all
}
