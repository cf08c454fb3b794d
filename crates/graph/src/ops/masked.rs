//! Where a mask is true: filling, and picking into a fixed number of places.

use crate::ops::segments::NOWHERE;
use crate::{OpCase, Tensor};
use wgrad_device::DType;

impl Tensor {
    /// This tensor, but `value` where the bool `mask` is true; the two broadcast to one shape. As `torch.masked_fill`.
    #[track_caller]
    pub fn masked_fill(&self, mask: &Tensor, value: f32) -> Tensor {
        self.check_mask("masked_fill", mask);
        mask.select(&self.lit(value as f64), self)
    }

    /// The flat positions (u32 `[size]`) of the first `size` true elements of this bool tensor, in order; `u32::MAX` where there
    /// are no more. As `jax.numpy.nonzero(size=...)`: a result's size cannot depend on data.
    #[track_caller]
    pub fn nonzero(&self, size: usize) -> Tensor {
        self.check_mask("nonzero", self);
        let n = self.count();
        let mask = self.reshape([n]);
        // True ones first, in order.
        let order = mask.logical_not().sort_keys().argsort_keys();
        let order = mask.take(&order).select(&order, &Tensor::scalar(NOWHERE));
        if size <= n {
            order.slice(0, 0..size)
        } else {
            Tensor::concat(&[&order, &Tensor::full([size - n], NOWHERE)], 0)
        }
    }

    /// The first `size` elements at which the bool `mask`, of this shape, is true, in order; 0 where there are no more. What
    /// `torch.masked_select` is where sizes are fixed.
    #[track_caller]
    pub fn masked_select(&self, mask: &Tensor, size: usize) -> Tensor {
        self.same_mask("masked_select", mask);
        self.take(&mask.nonzero(size))
    }

    /// This tensor, but the elements of `source` (of any shape, in order) where the bool `mask`, of this shape, is true; 0
    /// where the source has no more. As `torch.masked_scatter`.
    #[track_caller]
    pub fn masked_scatter(&self, mask: &Tensor, source: &Tensor) -> Tensor {
        self.same_mask("masked_scatter", mask);
        // How many true elements come before: the place in the order that puts true ones first.
        let order = mask.reshape([mask.count()]).logical_not().sort_keys().argsort_keys();
        let rank = order.argsort_keys().reshape(self.shape());
        mask.select(&source.take(&rank), self)
    }

    #[track_caller]
    fn check_mask(&self, op: &str, mask: &Tensor) {
        if mask.dtype() != DType::Bool {
            crate::fail(op, format!("the mask must be bool, not {} {:?}", mask.dtype(), mask.shape()));
        }
    }

    #[track_caller]
    fn same_mask(&self, op: &str, mask: &Tensor) {
        self.check_mask(op, mask);
        if mask.shape() != self.shape() {
            crate::fail(op, format!("a mask {:?} for {:?}", mask.shape(), self.shape()));
        }
    }
}

pub(crate) fn cases() -> Vec<OpCase> {
    let case = |op: &'static str, name: &str, inputs: &[&[usize]], build: fn(&[Tensor], &Tensor) -> Tensor| {
        OpCase::new(op, format!("{op} {name} {inputs:?}"), inputs, move |x| {
            build(x, &x[1].stop_gradient().gt(&x[1].lit(0.0)))
        })
    };
    vec![
        case("masked_fill", "", &[&[3, 5], &[3, 5]], |x, m| x[0].exp().masked_fill(m, -2.0)),
        case("masked_fill", "of a row", &[&[3, 5], &[5]], |x, m| x[0].exp().masked_fill(m, 0.5)),
        case("masked_fill", "by columns", &[&[1, 5], &[3, 1]], |x, m| x[0].exp().masked_fill(m, 1.0)),
        case("masked_select", "some", &[&[3, 5], &[3, 5]], |x, m| x[0].exp().masked_select(m, 4)),
        case("masked_select", "more than there are", &[&[7], &[7]], |x, m| x[0].exp().masked_select(m, 9)),
        case("masked_select", "of nothing", &[&[0], &[0]], |x, m| x[0].exp().masked_select(m, 2)),
        case("nonzero", "", &[&[6], &[11]], |x, m| {
            let at = m.nonzero(6);
            &x[0] * &at.minimum(&Tensor::scalar(99u32)).cast(x[0].dtype())
        }),
        case("nonzero", "of a grid", &[&[3], &[2, 4]], |x, m| {
            let at = m.nonzero(3);
            &x[0] * &at.minimum(&Tensor::scalar(99u32)).cast(x[0].dtype())
        }),
        case("nonzero", "all", &[&[4], &[4]], |x, m| {
            let at = m.logical_or(&m.logical_not()).nonzero(4);
            &x[0] * &at.cast(x[0].dtype())
        }),
        case("masked_scatter", "", &[&[3, 5], &[3, 5], &[20]], |x, m| x[0].masked_scatter(m, &x[2].exp())),
        case("masked_scatter", "too few", &[&[13], &[13], &[2]], |x, m| x[0].masked_scatter(m, &x[2].exp())),
        case("masked_scatter", "from a grid", &[&[4], &[4], &[2, 3]], |x, m| x[0].masked_scatter(m, &x[2].exp())),
    ]
}
