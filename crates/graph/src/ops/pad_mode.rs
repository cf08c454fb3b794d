//! Padding with what is inside: reflected, replicated, circular; and padding of several axes at once.

use crate::{OpCase, Tensor};

/// What stands in the padding.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum PadMode {
    /// One value.
    Constant(f32),
    /// The elements mirrored at the edge, which is not repeated. Less than the extent on each side.
    Reflect,
    /// The element at the edge.
    Replicate,
    /// The elements from the other end. At most the extent on each side.
    Circular,
}

impl Tensor {
    /// `before` and `after` elements added along `axis`, filled as `mode` says.
    #[track_caller]
    pub fn pad_mode(&self, axis: isize, before: usize, after: usize, mode: PadMode) -> Tensor {
        let d = self.axis("pad", axis);
        let n = self.shape()[d];
        let most = match mode {
            PadMode::Constant(fill) => return self.pad(axis, before, after, fill),
            PadMode::Reflect => n.saturating_sub(1),
            PadMode::Circular => n,
            PadMode::Replicate if n == 0 => 0,
            PadMode::Replicate => usize::MAX,
        };
        if before.max(after) > most {
            crate::fail(
                "pad",
                format!("({before}, {after}) on axis {d} of {:?}: {mode:?} can add {most} at most", self.shape()),
            );
        }
        let edge = |at: usize, count: usize| {
            let mut wide = self.shape().to_vec();
            wide[d] = count;
            self.slice(axis, at..at + 1).broadcast_to(wide)
        };
        let part = |count: usize, make: &dyn Fn() -> Tensor| (count > 0).then(make);
        let (left, right) = match mode {
            PadMode::Reflect => (
                part(before, &|| self.slice(axis, 1..1 + before).flip(&[axis])),
                part(after, &|| self.slice(axis, n - 1 - after..n - 1).flip(&[axis])),
            ),
            PadMode::Circular => {
                (part(before, &|| self.slice(axis, n - before..n)), part(after, &|| self.slice(axis, 0..after)))
            }
            _ => (part(before, &|| edge(0, before)), part(after, &|| edge(n - 1, after))),
        };
        let parts: Vec<&Tensor> = left.iter().chain([self]).chain(&right).collect();
        if parts.len() == 1 { self.clone() } else { Tensor::concat(&parts, axis) }
    }

    /// The last `pads.len()` axes padded by (before, after) each, in the order of the axes (PyTorch's `F.pad` counts from the
    /// last one). Negative amounts cut elements off.
    #[track_caller]
    pub fn pad_last(&self, pads: &[(isize, isize)], mode: PadMode) -> Tensor {
        if pads.len() > self.rank() {
            crate::fail("pad", format!("{} pairs for the axes of {:?}", pads.len(), self.shape()));
        }
        let first = self.rank() - pads.len();
        let mut x = self.clone();
        for (i, &(before, after)) in pads.iter().enumerate() {
            let axis = (first + i) as isize;
            let n = x.shape()[first + i];
            let (cut_before, cut_after) = ((-before).max(0) as usize, (-after).max(0) as usize);
            if cut_before + cut_after > n {
                crate::fail(
                    "pad",
                    format!("({before}, {after}) on axis {axis} of {:?} cuts off more than there is", self.shape()),
                );
            }
            x = x.slice(axis, cut_before..n - cut_after);
            x = x.pad_mode(axis, before.max(0) as usize, after.max(0) as usize, mode);
        }
        x
    }
}

pub(crate) fn cases() -> Vec<OpCase> {
    let pad = |shape: &[usize], pads: &'static [(isize, isize)], mode: PadMode| {
        OpCase::new("pad_last", format!("pad_last {shape:?} {pads:?} {mode:?}"), &[shape], move |x| {
            (&x[0] * 2.0).pad_last(pads, mode).exp()
        })
    };
    let mut all = vec![
        pad(&[3, 4], &[(1, 2)], PadMode::Constant(0.5)),
        pad(&[3, 4], &[(-1, 2), (1, -2)], PadMode::Constant(0.0)),
        pad(&[2, 0], &[(1, 1), (0, 0)], PadMode::Replicate),
        pad(&[1, 1], &[(2, 3), (1, 0)], PadMode::Replicate),
        pad(&[2, 3], &[(2, 1), (3, 3)], PadMode::Circular),
    ];
    for mode in [PadMode::Reflect, PadMode::Replicate, PadMode::Circular] {
        all.push(pad(&[2, 5], &[(2, 3)], mode));
        all.push(pad(&[1, 4, 3], &[(1, 3), (2, 0)], mode));
        all.push(pad(&[7], &[(-2, 3)], mode));
    }
    all.push(OpCase::new("pad_last", "reflected under a convolution", &[&[1, 2, 5, 4], &[2, 2, 3, 3]], |x| {
        x[0].pad_last(&[(1, 1), (1, 1)], PadMode::Reflect).conv(&x[1], &crate::ConvOptions::new(2))
    }));
    all
}
