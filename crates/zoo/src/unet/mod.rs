//! The U-Net (Ronneberger, Fischer and Brox, "U-Net: convolutional networks for biomedical image segmentation", 2015).

#[cfg(test)]
mod tests;
mod tile;

pub use tile::{OverlapTile, TileError, labels_of};

use crate::ZooError;
use wgrad_graph::{Init, Interpolation, Tensor, fail};
use wgrad_nn::init::{Fan, Nonlinearity};
use wgrad_nn::{BatchNorm2d, Conv2d, ConvTranspose2d, Dropout, Layer, MaxPool2d, Scope, Upsample, WeightInit};

/// The depths of [`UNet::depth`].
pub const DEPTHS: &[usize] = &[1, 2, 3, 4, 5, 6, 7, 8];

/// How the expanding path doubles the resolution.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum UpPath {
    /// The paper's "up-convolution": a 2x2 transposed convolution with stride 2 that halves the channels, `up1.up`.
    Transposed,
    /// Resized, without parameters; the channels are halved one stage earlier instead, by the convolutions. With
    /// `Interpolation::Linear { align_corners: true }` it is the `bilinear=True` of the PyTorch version that is widely used.
    Resize(Interpolation),
    /// Resized, and a 3x3 convolution that halves the channels, `up1.up.1`: no checkerboard patterns (Odena, Dumoulin and
    /// Olah, "Deconvolution and checkerboard artifacts", 2016).
    ResizeConv(Interpolation),
}

/// A U-Net for images [N, channels, H, W], giving logits [N, classes, H', W']: a contracting path that halves the resolution
/// `depth` times, and an expanding path that joins what each resolution has seen.
///
/// [`UNet::original`] has the paper's valid convolutions, so that H' is H - 184, every pixel of the result sees its whole
/// surroundings, and large images are done by [`OverlapTile`]; [`UNet::padded`] gives results as large as the image.
///
/// Names are those of the PyTorch version that is widely used (milesial's): `inc.double_conv.0.weight`,
/// `down1.maxpool_conv.1.double_conv.0.weight`, `up1.up.weight`, `up1.conv.double_conv.0.weight`, `outc.conv.weight`; without
/// batch norm the second convolution of two is `double_conv.2`, its place in the sequence. A state dict of that version fits
/// the padded form by name, apart from its `num_batches_tracked`. Weights start normal with standard deviation `sqrt(2 /
/// fan_in)`, as the paper says, and biases as 0, of which it says nothing.
///
/// ```
/// # use wgrad_graph::{DType, Tensor};
/// # use wgrad_nn::{Layer, Scope};
/// let model = wgrad_zoo::UNet::original(1, 2);
/// let images = Tensor::input("images", [1, 1, 572, 572], DType::F32);
/// let scope = Scope::eval();
/// assert_eq!(model.forward(&scope, &images).shape(), [1, 2, 388, 388]);
/// assert_eq!(scope.param_count(), 31_030_658);
/// ```
#[derive(Clone, Debug)]
pub struct UNet {
    in_channels: usize,
    classes: usize,
    width: usize,
    depth: usize,
    valid: bool,
    batch_norm: bool,
    up: UpPath,
    dropout: f32,
}

impl UNet {
    /// The paper's figure 1: convolutions without padding, and each skip cut to the size of what it joins. Takes images whose
    /// sides are 12 more than a multiple of 16 ([`UNet::output_size`]).
    pub fn original(in_channels: usize, classes: usize) -> UNet {
        UNet {
            in_channels,
            classes,
            width: 64,
            depth: 4,
            valid: true,
            batch_norm: false,
            up: UpPath::Transposed,
            dropout: 0.0,
        }
    }

    /// The form that most use now: convolutions that keep the size, with batch norm and without biases. Takes images of any
    /// size of 16 or more: where a side was odd, what comes up is padded to the skip's size.
    pub fn padded(in_channels: usize, classes: usize) -> UNet {
        UNet { valid: false, batch_norm: true, ..UNet::original(in_channels, classes) }
    }

    /// Channels at full resolution, twice as many at each lower one: 64 unless said otherwise.
    pub fn width(mut self, width: usize) -> Self {
        self.width = width;
        self
    }

    /// How often the resolution is halved: 4 times unless said otherwise.
    ///
    /// # Errors
    /// If the depth is none of [`DEPTHS`].
    pub fn depth(mut self, depth: usize) -> Result<Self, ZooError> {
        if !DEPTHS.contains(&depth) {
            return Err(ZooError::Depth { family: "the U-Net", depth, valid: DEPTHS });
        }
        self.depth = depth;
        Ok(self)
    }

    /// Whether each 3x3 convolution is followed by batch norm, and has no bias then.
    pub fn batch_norm(mut self, on: bool) -> Self {
        self.batch_norm = on;
        self
    }

    /// The way up: [`UpPath::Transposed`] unless said otherwise.
    pub fn up(mut self, up: UpPath) -> Self {
        self.up = up;
        self
    }

    /// Dropout at the end of the contracting path: 0 unless said otherwise. The paper has some, and does not say how much.
    pub fn dropout(mut self, p: f32) -> Self {
        self.dropout = p;
        self
    }

    /// Channels of the images.
    pub fn in_channels(&self) -> usize {
        self.in_channels
    }

    /// Channels of the logits.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// By how many pixels the result is smaller than the image on each side: 92 in the original, 0 in the padded form.
    pub fn margin(&self) -> usize {
        // Two 3x3 convolutions at each level of both paths, the lowest once.
        if self.valid { (6 << self.depth) - 4 } else { 0 }
    }

    /// Distance that an image can be shifted by so that the result is shifted too, and not changed: 2^depth.
    pub fn step(&self) -> usize {
        1 << self.depth
    }

    /// The side of the result for an image of this side; `None` where the image is too small or, in the original form, where a
    /// side would not be even before pooling.
    pub fn output_size(&self, input: usize) -> Option<usize> {
        if !self.valid {
            return (input >= self.step()).then_some(input);
        }
        let mut size = input.checked_sub(4)?;
        for _ in 0..self.depth {
            size = size.is_multiple_of(2).then_some(size / 2)?.checked_sub(4)?;
        }
        for _ in 0..self.depth {
            size = (2 * size).checked_sub(4)?;
        }
        (size > 0).then_some(size)
    }

    /// The smallest side of an image that gives a result of at least this side.
    pub fn input_size(&self, output: usize) -> usize {
        let least = output.max(1) + 2 * self.margin();
        (least..).find(|&size| self.output_size(size).is_some()).expect("each step has a fitting size")
    }

    /// The model's name: `unet 4x64`, from depth and width.
    pub fn name(&self) -> String {
        let form = if self.valid { "original" } else { "padded" };
        format!("unet {form} {}x{}", self.depth, self.width)
    }

    /// Two 3x3 convolutions, each with its norm and ReLU.
    fn double_conv(&self, scope: &Scope, x: &Tensor, middle: usize, outputs: usize) -> Tensor {
        let scope = scope.enter("double_conv");
        let (mut x, mut place) = (x.clone(), 0);
        for outputs in [middle, outputs] {
            let [_, inputs, ..] = x.dims::<4>();
            let conv = he(Conv2d::new(inputs, outputs, 3)).padding(usize::from(!self.valid)).bias(!self.batch_norm);
            x = conv.forward(&scope.enter(&place.to_string()), &x);
            if self.batch_norm {
                x = BatchNorm2d::new(outputs).forward(&scope.enter(&(place + 1).to_string()), &x);
            }
            x = x.relu();
            place += if self.batch_norm { 3 } else { 2 };
        }
        x
    }

    /// Twice the resolution.
    fn upsample(&self, scope: &Scope, x: &Tensor) -> Tensor {
        let [_, inputs, ..] = x.dims::<4>();
        match self.up {
            UpPath::Transposed => he(ConvTranspose2d::new(inputs, inputs / 2, 2)).stride(2).forward(scope, x),
            UpPath::Resize(mode) => Upsample::by(2.0).mode(mode).forward(scope, x),
            UpPath::ResizeConv(mode) => {
                let x = Upsample::by(2.0).mode(mode).forward(&scope.enter("0"), x);
                he(Conv2d::new(inputs, inputs / 2, 3)).padding(1).forward(&scope.enter("1"), &x)
            }
        }
    }
}

impl Layer for UNet {
    #[track_caller]
    fn forward(&self, scope: &Scope, images: &Tensor) -> Tensor {
        self.check(scope, images);
        // Without parameters on the way up, what comes up must have half the channels already.
        let halved = |channels: usize| if matches!(self.up, UpPath::Resize(_)) { channels / 2 } else { channels };
        let channels = |level: usize| self.width << level;

        let mut x = self.double_conv(&scope.enter("inc"), images, channels(0), channels(0));
        let mut skips = vec![];
        for level in 1..=self.depth {
            let outputs = if level == self.depth { halved(channels(level)) } else { channels(level) };
            let scope = scope.enter(&format!("down{level}")).enter("maxpool_conv");
            let pooled = MaxPool2d::new(2).forward(&scope.enter("0"), &x);
            skips.push(x);
            x = self.double_conv(&scope.enter("1"), &pooled, outputs, outputs);
        }
        if self.dropout > 0.0 {
            x = Dropout::new(self.dropout).forward(scope, &x);
        }
        for (i, skip) in skips.iter().rev().enumerate() {
            let level = self.depth - 1 - i;
            let outputs = if level == 0 { channels(0) } else { halved(channels(level)) };
            let scope = scope.enter(&format!("up{}", i + 1));
            let up = self.upsample(&scope.enter("up"), &x);
            let (skip, up) = meet(skip, &up);
            x = self.double_conv(&scope.enter("conv"), &Tensor::concat(&[&skip, &up], 1), channels(level), outputs);
        }
        he(Conv2d::new(channels(0), self.classes, 1)).forward(&scope.enter("outc").enter("conv"), &x)
    }
}

impl UNet {
    #[track_caller]
    fn check(&self, scope: &Scope, images: &Tensor) {
        if images.rank() != 4 || images.shape()[1] != self.in_channels {
            let expected = format!("[N, {}, H, W] expected, not {:?}", self.in_channels, images.shape());
            fail(&scope.describe("UNet"), expected);
        }
        for &size in &images.shape()[2..] {
            if self.output_size(size).is_none() {
                let fits = self.input_size(size.saturating_sub(2 * self.margin()));
                let reason = if self.valid { "before each pooling it must be even" } else { "it must not vanish" };
                fail(&scope.describe("UNet"), format!("a side of {size} does not fit: {reason}; {fits} would do"));
            }
        }
    }
}

/// Cuts the middle out of the skip where it is larger than what comes up, and puts zeros around what comes up where that is
/// smaller by the odd pixel that pooling dropped.
fn meet(skip: &Tensor, up: &Tensor) -> (Tensor, Tensor) {
    let (mut skip, mut up) = (skip.clone(), up.clone());
    for axis in [2, 3] {
        let (s, u) = (skip.shape()[axis], up.shape()[axis]);
        if s == u + 1 {
            up = up.pad(axis as isize, 0, 1, 0.0);
        } else {
            skip = skip.slice(axis as isize, (s - u) / 2..(s - u) / 2 + u);
        }
    }
    (skip, up)
}

/// A convolution with the paper's initial weights.
fn he<const N: usize, const TRANSPOSED: bool>(
    conv: wgrad_nn::Convolution<N, TRANSPOSED>,
) -> wgrad_nn::Convolution<N, TRANSPOSED> {
    conv.weight_init(WeightInit::KaimingNormal(Fan::In, Nonlinearity::Relu)).bias_init(Init::Constant(0.0))
}
