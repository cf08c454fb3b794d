//! The sections of Darknet's cfg files, and how a list of them is a network.

use wgrad_graph::{Init, Tensor};
use wgrad_nn::init::{Fan, Nonlinearity};
use wgrad_nn::{BatchNorm2d, Conv2d, Layer, MaxPool2d, Scope, Upsample, WeightInit};

/// The slope of the leaky ReLU after every norm.
const SLOPE: f32 = 0.1;

/// One section of a network. Sections are numbered from 0, and parameters are called by these numbers.
#[derive(Clone, Debug)]
pub(super) enum Section {
    /// With a norm and a leaky ReLU after it; without, with a bias instead.
    Conv { filters: usize, kernel: usize, stride: usize, normed: bool },
    /// Over 2 x 2; with stride 1 the map keeps its size.
    MaxPool { stride: usize },
    /// To twice the size, each element four times.
    Upsample,
    /// Adds the value of the section that many places before.
    Shortcut(usize),
    /// The values of these sections, one after another along the channels.
    Route(Vec<usize>),
    /// What comes before is a grid's prediction, by these anchors.
    Yolo([usize; 3]),
    /// The mean of each channel, as a map of one element.
    AvgPool,
}

pub(super) fn conv(filters: usize, kernel: usize, stride: usize) -> Section {
    Section::Conv { filters, kernel, stride, normed: true }
}

/// A 1x1 convolution without a norm, and the grid that it predicts.
pub(super) fn head(outputs: usize, anchors: [usize; 3]) -> [Section; 2] {
    [Section::Conv { filters: outputs, kernel: 1, stride: 1, normed: false }, Section::Yolo(anchors)]
}

/// Residual blocks in each stage of Darknet-53.
pub(super) const BLOCKS: [usize; 5] = [1, 2, 8, 8, 4];

/// The convolutions of Darknet-53, if `blocks` are [`BLOCKS`], and where each stage ends: a stem, and stages that each halve
/// the resolution and then have residual blocks.
pub(super) fn darknet<const STAGES: usize>(width: usize, blocks: [usize; STAGES]) -> (Vec<Section>, [usize; STAGES]) {
    let mut net = vec![conv(width, 3, 1)];
    let mut ends = [0; STAGES];
    for stage in 0..STAGES {
        let channels = width << (stage + 1);
        net.push(conv(channels, 3, 2));
        for _ in 0..blocks[stage] {
            net.extend([conv(channels / 2, 1, 1), conv(channels, 3, 1), Section::Shortcut(3)]);
        }
        ends[stage] = net.len() - 1;
    }
    (net, ends)
}

/// The value of every section. `bias` is what biases start with.
#[track_caller]
pub(super) fn run(sections: &[Section], scope: &Scope, images: &Tensor, bias: &Init) -> Vec<Tensor> {
    let mut values: Vec<Tensor> = Vec::with_capacity(sections.len());
    for (index, section) in sections.iter().enumerate() {
        let x = values.last().unwrap_or(images);
        let value = match section {
            Section::Conv { filters, kernel, stride, normed } => {
                let scope = scope.enter(&format!("module_list.{index}"));
                let x = Conv2d::new(x.shape()[1], *filters, *kernel)
                    .stride(*stride)
                    .padding(kernel / 2)
                    .bias(!normed)
                    .weight_init(WeightInit::KaimingNormal(Fan::In, Nonlinearity::Relu))
                    .bias_init(bias.clone())
                    .forward(&scope.enter(&format!("conv_{index}")), x);
                match normed {
                    true => BatchNorm2d::new(*filters)
                        .forward(&scope.enter(&format!("batch_norm_{index}")), &x)
                        .leaky_relu(SLOPE),
                    false => x,
                }
            }
            Section::MaxPool { stride } => max_pool(scope, x, *stride),
            Section::Upsample => Upsample::by(2.0).forward(scope, x),
            Section::Shortcut(back) => x + &values[index - back],
            Section::Route(from) => Tensor::concat(&from.iter().map(|&i| &values[i]).collect::<Vec<_>>(), 1),
            Section::Yolo(_) => x.clone(),
            Section::AvgPool => x.mean_keepdim(&[2, 3]),
        };
        values.push(value);
    }
    values
}

/// With stride 1 a row and a column of the least number are added below and on the right, as Darknet does.
#[track_caller]
fn max_pool(scope: &Scope, x: &Tensor, stride: usize) -> Tensor {
    let x = if stride == 1 { &x.pad(2, 0, 1, f32::MIN).pad(3, 0, 1, f32::MIN) } else { x };
    MaxPool2d::new(2).stride(stride).forward(scope, x)
}
