//! The residual block.

use super::{Activation, Shortcut, conv};
use wgrad_graph::{Init, Tensor};
use wgrad_nn::{BatchNorm2d, Conv2d, Dropout, Layer, Scope};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BlockKind {
    /// Two 3x3 convolutions.
    Basic,
    /// 1x1 down to `inner` channels, 3x3, and 1x1 up to four times `width`.
    Bottleneck,
}

/// What the blocks of a network have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Style {
    pub kind: BlockKind,
    pub shortcut: Shortcut,
    /// Norm and activation before each convolution, and nothing after the sum.
    pub pre_activation: bool,
    /// Groups of a bottleneck's 3x3 convolution.
    pub groups: usize,
    /// Channels of each of these groups, for a width of 64.
    pub width_per_group: usize,
    /// Whether the branch's channels are weighted by what they hold on the whole image.
    pub squeeze_excite: bool,
    /// Probability of dropping a value between a basic block's convolutions.
    pub dropout: f32,
    /// Whether the branch starts at 0, so that the block starts as the identity.
    pub zero_init: bool,
    pub activation: Activation,
}

/// `relu(branch(x) + shortcut(x))`, or with pre-activation `branch(x) + shortcut(x)`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block {
    pub style: Style,
    pub inputs: usize,
    pub width: usize,
    pub stride: usize,
}

impl Block {
    /// Channels of the block's value.
    pub fn outputs(&self) -> usize {
        match self.style.kind {
            BlockKind::Basic => self.width,
            BlockKind::Bottleneck => 4 * self.width,
        }
    }

    /// The branch's convolutions.
    fn convs(&self) -> Vec<Conv2d> {
        let Style { groups, width_per_group, .. } = self.style;
        let inner = self.width * width_per_group / 64 * groups;
        match self.style.kind {
            BlockKind::Basic => vec![conv(self.inputs, self.width, 3, self.stride), conv(self.width, self.width, 3, 1)],
            BlockKind::Bottleneck => vec![
                conv(self.inputs, inner, 1, 1),
                conv(inner, inner, 3, self.stride).groups(groups),
                conv(inner, self.outputs(), 1, 1),
            ],
        }
    }

    /// Convolution, norm, activation, convolution, norm: the last activation comes after the sum.
    fn branch(&self, scope: &Scope, x: &Tensor) -> Tensor {
        let (convs, mut x) = (self.convs(), x.clone());
        for (i, conv) in convs.iter().enumerate() {
            if i > 0 {
                x = self.between(scope, &x);
            }
            x = conv.forward(&scope.enter(&format!("conv{}", i + 1)), &x);
            let mut norm = BatchNorm2d::new(x.shape()[1]);
            if self.style.zero_init && i + 1 == convs.len() {
                norm = norm.weight_init(Init::Constant(0.0));
            }
            x = norm.forward(&scope.enter(&format!("bn{}", i + 1)), &x);
        }
        x
    }

    /// Norm, activation, convolution, for each convolution; also what the first of them takes, which a projecting shortcut
    /// shares.
    fn pre_activated(&self, scope: &Scope, x: &Tensor) -> (Tensor, Tensor) {
        let (mut first, mut x) = (None, x.clone());
        for (i, conv) in self.convs().iter().enumerate() {
            let norm = BatchNorm2d::new(x.shape()[1]);
            x = norm.forward(&scope.enter(&format!("bn{}", i + 1)), &x);
            x = if i == 0 { self.style.activation.of(&x) } else { self.between(scope, &x) };
            first.get_or_insert(x.clone());
            x = conv.forward(&scope.enter(&format!("conv{}", i + 1)), &x);
        }
        (first.unwrap_or_else(|| x.clone()), x)
    }

    /// What is between two convolutions of the branch.
    fn between(&self, scope: &Scope, x: &Tensor) -> Tensor {
        let x = self.style.activation.of(x);
        if self.style.dropout == 0.0 { x } else { Dropout::new(self.style.dropout).forward(scope, &x) }
    }

    fn shortcut(&self, scope: &Scope, x: &Tensor) -> Tensor {
        let (inputs, outputs) = (self.inputs, self.outputs());
        match self.style.shortcut {
            Shortcut::Project => {
                let scope = scope.enter("downsample");
                let x = conv(inputs, outputs, 1, self.stride).forward(&scope.enter("0"), x);
                if self.style.pre_activation {
                    return x;
                }
                BatchNorm2d::new(outputs).forward(&scope.enter("1"), &x)
            }
            _ => {
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
        let (first, mut branch) = match self.style.pre_activation {
            true => self.pre_activated(scope, x),
            false => (x.clone(), self.branch(scope, x)),
        };
        if self.style.squeeze_excite {
            branch = squeeze_excite(&scope.enter("se"), &branch);
        }
        let sum = if self.style.shortcut == Shortcut::None {
            branch
        } else if self.stride == 1 && self.inputs == self.outputs() {
            branch + x
        } else {
            let from = if self.style.shortcut == Shortcut::Project { &first } else { x };
            branch + self.shortcut(scope, from)
        };
        if self.style.pre_activation { sum } else { self.style.activation.of(&sum) }
    }
}

/// Each channel times a number in 0..1 that two small layers make of all channels' means (Hu et al., "Squeeze-and-excitation
/// networks", 2018), with a sixteenth of the channels between them, as a multiple of eight.
fn squeeze_excite(scope: &Scope, x: &Tensor) -> Tensor {
    let channels = x.shape()[1];
    let reduced = ((channels / 16 + 4) / 8 * 8).max(8);
    let means = x.mean_keepdim(&[2, 3]);
    let squeezed = Conv2d::new(channels, reduced, 1).forward(&scope.enter("fc1"), &means).relu();
    x * Conv2d::new(reduced, channels, 1).forward(&scope.enter("fc2"), &squeezed).sigmoid()
}
