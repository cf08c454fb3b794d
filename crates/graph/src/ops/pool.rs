//! Pooling in any number of dimensions: windows, then a reduction.

use crate::ops::taps::Window;
use crate::{OpCase, Tensor, gradients_of};
use wgrad_device::DType;

impl Tensor {
    /// All windows over the last `windows.len()` axes: those axes count windows, and as many new axes count taps.
    #[track_caller]
    fn windows(&self, windows: &[Window], fill: f32) -> Tensor {
        let first = self.rank() - windows.len();
        let mut x = self.clone();
        for (d, &w) in windows.iter().enumerate() {
            x = x.window((first + d) as isize, w, fill);
        }
        x
    }

    #[track_caller]
    fn check_windows(&self, op: &str, windows: &[Window]) {
        if windows.is_empty() || windows.len() > self.rank() {
            crate::fail(op, format!("{} windows over shape {:?}", windows.len(), self.shape()));
        }
        if let Some(w) =
            windows.iter().find(|w| w.padding.0.max(w.padding.1) * 2 > w.dilation * (w.size.max(1) - 1) + 1)
        {
            crate::fail(op, format!("padding {:?} is more than half of a window of {}", w.padding, w.size));
        }
    }

    /// Greatest of each window over the last axes, one [`Window`] for each: max pooling of [N, C, H, W] takes two.
    /// Padding never wins. The gradient goes to the first greatest element of a window, as in PyTorch.
    #[track_caller]
    pub fn max_pool(&self, windows: &[Window]) -> Tensor {
        self.check_windows("max_pool", windows);
        let owned = windows.to_vec();
        let taps: Vec<isize> = (1..=windows.len() as isize).map(|d| -d).collect();
        let seen = self.stop_gradient().windows(windows, f32::MIN);
        let value = seen.max(&taps);
        let winner = seen.argmax(&taps);
        value.with_gradient(&[self], move |_, x, g| {
            // The gradient of picking each window's winner by its position.
            let all = x[0].windows(&owned, 0.0);
            let mut wide = winner.shape().to_vec();
            wide.extend(owned.iter().map(|_| 1));
            let hit = winner.reshape(wide).equal(&tap_positions(all.shape(), owned.len()));
            let picked = hit.select(&all, &all.lit(0.0)).sum(&taps);
            vec![Some(gradients_of(&picked, &[&x[0]], g).remove(0))]
        })
    }

    /// Mean of each window over the last axes. Padding counts as zeros if `count_padding`, else it does not count.
    #[track_caller]
    pub fn avg_pool(&self, windows: &[Window], count_padding: bool) -> Tensor {
        self.check_windows("avg_pool", windows);
        let taps: Vec<isize> = (1..=windows.len() as isize).map(|d| -d).collect();
        let sum = self.windows(windows, 0.0).sum(&taps);
        if count_padding || windows.iter().all(|w| w.padding == (0, 0)) {
            let area: usize = windows.iter().map(|w| w.size).product();
            sum.mul_scalar(1.0 / area as f64)
        } else {
            let spatial = self.shape()[self.rank() - windows.len()..].to_vec();
            sum / Tensor::ones(spatial, self.dtype()).windows(windows, 0.0).sum(&taps)
        }
    }

    /// Mean over all axes from the third on, which are dropped: [N, C, ...] to [N, C].
    #[track_caller]
    pub fn global_avg_pool(&self) -> Tensor {
        if self.rank() < 3 {
            crate::fail("global_avg_pool", format!("[N, C, spatial...] expected, not {:?}", self.shape()));
        }
        self.mean(&(2..self.rank() as isize).collect::<Vec<_>>())
    }
}

/// The row-major number of each tap, in the shape of windows with `n` tap axes.
fn tap_positions(shape: &[usize], n: usize) -> Tensor {
    let first = shape.len() - n;
    (first..shape.len()).fold(Tensor::zeros(shape, DType::U32), |p, axis| {
        p * Tensor::scalar(shape[axis] as u32) + Tensor::iota(shape, axis)
    })
}

pub(crate) fn cases() -> Vec<OpCase> {
    let w = |size, stride, pad| Window { size, stride, dilation: 1, padding: (pad, pad) };
    let geometry: Vec<(&[usize], Vec<Window>)> = vec![
        (&[2, 3, 6, 8], vec![w(2, 2, 0), w(2, 2, 0)]),
        (&[1, 2, 7, 9], vec![w(3, 2, 1), w(3, 2, 1)]),
        (&[2, 1, 5, 5], vec![w(3, 1, 1), w(2, 1, 0)]),
        (&[1, 2, 9], vec![w(3, 2, 1)]),
        (&[1, 1, 1, 1], vec![w(1, 1, 0), w(1, 1, 0)]),
    ];
    let mut all = vec![];
    for (shape, windows) in geometry {
        let text = |name: &str| format!("{name} {shape:?} {windows:?}");
        let (w1, w2, w3) = (windows.clone(), windows.clone(), windows.clone());
        all.push(OpCase::new("max_pool", text("max_pool"), &[shape], move |x| x[0].max_pool(&w1)).domain(-2.0, 2.0));
        all.push(OpCase::new("avg_pool", text("avg_pool"), &[shape], move |x| x[0].avg_pool(&w2, true)));
        all.push(OpCase::new("avg_pool", text("avg_pool, padding not counted"), &[shape], move |x| {
            x[0].avg_pool(&w3, false)
        }));
    }
    all.push(OpCase::new("global_avg_pool", "global_avg_pool", &[&[2, 3, 4, 5]], |x| x[0].global_avg_pool()));
    all
}
