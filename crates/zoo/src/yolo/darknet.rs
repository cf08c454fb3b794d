//! Darknet-53 as a classifier.

use super::layers::{BLOCKS, Section, darknet, run};
use wgrad_graph::{Init, Tensor};
use wgrad_nn::{Layer, Scope};

/// Darknet-53 (table 1 of the paper): from images [N, channels, H, W] to logits [N, classes]. Fifty-two convolutions, the
/// mean of each channel, and a last convolution that is the fully connected layer.
///
/// Names are as in [`super::Yolo`], whose sections 0 to 74 are the same: its parameters load into a detector. The last
/// layer is `module_list.76.conv_76`, a 1x1 convolution, as in darknet53.cfg.
///
/// ```
/// # use wgrad_graph::{DType, Tensor};
/// # use wgrad_nn::{Layer, Scope};
/// let images = Tensor::input("images", [1, 3, 256, 256], DType::F32);
/// let scope = Scope::eval();
/// assert_eq!(wgrad_zoo::Darknet53::new(1000).forward(&scope, &images).shape(), [1, 1000]);
/// assert_eq!(scope.param_count(), 41_609_928); // 40,584,928 without the last layer
/// ```
#[derive(Clone, Debug)]
pub struct Darknet53 {
    classes: usize,
    width: usize,
}

impl Darknet53 {
    /// For this many classes.
    pub fn new(classes: usize) -> Self {
        Self { classes, width: 32 }
    }

    /// Channels of the first convolution: 32 unless said otherwise.
    pub fn width(mut self, width: usize) -> Self {
        self.width = width;
        self
    }

    pub(super) fn sections(&self) -> Vec<Section> {
        let last = Section::Conv { filters: self.classes, kernel: 1, stride: 1, normed: false };
        [darknet(self.width, BLOCKS).0, vec![Section::AvgPool, last]].concat()
    }
}

impl Layer for Darknet53 {
    #[track_caller]
    fn forward(&self, scope: &Scope, images: &Tensor) -> Tensor {
        let values = run(&self.sections(), scope, images, &Init::Constant(0.0));
        values[values.len() - 1].flatten(1)
    }
}
