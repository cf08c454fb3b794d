//! Reductions in terms of others: variance and standard deviation, norms, counts, and whether any or all elements count.

use crate::{OpCase, Tensor};
use wgrad_device::DType;

impl Tensor {
    /// Variance over `axes`, which are dropped: the mean squared distance from the mean (biased, as normalisation wants).
    #[track_caller]
    pub fn variance(&self, axes: &[isize]) -> Tensor {
        self.var(axes, false)
    }

    /// Variance over `axes`, which are dropped. The sum of squared distances from the mean is divided by the number of
    /// elements n, or by n - 1 if `unbiased` (PyTorch's default). Two passes, so that a large mean does no harm.
    #[track_caller]
    pub fn var(&self, axes: &[isize], unbiased: bool) -> Tensor {
        let n: usize = self.axes("var", axes).iter().map(|&a| self.shape()[a]).product();
        if n <= unbiased as usize {
            crate::fail("var", format!("{n} elements of {:?} along {axes:?} are too few", self.shape()));
        }
        let scale = 1.0 / (n - unbiased as usize) as f64;
        let wide = self.in_f32();
        let x = wide.stop_gradient();
        let value = (&x - x.mean_keepdim(axes)).square().sum(axes).mul_scalar(scale);
        let (axes, owner) = (axes.to_vec(), self.clone());
        // What the mean's own dependence on x would add is 0.
        let value = value.with_gradient(&[&wide], move |_, x, g| {
            let distance = &x[0] - x[0].mean_keepdim(&axes);
            vec![Some(distance.mul_scalar(2.0 * scale) * owner.keepdim(g.clone(), &axes))]
        });
        value.cast(self.dtype())
    }

    /// Variance over `axes`, which stay with extent 1. See [`Tensor::var`].
    #[track_caller]
    pub fn var_keepdim(&self, axes: &[isize], unbiased: bool) -> Tensor {
        self.keepdim(self.var(axes, unbiased), axes)
    }

    /// Standard deviation over `axes`, which are dropped: the square root of [`Tensor::var`]; where it is 0, so is the
    /// gradient.
    #[track_caller]
    pub fn std(&self, axes: &[isize], unbiased: bool) -> Tensor {
        self.in_f32().var(axes, unbiased).sqrt_or_flat().cast(self.dtype())
    }

    /// Standard deviation over `axes`, which stay with extent 1.
    #[track_caller]
    pub fn std_keepdim(&self, axes: &[isize], unbiased: bool) -> Tensor {
        self.keepdim(self.std(axes, unbiased), axes)
    }

    /// The p-norm over `axes`, which are dropped: `(sum |x|^p)^(1/p)`, the greatest |x| for p = infinity (its gradient shared
    /// evenly between equal ones), the least for -infinity, and the number of elements that are not 0 for p = 0. The
    /// gradient at the zero vector is 0. PyTorch's `linalg.vector_norm`; its other negative p are refused.
    #[track_caller]
    pub fn norm(&self, p: f32, axes: &[isize]) -> Tensor {
        if self.dtype() == DType::F16 {
            return self.in_f32().norm(p, axes).cast(DType::F16);
        }
        match p {
            f32::INFINITY => self.abs().max(axes),
            f32::NEG_INFINITY => self.abs().min(axes),
            1.0 => self.abs().sum(axes),
            2.0 => self.square().sum(axes).sqrt_or_flat(),
            0.0 => self.count_nonzero(axes).cast(self.dtype()),
            p if p > 0.0 => {
                let power = |x: &Tensor, p: f32| x.or_flat(|x| x.pow_scalar(p));
                power(&power(&self.abs(), p).sum(axes), 1.0 / p)
            }
            _ => crate::fail("norm", format!("p = {p} is neither 0 or more nor an infinity")),
        }
    }

    /// The p-norm over `axes`, which stay with extent 1.
    #[track_caller]
    pub fn norm_keepdim(&self, p: f32, axes: &[isize]) -> Tensor {
        self.keepdim(self.norm(p, axes), axes)
    }

    /// The square root, with gradient 0 at 0.
    #[track_caller]
    pub(crate) fn sqrt_or_flat(&self) -> Tensor {
        self.or_flat(Tensor::sqrt)
    }

    /// `f(x)`, for an f with f(0) = 0; where x is 0 the gradient is 0, and f sees a 1, so that nothing is infinite there.
    #[track_caller]
    fn or_flat(&self, f: impl Fn(&Tensor) -> Tensor) -> Tensor {
        let (zero, one) = (self.lit(0.0), self.lit(1.0));
        let flat = self.equal(&zero);
        flat.select(&zero, &f(&flat.select(&one, self)))
    }

    /// Whether each element is not 0: bool. NaN is not.
    #[track_caller]
    fn counts(&self) -> Tensor {
        if self.dtype() == DType::Bool { self.clone() } else { self.not_equal(&self.lit(0.0)) }
    }

    /// How many elements over `axes`, which are dropped, are not 0 (or are true): u32.
    #[track_caller]
    pub fn count_nonzero(&self, axes: &[isize]) -> Tensor {
        self.counts().cast(DType::U32).sum(axes)
    }

    /// Whether any element over `axes`, which are dropped, is not 0 (or is true): bool. Of nothing: false.
    #[track_caller]
    pub fn any(&self, axes: &[isize]) -> Tensor {
        self.count_nonzero(axes).not_equal(&Tensor::scalar(0u32))
    }

    /// Whether all elements over `axes`, which are dropped, are not 0 (or are true): bool. Of nothing: true.
    #[track_caller]
    pub fn all(&self, axes: &[isize]) -> Tensor {
        self.counts().logical_not().any(axes).logical_not()
    }
}

pub(crate) fn cases() -> Vec<OpCase> {
    type Fold = fn(&Tensor, &[isize]) -> Tensor;
    // 0 where x is near it.
    fn holed(x: &Tensor) -> Tensor {
        x.abs().lt(&x.lit(0.4)).select(&x.lit(0.0), x)
    }
    let folds: &[(&'static str, Fold)] = &[
        ("variance", |x, a| x.variance(a)),
        ("var", |x, a| x.var(a, true)),
        ("std", |x, a| x.std(a, true)),
        ("norm", |x, a| holed(x).norm(1.0, a)),
        ("norm", |x, a| holed(x).norm(2.0, a)),
        ("norm", |x, a| holed(x).norm(3.0, a)),
        ("norm", |x, a| holed(x).norm(1.5, a)),
        ("norm", |x, a| x.norm(f32::INFINITY, a)),
        ("norm", |x, a| x.norm(f32::NEG_INFINITY, a)),
        ("norm", |x, a| holed(x).norm(0.0, a) * x.sum(a)),
        ("count_nonzero", |x, a| holed(x).count_nonzero(a).cast(x.dtype()) * x.sum(a)),
        ("any", |x, a| holed(x).any(a).select(&x.sum(a), &x.square().sum(a))),
        ("all", |x, a| holed(x).gt(&x.lit(-0.5)).all(a).select(&x.sum(a), &x.square().sum(a))),
    ];
    let mut all = vec![];
    for (i, &(name, fold)) in folds.iter().enumerate() {
        for (shape, axes) in [(&[3usize, 4, 5][..], &[0isize, 2][..]), (&[7, 2], &[-1]), (&[23], &[0]), (&[0, 3], &[1])]
        {
            let text = format!("{name} {i} {shape:?} over {axes:?}");
            all.push(OpCase::new(name, text, &[shape], move |x| fold(&x[0], axes)));
        }
    }
    all.extend([
        OpCase::new("var", "var with a large mean", &[&[4, 9]], |x| (&x[0] * 0.5 + 500.0).var_keepdim(&[1], true))
            .tolerance(1e-4) // what adding 500 rounds
            .f32_only("f16 holds 500 in steps of a quarter"),
        OpCase::new("std", "std of equal elements", &[&[3, 4]], |x| {
            // The first row is constant: value and gradient are 0 there.
            let first = Tensor::iota([3, 4], 0).equal(&Tensor::scalar(0u32));
            first.select(&x[0].lit(2.0), &x[0]).std_keepdim(&[1], false)
        }),
        OpCase::new("norm", "norm_keepdim of a zero vector", &[&[3, 4]], |x| {
            let first = Tensor::iota([3, 4], 0).equal(&Tensor::scalar(0u32));
            let rows = first.select(&x[0].lit(0.0), &x[0]);
            rows.norm_keepdim(2.0, &[1]) + rows.norm_keepdim(2.5, &[1])
        }),
        OpCase::new("any", "any and all of nothing", &[&[0, 3]], |x| {
            let (any, all) = (x[0].any(&[0]), x[0].all(&[0]));
            any.logical_not().logical_and(&all).select(&x[0].sum(&[0]), &x[0].lit(7.0))
        }),
    ]);
    all
}
