//! Softmax and its logarithm along one axis, and the logarithm of a sum of exponentials.

use crate::{OpCase, Tensor};

impl Tensor {
    /// x minus the greatest along `axis`, which changes neither value nor gradient of what follows, but the range.
    #[track_caller]
    fn shifted(&self, axis: isize) -> Tensor {
        self - self.stop_gradient().max_keepdim(&[axis])
    }

    /// `e^x / sum(e^x)` along `axis`.
    #[track_caller]
    pub fn softmax(&self, axis: isize) -> Tensor {
        let e = self.in_f32().shifted(axis).exp();
        (&e / e.sum_keepdim(&[axis])).cast(self.dtype())
    }

    /// `x - log(sum(e^x))` along `axis`.
    #[track_caller]
    pub fn log_softmax(&self, axis: isize) -> Tensor {
        let s = self.in_f32().shifted(axis);
        (&s - s.exp().sum_keepdim(&[axis]).log()).cast(self.dtype())
    }

    /// `log(sum(e^x))` over `axes`, which are dropped: never overflows, and right too where every x is hugely negative
    /// (-3.4e38, as masks have it, or -infinity).
    #[track_caller]
    pub fn logsumexp(&self, axes: &[isize]) -> Tensor {
        let greatest = self.stop_gradient().max_keepdim(axes);
        let shift = greatest.is_finite().select(&greatest, &greatest.lit(0.0));
        let sum = (self - &shift).exp().sum(axes);
        let shift = shift.reshape(sum.shape());
        sum.log() + shift
    }

    /// `log(sum(e^x))` over `axes`, which stay with extent 1.
    #[track_caller]
    pub fn logsumexp_keepdim(&self, axes: &[isize]) -> Tensor {
        self.keepdim(self.logsumexp(axes), axes)
    }
}

pub(crate) fn cases() -> Vec<OpCase> {
    let mut all = vec![];
    for (shape, axis) in [(&[5usize, 7][..], -1), (&[3, 4, 2], 1), (&[2, 1], 1), (&[3, 130], 1), (&[0, 4], 1)] {
        all.push(
            OpCase::new("softmax", format!("softmax {shape:?} {axis}"), &[shape], move |x| x[0].softmax(axis))
                .domain(-4.0, 4.0),
        );
        all.push(
            OpCase::new("log_softmax", format!("log_softmax {shape:?} {axis}"), &[shape], move |x| {
                (&x[0] * 30.0).log_softmax(axis)
            })
            .domain(-1.0, 1.0)
            // The gradient adds up as many rounded ones as there are classes.
            .half_tolerance(1e-2),
        );
    }
    for (shape, axes) in [(&[5usize, 7][..], &[1isize][..]), (&[3, 4, 2], &[0, -1]), (&[2, 1], &[1]), (&[0, 4], &[1])] {
        all.push(
            OpCase::new("logsumexp", format!("logsumexp {shape:?} over {axes:?}"), &[shape], move |x| {
                (&x[0] * 30.0).logsumexp(axes)
            })
            .domain(-1.0, 1.0),
        );
    }
    all.push(OpCase::new("logsumexp", "logsumexp with rows that are masked", &[&[4, 5]], |x| {
        let masked = Tensor::iota([4, 5], 0).lt(&Tensor::scalar(2u32)).select(&x[0].lit(-3.4e38), &x[0]);
        masked.logsumexp_keepdim(&[1]).maximum(&x[0].lit(-1.0)) * &x[0]
    }));
    all
}
