//! Convolution layers against PyTorch. The file is written by scripts/golden/conv.py.

mod support;

use support::case::Case;
use wgrad_graph::PadMode;
use wgrad_nn::{Conv1d, Conv2d, Conv3d, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d, Layer};

fn layer(name: &'static str, layer: impl Layer) {
    Case::load("conv", name).layer(layer);
}

#[test]
fn one_dimension() {
    layer("conv1d.plain", Conv1d::new(3, 4, 3));
    layer("conv1d.options", Conv1d::new(4, 6, 3).stride(2).padding(2).dilation(3).groups(2));
    layer("conv1d.same", Conv1d::new(2, 3, 4).same().dilation(3));
    layer("conv1d.depthwise", Conv1d::new(3, 6, 3).stride(3).padding(1).groups(3));
}

#[test]
fn two_dimensions() {
    layer("conv2d.options", Conv2d::new(4, 2, (3, 2)).stride((1, 2)).padding((2, 1)).dilation((2, 3)).groups(2));
    layer("conv2d.same", Conv2d::new(2, 3, (4, 3)).same());
    layer("conv2d.tf_same", Conv2d::new(2, 3, (2, 4)).stride(3).same());
    layer("conv2d.tf_same_odd", Conv2d::new(2, 3, (3, 4)).stride(2).same());
    layer("conv2d.multiplier", Conv2d::new(2, 4, (3, 2)).stride((2, 1)).padding(1).dilation((1, 2)).groups(2));
    layer("conv2d.depthwise", Conv2d::new(3, 3, 3).padding(1).groups(3));
}

#[test]
fn three_dimensions() {
    layer("conv3d.plain", Conv3d::new(2, 3, 2));
    let options = Conv3d::new(4, 2, (2, 3, 2)).stride((2, 1, 3)).padding((1, 2, 0)).dilation((2, 1, 2)).groups(2);
    layer("conv3d.options", options);
    layer("conv3d.depthwise", Conv3d::new(2, 2, (2, 3, 2)).stride((1, 2, 1)).padding(1).groups(2));
}

#[test]
fn transposed() {
    layer("transpose1d.plain", ConvTranspose1d::new(3, 2, 3));
    let options = ConvTranspose1d::new(4, 6, 3).stride(3).padding(2).output_padding(1).dilation(2).groups(2);
    layer("transpose1d.options", options);
    layer("transpose1d.past_the_stride", ConvTranspose1d::new(2, 1, 2).output_padding(2).dilation(3));
    layer("transpose2d.doubling", ConvTranspose2d::new(3, 2, 4).stride(2).padding(1));
    let options = ConvTranspose2d::new(4, 2, (3, 2)).stride((3, 2)).padding((1, 0)).output_padding((2, 1));
    layer("transpose2d.options", options.dilation((1, 2)).groups(2));
    let depthwise = ConvTranspose2d::new(3, 6, 3).stride(2).padding(1).output_padding(1).groups(3);
    layer("transpose2d.depthwise", depthwise);
    layer("transpose3d.plain", ConvTranspose3d::new(2, 2, 2).stride(2));
    let options = ConvTranspose3d::new(4, 2, (2, 3, 1)).stride((2, 1, 2)).padding((0, 1, 0));
    layer("transpose3d.options", options.output_padding((1, 0, 1)).dilation((1, 2, 1)).groups(2));
    layer("transpose3d.groups", ConvTranspose3d::new(2, 2, (2, 1, 2)).padding((1, 0, 0)).groups(2));
}

#[test]
fn padding_modes() {
    layer("padded.reflect", Conv2d::new(2, 3, 3).stride(2).padding((2, 1)).padding_mode(PadMode::Reflect));
    layer("padded.replicate", Conv1d::new(2, 3, 4).padding(3).padding_mode(PadMode::Replicate));
    let circular = Conv3d::new(2, 2, (2, 1, 3)).dilation((2, 1, 1)).padding((2, 0, 1));
    layer("padded.circular", circular.padding_mode(PadMode::Circular));
}
