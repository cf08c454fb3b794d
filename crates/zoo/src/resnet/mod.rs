//! Residual networks (He, Zhang, Ren and Sun, "Deep residual learning for image recognition", 2015) and their kin.

mod block;
#[cfg(test)]
mod tests;

use crate::ZooError;
use crate::explain::guided_relu;
use block::{Block, BlockKind, Style};
use wgrad_graph::Tensor;
use wgrad_nn::init::{Fan, Nonlinearity};
use wgrad_nn::{BatchNorm2d, Conv2d, Layer, Linear, MaxPool2d, Scope, WeightInit};

/// The depths of [`ResNet::cifar`]: 6n + 2.
pub const CIFAR_DEPTHS: &[usize] = &[20, 32, 44, 56, 110, 1202];

/// The depths of [`ResNet::cifar_bottleneck`]: 9n + 2.
pub const CIFAR_BOTTLENECK_DEPTHS: &[usize] = &[110, 164, 1001];

/// The depths of [`ResNet::wide`]: 6n + 4.
pub const WIDE_DEPTHS: &[usize] = &[16, 22, 28, 34, 40];

/// The depths of [`ResNet::imagenet`].
pub const IMAGENET_DEPTHS: &[usize] = &[18, 34, 50, 101, 152];

/// How a block's input reaches its output, where the shape changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortcut {
    /// The paper's option A: every second pixel, and channels of zeros added. No parameters.
    ///
    /// The paper does not say on which side the zeros go; half go on each, as in the widely used PyTorch version.
    Pad,
    /// The paper's option B: a 1x1 convolution and batch norm, `downsample.0` and `downsample.1`. With pre-activation the
    /// convolution alone, of the block's first activation.
    Project,
    /// Not at all, in any block: the plain networks of the paper's degradation experiment.
    None,
}

/// What is between the layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Activation {
    Relu,
    Guided,
}

impl Activation {
    fn of(self, x: &Tensor) -> Tensor {
        match self {
            Activation::Relu => x.relu(),
            Activation::Guided => guided_relu(x),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stem {
    /// 3x3.
    Small,
    /// 7x7 with stride 2, and max pooling.
    Large,
}

/// Which layers of a network learn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Trained {
    /// All.
    #[default]
    All,
    /// The head only. The body's norms take each batch's statistics, and keep on averaging them.
    Head,
    /// The head only. The body's norms take the statistics that were loaded: its features are a fixed function.
    HeadFixedStatistics,
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
    style: Style,
    /// Blocks of each stage. Each stage has twice the channels of the one before, at half the resolution.
    stages: Vec<usize>,
    /// Channels of the stem.
    stem_width: usize,
    /// Channels of the first stage's blocks.
    width: usize,
    in_channels: usize,
    classes: usize,
    trained: Trained,
}

impl ResNet {
    fn small(kind: BlockKind, blocks: usize, classes: usize) -> ResNet {
        ResNet {
            stem: Stem::Small,
            style: Style {
                kind,
                shortcut: Shortcut::Pad,
                pre_activation: false,
                groups: 1,
                width_per_group: 64,
                squeeze_excite: false,
                dropout: 0.0,
                zero_init: false,
                activation: Activation::Relu,
            },
            stages: vec![blocks; 3],
            stem_width: 16,
            width: 16,
            in_channels: 3,
            classes,
            trained: Trained::All,
        }
    }

    /// The form for small images (section 4.2): a 3x3 stem without pooling, three stages of (depth - 2) / 6 basic blocks
    /// with 16, 32 and 64 channels, and, as in the paper, shortcuts without parameters ([`Shortcut::Pad`]).
    ///
    /// # Errors
    /// If the depth is none of [`CIFAR_DEPTHS`].
    pub fn cifar(depth: usize, classes: usize) -> Result<ResNet, ZooError> {
        known("the CIFAR form of ResNet", depth, CIFAR_DEPTHS)?;
        Ok(ResNet::small(BlockKind::Basic, (depth - 2) / 6, classes))
    }

    /// The form for small images with bottlenecks: (depth - 2) / 9 in each of three stages, projecting where the shape
    /// changes. With [`ResNet::pre_activation`] it is the 164 or 1001 layers of He et al., "Identity mappings in deep
    /// residual networks" (2016).
    ///
    /// # Errors
    /// If the depth is none of [`CIFAR_BOTTLENECK_DEPTHS`].
    pub fn cifar_bottleneck(depth: usize, classes: usize) -> Result<ResNet, ZooError> {
        known("the CIFAR form of ResNet with bottlenecks", depth, CIFAR_BOTTLENECK_DEPTHS)?;
        Ok(ResNet::small(BlockKind::Bottleneck, (depth - 2) / 9, classes).shortcut(Shortcut::Project))
    }

    /// Wide residual networks (Zagoruyko and Komodakis, 2016): `WRN-depth-k`, three stages of (depth - 4) / 6 basic blocks
    /// with pre-activation, `k` times as wide, and projecting shortcuts. See [`ResNet::dropout`].
    ///
    /// # Errors
    /// If the depth is none of [`WIDE_DEPTHS`].
    pub fn wide(depth: usize, k: usize, classes: usize) -> Result<ResNet, ZooError> {
        known("the wide form of ResNet", depth, WIDE_DEPTHS)?;
        let small = ResNet::small(BlockKind::Basic, (depth - 4) / 6, classes);
        Ok(ResNet { width: 16 * k, ..small }.shortcut(Shortcut::Project).pre_activation(true))
    }

    /// The form for ImageNet (table 1), as torchvision has it: a 7x7 stem with max pooling, four stages that begin with 64
    /// channels, of basic blocks (18, 34) or bottlenecks (50, 101, 152), and projecting shortcuts. The bottleneck's stride
    /// is on its 3x3 convolution ("v1.5"), where the paper has it on the first 1x1.
    ///
    /// # Errors
    /// If the depth is none of [`IMAGENET_DEPTHS`].
    pub fn imagenet(depth: usize, classes: usize) -> Result<ResNet, ZooError> {
        known("the ImageNet form of ResNet", depth, IMAGENET_DEPTHS)?;
        let (kind, stages) = match depth {
            18 => (BlockKind::Basic, [2, 2, 2, 2]),
            34 => (BlockKind::Basic, [3, 4, 6, 3]),
            50 => (BlockKind::Bottleneck, [3, 4, 6, 3]),
            101 => (BlockKind::Bottleneck, [3, 4, 23, 3]),
            _ => (BlockKind::Bottleneck, [3, 8, 36, 3]),
        };
        let small = ResNet::small(kind, 0, classes).shortcut(Shortcut::Project).width(64);
        Ok(ResNet { stem: Stem::Large, ..small }.stages(&stages))
    }

    /// ResNeXt (Xie et al., "Aggregated residual transformations", 2017): the 3x3 convolutions of the bottlenecks in
    /// `groups` groups of `width_per_group` channels in the first stage. torchvision has `resnext(50, 32, 4, ..)`,
    /// `(101, 32, 8, ..)` and `(101, 64, 4, ..)`.
    ///
    /// # Errors
    /// If the depth is none of [`IMAGENET_DEPTHS`] that has bottlenecks, or a size is 0.
    pub fn resnext(depth: usize, groups: usize, width_per_group: usize, classes: usize) -> Result<ResNet, ZooError> {
        known("ResNeXt", depth, &IMAGENET_DEPTHS[2..])?;
        crate::error::positive("ResNeXt", &[("groups", groups), ("width_per_group", width_per_group)])?;
        let mut model = ResNet::imagenet(depth, classes)?;
        (model.style.groups, model.style.width_per_group) = (groups, width_per_group);
        Ok(model)
    }

    /// torchvision's `wide_resnet50_2` and `wide_resnet101_2`: the ImageNet form whose bottlenecks' 3x3 convolutions are
    /// twice as wide.
    ///
    /// # Errors
    /// If the depth is none of [`IMAGENET_DEPTHS`] that has bottlenecks.
    pub fn wide_imagenet(depth: usize, classes: usize) -> Result<ResNet, ZooError> {
        ResNet::resnext(depth, 1, 128, classes)
    }

    /// Norm and activation before each convolution instead of after it, nothing after the sum, and a last norm `bn` before the
    /// pooling (He et al., 2016). Off unless said otherwise.
    pub fn pre_activation(mut self, on: bool) -> Self {
        self.style.pre_activation = on;
        self
    }

    /// Squeeze and excitation in every block (Hu et al., 2018), with the names of the timm library: `se.fc1`, `se.fc2`. Off
    /// unless said otherwise.
    pub fn squeeze_excite(mut self, on: bool) -> Self {
        self.style.squeeze_excite = on;
        self
    }

    /// Probability of dropping values between a block's convolutions: 0 unless said otherwise.
    pub fn dropout(mut self, p: f32) -> Self {
        self.style.dropout = p;
        self
    }

    /// Which layers learn: all unless said otherwise.
    pub fn trained(mut self, trained: Trained) -> Self {
        self.trained = trained;
        self
    }

    /// Activations whose gradient is that of guided backpropagation ([`crate::explain::guided_relu`]): not for training.
    pub fn guided(mut self) -> Self {
        self.style.activation = Activation::Guided;
        self
    }

    /// Channels of the images: 3 unless said otherwise.
    pub fn in_channels(mut self, channels: usize) -> Self {
        self.in_channels = channels;
        self
    }

    /// Channels of the stem: 16 (CIFAR) or 64 (ImageNet) unless said otherwise. All other layers become wider or narrower in
    /// proportion.
    pub fn width(mut self, width: usize) -> Self {
        self.width = self.width / self.stem_width * width;
        self.stem_width = width;
        self
    }

    /// Whether the last norm of each block starts with weight 0, so that every block starts as the identity: torchvision's
    /// option of this name, from Goyal et al., "Accurate, large minibatch SGD" (2017), section 5.1. The first steps are
    /// then much less sensitive to rounding and to the learning rate. Off unless said otherwise.
    pub fn zero_init_residual(mut self, on: bool) -> Self {
        self.style.zero_init = on;
        self
    }

    /// How shapes change across a block.
    pub fn shortcut(mut self, shortcut: Shortcut) -> Self {
        self.style.shortcut = shortcut;
        self
    }

    /// Blocks of each stage, for networks of other depths than the published ones.
    pub fn stages(mut self, blocks: &[usize]) -> Self {
        self.stages = blocks.to_vec();
        self
    }

    /// Layers with weights on the way from image to logits: the stem, the blocks' convolutions, and `fc`. (A wide network's
    /// name counts its two projections too.)
    pub fn depth(&self) -> usize {
        let convs = match self.style.kind {
            BlockKind::Basic => 2,
            BlockKind::Bottleneck => 3,
        };
        convs * self.stages.iter().sum::<usize>() + 2
    }

    /// The model's name: `resnet20`, `plain20`, `resnext50_32x4d`, `wrn28_10`.
    pub fn name(&self) -> String {
        let Style { groups, width_per_group, pre_activation, squeeze_excite, shortcut, .. } = self.style;
        let depth = self.depth();
        let name = if self.stem_width != self.width {
            return format!("wrn{}_{}", depth + 2, self.width / self.stem_width);
        } else if groups > 1 {
            format!("resnext{depth}_{groups}x{width_per_group}d")
        } else if width_per_group != 64 {
            format!("wide_resnet{depth}_{}", width_per_group / 64)
        } else if shortcut == Shortcut::None {
            format!("plain{depth}")
        } else {
            format!("resnet{depth}")
        };
        let prefix = [(pre_activation, "preact_"), (squeeze_excite, "se")];
        prefix.iter().filter(|(on, _)| *on).map(|(_, p)| *p).collect::<String>() + &name
    }

    /// What each stage gives, [N, C, H, W]: the first the stem's resolution, each further one half of that. The last is what
    /// the head pools.
    #[track_caller]
    pub fn features(&self, scope: &Scope, images: &Tensor) -> Vec<Tensor> {
        let scope = &match self.trained {
            Trained::All => scope.clone(),
            Trained::Head => scope.frozen(),
            Trained::HeadFixedStatistics => scope.frozen().as_eval(),
        };
        let (kernel, stride) = if self.stem == Stem::Small { (3, 1) } else { (7, 2) };
        let mut x = conv(self.in_channels, self.stem_width, kernel, stride).forward(&scope.enter("conv1"), images);
        if !self.style.pre_activation {
            x = self.style.activation.of(&BatchNorm2d::new(self.stem_width).forward(&scope.enter("bn1"), &x));
        }
        if self.stem == Stem::Large {
            x = MaxPool2d::new(3).stride(2).padding(1).forward(scope, &x);
        }
        let (mut stages, mut channels) = (vec![], self.stem_width);
        for (stage, &blocks) in self.stages.iter().enumerate() {
            let scope = scope.enter(&format!("layer{}", stage + 1));
            for i in 0..blocks {
                // The first stage keeps the stem's resolution; the others halve it in their first block.
                let stride = if stage > 0 && i == 0 { 2 } else { 1 };
                let block = Block { style: self.style, inputs: channels, width: self.width << stage, stride };
                x = block.forward(&scope.enter(&i.to_string()), &x);
                channels = block.outputs();
            }
            stages.push(x.clone());
        }
        if self.style.pre_activation
            && let Some(last) = stages.last_mut()
        {
            *last = self.style.activation.of(&BatchNorm2d::new(channels).forward(&scope.enter("bn"), last));
        }
        stages
    }

    /// The logits [N, classes] of what the last stage gives.
    #[track_caller]
    pub fn head(&self, scope: &Scope, features: &Tensor) -> Tensor {
        Linear::new(features.shape()[1], self.classes).forward(&scope.enter("fc"), &features.global_avg_pool())
    }
}

impl Layer for ResNet {
    #[track_caller]
    fn forward(&self, scope: &Scope, images: &Tensor) -> Tensor {
        match self.features(scope, images).last() {
            Some(last) => self.head(scope, last),
            None => wgrad_graph::fail(&scope.describe("ResNet"), "it has no stages"),
        }
    }
}

fn known(family: &'static str, depth: usize, valid: &'static [usize]) -> Result<(), ZooError> {
    if valid.contains(&depth) { Ok(()) } else { Err(ZooError::Depth { family, depth, valid }) }
}

/// The convolutions of these networks: no bias (a norm follows), padded to keep the resolution at stride 1.
fn conv(inputs: usize, outputs: usize, kernel: usize, stride: usize) -> Conv2d {
    Conv2d::new(inputs, outputs, kernel)
        .stride(stride)
        .padding(kernel / 2)
        .bias(false)
        .weight_init(WeightInit::KaimingNormal(Fan::Out, Nonlinearity::Relu))
}
