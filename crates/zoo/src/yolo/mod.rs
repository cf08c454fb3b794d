//! YOLOv3 (Redmon and Farhadi, "YOLOv3: an incremental improvement", 2018) and its backbone, Darknet-53.

mod darknet;
mod layers;
mod loss;
mod predictions;
#[cfg(test)]
mod tests;
mod truth;
mod weights;

pub use darknet::Darknet53;
pub use loss::{Losses, YoloLoss};
pub use predictions::Predictions;
pub use truth::{Assigned, Truth};
pub use weights::{DarknetTensor, DarknetWeights};

use crate::ZooError;
use layers::{BLOCKS, Section, conv, darknet, head, run};
use wgrad_graph::{Init, Tensor, fail};
use wgrad_nn::Scope;

/// Width and height of the nine anchors of yolov3.cfg, in pixels of a 416 x 416 image: clusters of COCO's boxes.
pub const COCO_ANCHORS: [[f32; 2]; 9] = [
    [10.0, 13.0],
    [16.0, 30.0],
    [33.0, 23.0],
    [30.0, 61.0],
    [62.0, 45.0],
    [59.0, 119.0],
    [116.0, 90.0],
    [156.0, 198.0],
    [373.0, 326.0],
];

/// The six anchors of yolov3-tiny.cfg.
pub const COCO_TINY_ANCHORS: [[f32; 2]; 6] =
    [[10.0, 14.0], [23.0, 27.0], [37.0, 58.0], [81.0, 82.0], [135.0, 169.0], [344.0, 319.0]];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    V3,
    Tiny,
    Small,
}

/// A YOLOv3 detector: from images [N, channels, H, W] to three boxes for each cell of two or three grids.
///
/// Parameters are called as in the widely used PyTorch-YOLOv3, by the number of the section in Darknet's cfg file:
/// `module_list.0.conv_0.weight`, `module_list.0.batch_norm_0.running_mean`, `module_list.81.conv_81.bias`. Its state dict
/// fits by name, apart from `num_batches_tracked`; Darknet's own `.weights` files are read by
/// [`Yolo::darknet_weights`]. Convolutions start as Darknet's do: normal with standard deviation `sqrt(2 / fan_in)`.
///
/// | form | strides | default anchors | parameters, 80 classes |
/// |---|---|---|---|
/// | [`Yolo::v3`] | 32, 16, 8 | [`COCO_ANCHORS`] | 61,949,149 |
/// | [`Yolo::tiny`] | 32, 16 | [`COCO_TINY_ANCHORS`] | 8,852,366 |
/// | [`Yolo::small`] | 16, 8 | [`COCO_TINY_ANCHORS`] | 1,351,342 |
///
/// ```
/// # use wgrad_graph::{DType, Tensor};
/// # use wgrad_nn::Scope;
/// let model = wgrad_zoo::Yolo::v3(80);
/// let images = Tensor::input("images", [1, 3, 416, 416], DType::F32);
/// let scope = Scope::eval();
/// assert_eq!(model.forward(&scope, &images).detections().shape(), [1, 10_647, 85]);
/// assert_eq!(scope.param_count(), 61_949_149);
/// ```
#[derive(Clone, Debug)]
pub struct Yolo {
    form: Form,
    classes: usize,
    width: usize,
    blocks: [usize; 5],
    anchors: Vec<[f32; 2]>,
    prior: Option<f32>,
}

impl Yolo {
    /// The model of the paper (yolov3.cfg): Darknet-53 and three grids.
    pub fn v3(classes: usize) -> Self {
        Self { form: Form::V3, classes, width: 32, blocks: BLOCKS, anchors: COCO_ANCHORS.to_vec(), prior: None }
    }

    /// The small one that Darknet's authors published beside it (yolov3-tiny.cfg): seven convolutions with pooling between
    /// them, and two grids.
    pub fn tiny(classes: usize) -> Self {
        Self { form: Form::Tiny, classes, width: 16, blocks: BLOCKS, anchors: COCO_TINY_ANCHORS.to_vec(), prior: None }
    }

    /// One for images of about a hundred pixels, that learns on a CPU: as [`Yolo::v3`], but with four stages of one residual
    /// block each, and two grids, at strides 16 and 8. Not a published model.
    pub fn small(classes: usize) -> Self {
        Self { form: Form::Small, ..Self::tiny(classes) }
    }

    /// Channels of the first convolution: 32 (v3) or 16 unless said otherwise. All others follow.
    pub fn width(mut self, width: usize) -> Self {
        self.width = width;
        self
    }

    /// Residual blocks in each stage of the backbone of [`Yolo::v3`]: 1, 2, 8, 8 and 4 unless said otherwise.
    pub fn blocks(mut self, blocks: [usize; 5]) -> Self {
        self.blocks = blocks;
        self
    }

    /// Other anchors, from small to large, in pixels of the model's input; the first three are those of the finest grid.
    ///
    /// # Errors
    /// If they are not three for each grid, or one is not positive.
    pub fn anchors(mut self, anchors: &[[f32; 2]]) -> Result<Self, ZooError> {
        let wanted = self.anchors.len();
        let sound = anchors.iter().flatten().all(|v| v.is_finite() && *v > 0.0);
        if anchors.len() != wanted || !sound {
            let reason = format!("{wanted} anchors with positive sides are needed, not {anchors:?}");
            return Err(ZooError::Invalid { what: self.name(), reason });
        }
        self.anchors = anchors.to_vec();
        Ok(self)
    }

    /// The probability of an object that every box starts with, by the bias of its objectness (as RetinaNet's; Lin et al.,
    /// 2017, section 3.3). Darknet starts at 1/2, and spends its first steps on learning that most boxes have none.
    ///
    /// # Errors
    /// If it is not between 0 and 1.
    pub fn prior(mut self, probability: f32) -> Result<Self, ZooError> {
        if !(probability > 0.0 && probability < 1.0) {
            let reason = format!("a prior between 0 and 1 is needed, not {probability}");
            return Err(ZooError::Invalid { what: self.name(), reason });
        }
        self.prior = Some(probability);
        Ok(self)
    }

    /// The model's name: `yolov3`, `yolov3-tiny` or `yolov3-small`.
    pub fn name(&self) -> &'static str {
        match self.form {
            Form::V3 => "yolov3",
            Form::Tiny => "yolov3-tiny",
            Form::Small => "yolov3-small",
        }
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Height and width of the images must be multiples of this.
    pub fn stride(&self) -> usize {
        if self.form == Form::Small { 16 } else { 32 }
    }

    /// What the network says of images [N, channels, H, W].
    ///
    /// # Panics
    /// With a [`wgrad_graph::ShapeError`] if height or width is no multiple of [`Yolo::stride`].
    #[track_caller]
    pub fn forward(&self, scope: &Scope, images: &Tensor) -> Predictions {
        let stride = self.stride();
        if images.rank() != 4 || images.shape()[2] % stride != 0 || images.shape()[3] % stride != 0 {
            let shape = images.shape();
            fail(self.name(), format!("[N, channels, H, W] with multiples of {stride} expected, not {shape:?}"));
        }
        let sections = self.sections();
        let values = run(&sections, scope, images, &self.bias());
        let grids = sections.iter().zip(values).filter_map(|(section, map)| match section {
            Section::Yolo(anchors) => Some((map, *anchors)),
            _ => None,
        });
        Predictions::new(
            &grids.collect::<Vec<_>>(),
            &self.anchors,
            self.classes,
            [images.shape()[2], images.shape()[3]],
        )
    }

    /// What the heads' biases start with.
    fn bias(&self) -> Init {
        let Some(prior) = self.prior else { return Init::Constant(0.0) };
        let one = |i: usize| if i == 4 { (prior / (1.0 - prior)).ln() } else { 0.0 };
        Init::Data((0..3 * (5 + self.classes)).map(|i| one(i % (5 + self.classes))).collect())
    }

    /// The network, section by section as in the cfg file.
    fn sections(&self) -> Vec<Section> {
        let outputs = 3 * (5 + self.classes);
        match self.form {
            Form::V3 => yolov3(self.width, self.blocks, outputs),
            Form::Tiny => tiny(self.width, outputs),
            Form::Small => small(self.width, outputs),
        }
    }
}

/// A grid at stride 32 from the end of Darknet-53; then twice: half the channels of its neck, enlarged, beside the
/// backbone's map of that size.
fn yolov3(width: usize, blocks: [usize; 5], outputs: usize) -> Vec<Section> {
    let (mut net, [_, _, stage_3, stage_4, _]) = darknet(width, blocks);
    let necks = [(32, None, [6, 7, 8]), (16, Some(stage_4), [3, 4, 5]), (8, Some(stage_3), [0, 1, 2])];
    for (widths, beside, anchors) in necks {
        let channels = widths * width;
        if let Some(beside) = beside {
            net.push(Section::Route(vec![net.len() - 4]));
            net.extend([conv(channels / 2, 1, 1), Section::Upsample]);
            net.push(Section::Route(vec![net.len() - 1, beside]));
        }
        for _ in 0..3 {
            net.extend([conv(channels / 2, 1, 1), conv(channels, 3, 1)]);
        }
        net.extend(head(outputs, anchors));
    }
    net
}

/// Six convolutions with pooling after each, the last without a stride; a grid; and one at twice its resolution.
fn tiny(width: usize, outputs: usize) -> Vec<Section> {
    let mut net = Vec::new();
    for stage in 0..6 {
        net.extend([conv(width << stage, 3, 1), Section::MaxPool { stride: if stage == 5 { 1 } else { 2 } }]);
    }
    net.extend([conv(64 * width, 3, 1), conv(16 * width, 1, 1), conv(32 * width, 3, 1)]);
    net.extend(head(outputs, [3, 4, 5]));
    net.extend([Section::Route(vec![13]), conv(8 * width, 1, 1), Section::Upsample, Section::Route(vec![19, 8])]);
    net.push(conv(16 * width, 3, 1));
    net.extend(head(outputs, [0, 1, 2]));
    net
}

/// As `yolov3`, but with one block in each of four stages, two grids, and necks of two convolutions.
fn small(width: usize, outputs: usize) -> Vec<Section> {
    let (mut net, [_, _, stage_3, _]) = darknet(width, [1; 4]);
    net.extend([conv(8 * width, 1, 1), conv(16 * width, 3, 1)]);
    net.extend(head(outputs, [3, 4, 5]));
    net.push(Section::Route(vec![net.len() - 4]));
    net.extend([conv(4 * width, 1, 1), Section::Upsample]);
    net.push(Section::Route(vec![net.len() - 1, stage_3]));
    net.extend([conv(4 * width, 1, 1), conv(8 * width, 3, 1)]);
    net.extend(head(outputs, [0, 1, 2]));
    net
}
