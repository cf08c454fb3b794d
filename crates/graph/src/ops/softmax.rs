//! Softmax and its logarithm along one axis.

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
        let e = self.shifted(axis).exp();
        &e / e.sum_keepdim(&[axis])
    }

    /// `x - log(sum(e^x))` along `axis`.
    #[track_caller]
    pub fn log_softmax(&self, axis: isize) -> Tensor {
        let s = self.shifted(axis);
        &s - s.exp().sum_keepdim(&[axis]).log()
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
            .domain(-1.0, 1.0),
        );
    }
    all
}
