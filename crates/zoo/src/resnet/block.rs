//! The residual block.

use super::{Shortcut, conv};
use wgrad_graph::{Init, Tensor};
use wgrad_nn::{BatchNorm2d, Layer, Scope};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BlockKind {
    /// Two 3x3 convolutions.
    Basic,
    /// 1x1 down to `width` channels, 3x3, and 1x1 up to four times as many.
    Bottleneck,
}

/// `relu(branch(x) + shortcut(x))`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block {
    pub kind: BlockKind,
    pub shortcut: Shortcut,
    pub inputs: usize,
    pub width: usize,
    pub stride: usize,
    /// Whether the branch starts at 0, so that the block starts as the identity.
    pub zero_init: bool,
}

impl Block {
    /// Channels of the block's value.
    pub fn outputs(&self) -> usize {
        match self.kind {
            BlockKind::Basic => self.width,
            BlockKind::Bottleneck => 4 * self.width,
        }
    }

    fn branch(&self, scope: &Scope, x: &Tensor) -> Tensor {
        // (channels in, channels out, kernel, stride)
        let convs = match self.kind {
            BlockKind::Basic => vec![(self.inputs, self.width, 3, self.stride), (self.width, self.width, 3, 1)],
            BlockKind::Bottleneck => vec![
                (self.inputs, self.width, 1, 1),
                (self.width, self.width, 3, self.stride),
                (self.width, 4 * self.width, 1, 1),
            ],
        };
        let mut x = x.clone();
        for (i, &(inputs, outputs, kernel, stride)) in convs.iter().enumerate() {
            if i > 0 {
                x = x.relu();
            }
            x = conv(inputs, outputs, kernel, stride).forward(&scope.enter(&format!("conv{}", i + 1)), &x);
            let mut norm = BatchNorm2d::new(outputs);
            if self.zero_init && i + 1 == convs.len() {
                norm = norm.weight_init(Init::Constant(0.0));
            }
            x = norm.forward(&scope.enter(&format!("bn{}", i + 1)), &x);
        }
        x
    }

    fn shortcut(&self, scope: &Scope, x: &Tensor) -> Tensor {
        let (inputs, outputs) = (self.inputs, self.outputs());
        if self.stride == 1 && inputs == outputs {
            return x.clone();
        }
        match self.shortcut {
            Shortcut::Project => {
                let scope = scope.enter("downsample");
                let x = conv(inputs, outputs, 1, self.stride).forward(&scope.enter("0"), x);
                BatchNorm2d::new(outputs).forward(&scope.enter("1"), &x)
            }
            Shortcut::Pad => {
                let kept = |n: usize| n.div_ceil(self.stride);
                let [_, _, h, w] = x.dims();
                let x = x.slice_step(2, 0, kept(h), self.stride).slice_step(3, 0, kept(w), self.stride);
                let zeros = outputs - inputs;
                x.pad(1, zeros / 2, zeros - zeros / 2, 0.0)
            }
        }
    }
}

impl Layer for Block {
    fn forward(&self, scope: &Scope, x: &Tensor) -> Tensor {
        // The branch first: parameters come in torchvision's order.
        let branch = self.branch(scope, x);
        (branch + self.shortcut(scope, x)).relu()
    }
}
