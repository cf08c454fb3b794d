//! A classifier whose features and answers judge samples.

use std::path::Path;
use std::sync::Arc;

use wgrad_graph::{DType, Data, Device, Program, State, Tensor};
use wgrad_nn::optim::Adam;
use wgrad_nn::{Conv2d, Layer, Linear, Scope};

use crate::checkpoint;
use crate::data::{Loader, LoaderOptions, Source};
use crate::error::{DataError, TrainError};
use crate::tensors;
use crate::trainer::{Classifier, Trainer};

/// Features of an image.
const FEATURES: usize = 64;
/// Images in a program's run.
const BATCH: usize = 250;
/// Examples that it has seen at least when its training ends, twice through the data if these are more.
const EXAMPLES: usize = 20_000;

/// Two strided 3x3 convolutions and two linear layers; the features are what the last one gets.
#[derive(Clone)]
struct Network {
    shape: [usize; 3],
    classes: usize,
}

impl Network {
    /// Features and logits.
    fn look(&self, scope: &Scope, images: &Tensor) -> (Tensor, Tensor) {
        let [channels, height, width] = self.shape;
        let down = |inputs, outputs| Conv2d::new(inputs, outputs, 3).stride(2).padding(1);
        let x = down(channels, 32).forward(&scope.enter("conv1"), images).relu();
        let x = down(32, 64).forward(&scope.enter("conv2"), &x).relu().flatten(1);
        let flat = 64 * height.div_ceil(2).div_ceil(2) * width.div_ceil(2).div_ceil(2);
        let features = Linear::new(flat, FEATURES).forward(&scope.enter("fc1"), &x).relu();
        let logits = Linear::new(FEATURES, self.classes).forward(&scope.enter("fc2"), &features);
        (features, logits)
    }
}

impl Layer for Network {
    fn forward(&self, scope: &Scope, images: &Tensor) -> Tensor {
        self.look(scope, images).1
    }
}

/// A small classifier, trained on the real data, that looks at samples.
///
/// It has always the same seed and options, so that distances can be compared between runs on the same data.
pub struct Judge {
    shape: [usize; 3],
    classes: usize,
    accuracy: f64,
    program: Program,
    state: State,
}

/// What a [`Judge`] sees in images.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seen {
    /// Its features, [`Judge::features`] for each image.
    pub features: Vec<f32>,
    /// Its logits, one for each image and class.
    pub logits: Vec<f32>,
}

impl Judge {
    /// A judge trained on `train`, whose examples have "images" [C, H, W] and "labels" below `classes`; `test` tells how good
    /// it is. It is kept in the directory `dir`, and taken from there where it was trained before.
    ///
    /// # Errors
    /// When the data are of another kind, or data, device or directory fail.
    pub fn open(
        device: &Device,
        train: Arc<dyn Source>,
        test: Arc<dyn Source>,
        classes: usize,
        dir: &Path,
    ) -> Result<Judge, TrainError> {
        let images = train.fields().into_iter().find(|f| f.name == "images").map(|f| f.shape);
        let Some(Ok(shape)) = images.map(<[usize; 3]>::try_from) else {
            let reason = "a judge needs \"images\" of channels, height and width".into();
            return Err(DataError::Invalid { name: train.name().into(), reason }.into());
        };
        let network = Network { shape, classes };
        let epochs = (EXAMPLES / train.len().max(1)).max(2);
        let trainer = |resume| {
            let adam = |scope: &Scope, loss: &Tensor| Adam::new(1e-3).minimize(scope, loss);
            let task = Classifier::new(network.clone(), adam);
            Trainer::new(device, "judge", task).epochs(epochs).output(dir).quiet(true).resume(resume)
        };
        let batch = 64.min(train.len());
        let loaders =
            (Loader::shared(train, LoaderOptions::train(batch, 0))?, Loader::shared(test, LoaderOptions::test(BATCH))?);
        // A run that is done is only judged again.
        let report = match trainer(true).fit(&loaders.0, &loaders.1) {
            Err(TrainError::NothingToResume { .. }) => trainer(false).fit(&loaders.0, &loaders.1)?,
            other => other?,
        };

        let images = Tensor::input("images", [&[BATCH], &shape[..]].concat(), DType::F32);
        let scope = Scope::eval();
        let (features, logits) = network.look(&scope, &images);
        let program = Program::compile(device, &[&features, &logits], &scope.updates())?;
        let mut state = State::init(device, &program, 0)?;
        let names: Vec<String> = state.tensors().map(|(name, ..)| name.to_string()).collect();
        let weights = checkpoint::load(&report.checkpoint)?;
        tensors::import(&mut state, names.iter().map(String::as_str), &weights, &report.checkpoint, "judge")?;
        let accuracy = report.test.get("accuracy").unwrap_or(f64::NAN);
        Ok(Judge { shape, classes, accuracy, program, state })
    }

    /// Channels, height and width of its images.
    pub fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// The number of classes that it tells apart.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Features of an image.
    pub fn features(&self) -> usize {
        FEATURES
    }

    /// The share of test images that it names rightly.
    pub fn accuracy(&self) -> f64 {
        self.accuracy
    }

    /// What it sees in images (whole ones, one after another, scaled as its training data).
    ///
    /// # Errors
    /// When they are not whole images, or the device fails.
    pub fn look(&mut self, images: &[f32]) -> Result<Seen, TrainError> {
        let size: usize = self.shape.iter().product();
        if images.is_empty() || !images.len().is_multiple_of(size) {
            let reason = format!("{} values are not whole images of shape {:?}", images.len(), self.shape);
            return Err(DataError::Invalid { name: "samples".into(), reason }.into());
        }
        let mut seen = Seen::default();
        let mut part = vec![0.0; BATCH * size];
        for chunk in images.chunks(BATCH * size) {
            // The last batch may be smaller: what is left in the place of the rest is looked at for nothing.
            part[..chunk.len()].copy_from_slice(chunk);
            let mut outputs = self.program.run(&mut self.state, &[("images", Data::F32(&part))])?;
            let count = chunk.len() / size;
            seen.features.extend(&outputs.f32(0)?[..count * FEATURES]);
            seen.logits.extend(&outputs.f32(1)?[..count * self.classes]);
        }
        Ok(seen)
    }
}
