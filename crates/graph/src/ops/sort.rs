//! What order gives: sorted values, the greatest few, medians, random orders and draws without replacement.

use crate::ops::gather::flat_along;
use crate::{OpCase, Tensor};
use wgrad_device::DType;

/// Elements along the last axis in another order, which `inverse` undoes.
#[track_caller]
fn permuted(x: &Tensor, order: &Tensor, inverse: &Tensor) -> Tensor {
    let at = flat_along(order, x.shape(), x.rank() - 1);
    let (order, inverse) = (order.clone(), inverse.clone());
    let value = x.stop_gradient().take(&at);
    value.with_gradient(&[x], move |_, _, g| vec![Some(permuted(g, &inverse, &order))])
}

impl Tensor {
    /// The indices (u32) along an axis that put it in ascending order, or descending: equal elements keep their order either
    /// way. NaN counts as greater than any number, -0 equals +0. As `torch.argsort(stable=True)`.
    #[track_caller]
    pub fn argsort(&self, axis: isize, descending: bool) -> Tensor {
        let axis = self.axis("argsort", axis) as isize;
        self.last_order(axis, descending).transpose(axis, -1)
    }

    /// With the axis moved to the end.
    #[track_caller]
    fn last_order(&self, axis: isize, descending: bool) -> Tensor {
        let keys = self.stop_gradient().sort_keys().transpose(axis, -1);
        let keys = if descending { keys.logical_xor(&Tensor::scalar(u32::MAX)) } else { keys };
        keys.argsort_keys()
    }

    /// The elements along an axis in order, and their indices (u32); see [`Tensor::argsort`]. As `torch.sort(stable=True)`.
    #[track_caller]
    pub fn sort(&self, axis: isize, descending: bool) -> (Tensor, Tensor) {
        let axis = self.axis("sort", axis) as isize;
        let order = self.last_order(axis, descending);
        let values = permuted(&self.transpose(axis, -1), &order, &order.argsort_keys());
        (values.transpose(axis, -1), order.transpose(axis, -1))
    }

    /// The `k` greatest elements along an axis, or the least, in order, and their indices (u32). Of equal elements the first
    /// ones are taken. As `torch.topk`.
    #[track_caller]
    pub fn topk(&self, k: usize, axis: isize, largest: bool) -> (Tensor, Tensor) {
        let place = self.axis("topk", axis);
        if k > self.shape()[place] {
            crate::fail("topk", format!("k = {k} of shape {:?} along axis {axis}", self.shape()));
        }
        let (values, indices) = self.sort(axis, largest);
        (values.slice(axis, 0..k), indices.slice(axis, 0..k))
    }

    /// The `k`-th least element along an axis (from 1), which is dropped, and its index (u32). As `torch.kthvalue`.
    #[track_caller]
    pub fn kthvalue(&self, k: usize, axis: isize) -> (Tensor, Tensor) {
        let place = self.axis("kthvalue", axis);
        if k == 0 || k > self.shape()[place] {
            crate::fail("kthvalue", format!("k = {k} of shape {:?} along axis {axis}", self.shape()));
        }
        let (values, indices) = self.sort(axis, false);
        let nth = |t: Tensor| t.slice(axis, k - 1..k).squeeze(place as isize);
        (nth(values), nth(indices))
    }

    /// The median along an axis, which is dropped, and its index (u32): of an even number the lower one of the middle two, as
    /// `torch.median`. NaN counts as greater than any number.
    #[track_caller]
    pub fn median(&self, axis: isize) -> (Tensor, Tensor) {
        let place = self.axis("median", axis);
        if self.shape()[place] == 0 {
            crate::fail("median", format!("nothing to choose from in {:?} along axis {axis}", self.shape()));
        }
        self.kthvalue(self.shape()[place].div_ceil(2), axis)
    }

    /// The numbers from 0 to n - 1 in random order: u32 `[n]`. This tensor is the generator's state; see
    /// [`Tensor::random_bits`]. As `torch.randperm`.
    #[track_caller]
    pub fn random_permutation(&self, n: usize, stream: u32) -> Tensor {
        self.random_bits([n], stream, 0).argsort_keys()
    }

    /// `k` different indices (u32) along the last axis, drawn with probabilities proportional to these weights, without
    /// replacement: [..., k]. Weights must not be negative; where fewer than `k` are positive the rest is drawn from the
    /// zeros. As `torch.multinomial(replacement=False)`.
    ///
    /// Exponential variates divided by the weights, and the least taken: Efraimidis and Spirakis, "Weighted random sampling
    /// with a reservoir", 2006.
    #[track_caller]
    pub fn multinomial(&self, k: usize, generator: &Tensor, stream: u32) -> Tensor {
        if self.rank() == 0 || !self.dtype().is_float() || k > self.shape()[self.rank() - 1] {
            let (dtype, shape) = (self.dtype(), self.shape());
            crate::fail("multinomial", format!("{k} of the last axis of weights {dtype} {shape:?}"));
        }
        let bits = generator.random_bits(self.shape(), stream, 0);
        // In (0, 1], so that the logarithm exists.
        let unit = (bits.shr(&Tensor::scalar(8u32)).cast(DType::F32) + 1.0).mul_scalar(1.0 / (1 << 24) as f64);
        let weights = self.stop_gradient().cast(DType::F32);
        let time = (-unit.log()) / &weights;
        let zero = weights.le(&weights.lit(0.0));
        zero.select(&weights.lit(f32::MAX as f64), &time).topk(k, -1, false).1
    }
}

pub(crate) fn cases() -> Vec<OpCase> {
    type Build = fn(&[Tensor]) -> Tensor;
    let case = |op: &'static str, name: &str, shape: &[usize], build: Build| {
        OpCase::new(op, format!("{op} {name} {shape:?}"), &[shape], build)
    };
    // Values and indices in one.
    fn both((values, indices): (Tensor, Tensor)) -> Tensor {
        values.cast(DType::F32) * (indices.cast(DType::F32) * 0.25 + 0.5)
    }
    fn generator() -> Tensor {
        Tensor::iota([4], 0) * Tensor::scalar(77u32)
    }
    vec![
        case("sort", "ascending", &[3, 11], |x| both(x[0].sort(1, false))),
        case("sort", "descending", &[5, 2, 3], |x| both(x[0].sort(0, true))),
        case("sort", "of one", &[4, 1], |x| both(x[0].sort(-1, true))),
        case("sort", "of nothing", &[0, 3], |x| both(x[0].sort(0, false))),
        case("sort", "of what was turned", &[7, 5], |x| both(x[0].square().permute(&[1, 0]).sort(0, true))),
        case("sort", "of integers", &[4, 6], |x| {
            let whole = (&x[0] * 4.0).round().stop_gradient();
            &x[0] * &both(whole.cast(DType::I32).sort(1, true)).cast(x[0].dtype())
        })
        .no_difference(), // of an integer there is none
        case("argsort", "with equal elements", &[3, 8], |x| {
            let equal = (&x[0] * 2.0).round();
            &x[0] * &(equal.argsort(1, true).cast(x[0].dtype()) + equal.argsort(0, false).cast(x[0].dtype()))
        }),
        case("topk", "greatest", &[2, 9], |x| both(x[0].topk(4, 1, true))),
        case("topk", "least", &[7, 3], |x| both(x[0].topk(2, 0, false))),
        case("topk", "none", &[2, 3], |x| both(x[0].topk(0, 1, true))),
        case("kthvalue", "third", &[4, 5], |x| both(x[0].kthvalue(3, 1))),
        case("kthvalue", "first", &[5, 2, 3], |x| both(x[0].kthvalue(1, 0))),
        case("kthvalue", "of one", &[1, 3], |x| both(x[0].kthvalue(1, 0))),
        case("median", "of an odd number", &[3, 7], |x| both(x[0].median(1))),
        case("median", "of an even number", &[6, 3], |x| both(x[0].median(0))),
        case("median", "of one", &[3, 1], |x| both(x[0].median(-1))),
        case("random_permutation", "", &[67], |x| &x[0] * &generator().random_permutation(67, 3).cast(x[0].dtype())),
        case("multinomial", "", &[3, 9], |x| {
            let weights = x[0].abs() + 0.5;
            x[0].slice(1, 0..4) * &weights.multinomial(4, &generator(), 5).cast(x[0].dtype())
        }),
    ]
}
