//! Sliding blocks as columns (im2col), and columns added up to an image (col2im). Each is the other's gradient.

use crate::ops::taps::Window;
use crate::{OpCase, Tensor};

impl Tensor {
    /// [N, C, spatial...] to [N, C * taps, blocks]: each sliding block as a column, its elements in the order (channel, tap),
    /// padding as zeros. One [`Window`] for each spatial axis. PyTorch's `F.unfold` for two.
    #[track_caller]
    pub fn unfold(&self, windows: &[Window]) -> Tensor {
        let s = windows.len();
        if s == 0 || self.rank() != s + 2 {
            crate::fail("unfold", format!("{s} windows over {:?}: [N, C, spatial...] expected", self.shape()));
        }
        let mut counts = vec![];
        for (w, &n) in windows.iter().zip(&self.shape()[2..]) {
            match w.count(n) {
                Ok(count) => counts.push(count),
                Err(reason) => crate::fail("unfold", format!("{:?} by {windows:?}: {reason}", self.shape())),
            }
        }
        let all = self.windows(windows, &counts, 0.0);
        let taps: usize = windows.iter().map(|w| w.size).product();
        let blocks: usize = counts.iter().product();
        let order: Vec<usize> = [0, 1].into_iter().chain(2 + s..2 + 2 * s).chain(2..2 + s).collect();
        all.permute(&order).reshape([self.shape()[0], self.shape()[1] * taps, blocks])
    }

    /// [N, C * taps, blocks] to [N, C, size...]: columns put back where [`Tensor::unfold`] would take them from, overlaps
    /// added up. PyTorch's `F.fold` for two spatial axes.
    #[track_caller]
    pub fn fold(&self, size: &[usize], windows: &[Window]) -> Tensor {
        let what = || format!("{:?} to {size:?} by {windows:?}", self.shape());
        if size.len() != windows.len() || size.is_empty() {
            crate::fail("fold", format!("{}: a window for each extent expected", what()));
        }
        let mut counts = vec![];
        for (w, &n) in windows.iter().zip(size) {
            match w.count(n) {
                Ok(count) => counts.push(count),
                Err(reason) => crate::fail("fold", format!("{}: {reason}", what())),
            }
        }
        let taps: Vec<usize> = windows.iter().map(|w| w.size).collect();
        let (count, blocks): (usize, usize) = (taps.iter().product(), counts.iter().product());
        if self.rank() != 3 || !self.shape()[1].is_multiple_of(count) || self.shape()[2] != blocks {
            crate::fail("fold", format!("{}: [N, C * {count}, {blocks}] expected", what()));
        }
        let s = size.len();
        let split = [&[self.shape()[0], self.shape()[1] / count], &taps[..], &counts].concat();
        let order: Vec<usize> = [0, 1].into_iter().chain(2 + s..2 + 2 * s).chain(2..2 + s).collect();
        let axes: Vec<isize> = (1..=s as isize).map(|d| -d).collect();
        self.reshape(split).permute(&order).spread_taps(windows, size).sum(&axes)
    }
}

pub(crate) fn cases() -> Vec<OpCase> {
    let w = |size, stride, dilation, before, after| Window { size, stride, dilation, padding: (before, after) };
    let geometry = [
        (vec![1, 2, 4, 5], vec![w(2, 1, 1, 0, 0), w(3, 1, 1, 0, 0)]),
        (vec![2, 1, 5, 6], vec![w(3, 2, 1, 1, 1), w(2, 1, 2, 0, 1)]),
        (vec![1, 3, 7], vec![w(3, 2, 2, 2, 1)]),
        (vec![0, 1, 3, 3], vec![w(2, 1, 1, 0, 0), w(2, 1, 1, 0, 0)]),
    ];
    let mut all = vec![];
    for (shape, windows) in geometry {
        let columns = Tensor::zeros(shape.clone(), wgrad_device::DType::F32).unfold(&windows).shape().to_vec();
        let size = shape[2..].to_vec();
        let (w1, w2) = (windows.clone(), windows);
        all.push(OpCase::new("unfold", format!("unfold {shape:?} {w1:?}"), &[&shape], move |x| {
            (&x[0] * 2.0).unfold(&w1).exp()
        }));
        all.push(OpCase::new("fold", format!("fold {columns:?} {w2:?}"), &[&columns], move |x| {
            (&x[0] * 0.5).fold(&size, &w2).exp()
        }));
    }
    all
}
