//! Residual networks (He, Zhang, Ren and Sun, "Deep residual learning for image recognition", 2015).

mod block;
#[cfg(test)]
mod tests;

use crate::ZooError;
use block::{Block, BlockKind};
use wgrad_graph::Tensor;
use wgrad_nn::init::{Fan, Nonlinearity};
use wgrad_nn::{BatchNorm2d, Conv2d, Layer, Linear, MaxPool2d, Scope, WeightInit};

/// The depths of [`ResNet::cifar`]: 6n + 2.
pub const CIFAR_DEPTHS: &[usize] = &[20, 32, 44, 56, 110];

/// The depths of [`ResNet::imagenet`].
pub const IMAGENET_DEPTHS: &[usize] = &[18, 34, 50, 101, 152];

/// How a block's input reaches its output where the shape changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortcut {
    /// The paper's option A: every second pixel, and channels of zeros added. No parameters.
    ///
    /// The paper does not say on which side the zeros go; half go on each, as in the widely used PyTorch version.
    Pad,
    /// The paper's option B: a 1x1 convolution and batch norm, `downsample.0` and `downsample.1`.
    Project,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stem {
    /// 3x3.
    Small,
    /// 7x7 with stride 2, and max pooling.
    Large,
}

/// A residual network for images [N, channels, H, W], giving logits [N, classes].
///
/// Names and initial values follow torchvision: `conv1.weight`, `bn1.*`, `layer1.0.conv1.weight`,
/// `layer2.0.downsample.0.weight`, `fc.weight` and so on; convolutions start normal with standard deviation
/// `sqrt(2 / fan_out)`, norms as the identity, `fc` as PyTorch's default. A torchvision state dict fits by name, apart
/// from its `num_batches_tracked`, which has no use here.
///
/// ```
/// # use wgrad_graph::{DType, Tensor};
/// # use wgrad_nn::{Layer, Scope};
/// let model = wgrad_zoo::ResNet::imagenet(18, 1000)?;
/// let images = Tensor::input("images", [2, 3, 224, 224], DType::F32);
/// let scope = Scope::eval();
/// assert_eq!(model.forward(&scope, &images).shape(), [2, 1000]);
/// assert_eq!(scope.param_count(), 11_689_512);
/// # Ok::<(), wgrad_zoo::ZooError>(())
/// ```
#[derive(Clone, Debug)]
pub struct ResNet {
    stem: Stem,
    kind: BlockKind,
    /// Blocks of each stage. Each stage has twice the channels of the one before, at half the resolution.
    stages: Vec<usize>,
    shortcut: Shortcut,
    width: usize,
    in_channels: usize,
    classes: usize,
    zero_init_residual: bool,
}

impl ResNet {
    /// The form for small images (section 4.2): a 3x3 stem without pooling, three stages of (depth - 2) / 6 basic blocks
    /// with 16, 32 and 64 channels, and, as in the paper, shortcuts without parameters ([`Shortcut::Pad`]).
    ///
    /// # Errors
    /// If the depth is none of [`CIFAR_DEPTHS`].
    pub fn cifar(depth: usize, classes: usize) -> Result<ResNet, ZooError> {
        if !CIFAR_DEPTHS.contains(&depth) {
            return Err(ZooError::Depth { family: "the CIFAR form of ResNet", depth, valid: CIFAR_DEPTHS });
        }
        Ok(ResNet {
            stem: Stem::Small,
            kind: BlockKind::Basic,
            stages: vec![(depth - 2) / 6; 3],
            shortcut: Shortcut::Pad,
            width: 16,
            in_channels: 3,
            classes,
            zero_init_residual: false,
        })
    }

    /// The form for ImageNet (table 1), as torchvision has it: a 7x7 stem with max pooling, four stages that begin with 64
    /// channels, of basic blocks (18, 34) or bottlenecks (50, 101, 152), and projecting shortcuts. The bottleneck's stride
    /// is on its 3x3 convolution ("v1.5"), where the paper has it on the first 1x1.
    ///
    /// # Errors
    /// If the depth is none of [`IMAGENET_DEPTHS`].
    pub fn imagenet(depth: usize, classes: usize) -> Result<ResNet, ZooError> {
        let (kind, stages) = match depth {
            18 => (BlockKind::Basic, [2, 2, 2, 2]),
            34 => (BlockKind::Basic, [3, 4, 6, 3]),
            50 => (BlockKind::Bottleneck, [3, 4, 6, 3]),
            101 => (BlockKind::Bottleneck, [3, 4, 23, 3]),
            152 => (BlockKind::Bottleneck, [3, 8, 36, 3]),
            _ => return Err(ZooError::Depth { family: "the ImageNet form of ResNet", depth, valid: IMAGENET_DEPTHS }),
        };
        Ok(ResNet {
            stem: Stem::Large,
            kind,
            stages: stages.to_vec(),
            shortcut: Shortcut::Project,
            width: 64,
            in_channels: 3,
            classes,
            zero_init_residual: false,
        })
    }

    /// Channels of the images: 3 unless said otherwise.
    pub fn in_channels(mut self, channels: usize) -> Self {
        self.in_channels = channels;
        self
    }

    /// Channels of the first stage: 16 (CIFAR) or 64 (ImageNet) unless said otherwise.
    pub fn width(mut self, width: usize) -> Self {
        self.width = width;
        self
    }

    /// Whether the last norm of each block starts with weight 0, so that every block starts as the identity: torchvision's
    /// option of this name, from Goyal et al., "Accurate, large minibatch SGD" (2017), section 5.1. The first steps are
    /// then much less sensitive to rounding and to the learning rate. Off unless said otherwise.
    pub fn zero_init_residual(mut self, on: bool) -> Self {
        self.zero_init_residual = on;
        self
    }

    /// How shapes change across a block.
    pub fn shortcut(mut self, shortcut: Shortcut) -> Self {
        self.shortcut = shortcut;
        self
    }

    /// Blocks of each stage, for networks of other depths than the published ones.
    pub fn stages(mut self, blocks: &[usize]) -> Self {
        self.stages = blocks.to_vec();
        self
    }

    /// Layers with weights on the way from image to logits: the stem, the blocks' convolutions, and `fc`.
    pub fn depth(&self) -> usize {
        let convs = match self.kind {
            BlockKind::Basic => 2,
            BlockKind::Bottleneck => 3,
        };
        convs * self.stages.iter().sum::<usize>() + 2
    }

    /// The model's name: `resnet20`.
    pub fn name(&self) -> String {
        format!("resnet{}", self.depth())
    }
}

impl Layer for ResNet {
    #[track_caller]
    fn forward(&self, scope: &Scope, images: &Tensor) -> Tensor {
        let x = match self.stem {
            Stem::Small => {
                let x = conv(self.in_channels, self.width, 3, 1).forward(&scope.enter("conv1"), images);
                BatchNorm2d::new(self.width).forward(&scope.enter("bn1"), &x).relu()
            }
            Stem::Large => {
                let x = conv(self.in_channels, self.width, 7, 2).forward(&scope.enter("conv1"), images);
                let x = BatchNorm2d::new(self.width).forward(&scope.enter("bn1"), &x).relu();
                MaxPool2d::new(3).stride(2).padding(1).forward(scope, &x)
            }
        };
        let (mut x, mut channels) = (x, self.width);
        for (stage, &blocks) in self.stages.iter().enumerate() {
            let scope = scope.enter(&format!("layer{}", stage + 1));
            let width = self.width << stage;
            for i in 0..blocks {
                // The first stage keeps the stem's resolution; the others halve it in their first block.
                let stride = if stage > 0 && i == 0 { 2 } else { 1 };
                let block = Block {
                    kind: self.kind,
                    shortcut: self.shortcut,
                    inputs: channels,
                    width,
                    stride,
                    zero_init: self.zero_init_residual,
                };
                x = block.forward(&scope.enter(&i.to_string()), &x);
                channels = block.outputs();
            }
        }
        Linear::new(channels, self.classes).forward(&scope.enter("fc"), &x.global_avg_pool())
    }
}

/// The convolutions of these networks: no bias (a norm follows), padded to keep the resolution at stride 1.
fn conv(inputs: usize, outputs: usize, kernel: usize, stride: usize) -> Conv2d {
    Conv2d::new(inputs, outputs, kernel)
        .stride(stride)
        .padding(kernel / 2)
        .bias(false)
        .weight_init(WeightInit::KaimingNormal(Fan::Out, Nonlinearity::Relu))
}
