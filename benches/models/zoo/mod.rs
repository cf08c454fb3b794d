//! The models that are measured, by name. `benches/peers/README.md` has the same table for who writes a peer.

mod classifier;
mod dcgan;
mod gpt;
mod unet;
mod yolo;

use crate::shared::noise::Noise;
use anyhow::{Result, bail};
use wgrad::prelude::*;
use wgrad::train::TensorData;

/// The models by name, small ones first.
pub const NAMES: [&str; 12] = [
    "mlp",
    "mnist_cnn",
    "gpt_small",
    "resnet20",
    "unet",
    "dcgan",
    "gpt10m",
    "resnet18",
    "resnet50",
    "yolov3",
    "gpt124m",
    LONG,
];

/// GPT-2 small on 8 texts of 1024 tokens, for GPUs; `gpt124m` reads one text of 128. Peers know both by one name.
pub const LONG: &str = "gpt124m_1024";

/// What is done in a step.
pub trait Model {
    /// The batch: the same for everybody, and the same in each step.
    fn batch(&self) -> Vec<Input>;

    /// A training step: programs that run one after another, each with its loss. What is compared is the sum of their losses.
    fn train(&self, batch: &[Tensor]) -> Vec<(Tensor, Updates)>;

    /// What the model gives for a batch when it is used.
    fn infer(&self, scope: &Scope, batch: &[Tensor]) -> Tensor;

    /// The optimiser's learning rate. Losses need not fall for long, but three steps must not part from the peers' by rounding.
    fn rate(&self) -> f64;
}

/// The model of this name, with another batch size than its own if there is one, and the size of its batch.
///
/// # Errors
/// If there is none of this name.
pub fn named(name: &str, batch: Option<usize>) -> Result<(Box<dyn Model>, usize)> {
    let own = match name {
        "mlp" | "mnist_cnn" | "resnet20" => 64,
        "gpt_small" | "resnet18" | "unet" | "gpt10m" | LONG => 8,
        "dcgan" => 32,
        _ => 1,
    };
    let batch = batch.unwrap_or(own);
    let model: Box<dyn Model> = match name {
        "mlp" | "mnist_cnn" | "resnet20" | "resnet18" | "resnet50" => Box::new(classifier::named(name, batch)?),
        "gpt_small" | "gpt10m" | "gpt124m" | LONG => Box::new(gpt::named(name, batch)?),
        "unet" => Box::new(unet::Segmenting { batch }),
        "dcgan" => Box::new(dcgan::Adversaries::new(batch)?),
        "yolov3" => Box::new(yolo::Detecting { batch }),
        _ => bail!("there is no model {name:?}, only {}", NAMES.join(", ")),
    };
    Ok((model, batch))
}

/// An input of a step.
pub struct Input {
    name: &'static str,
    shape: Vec<usize>,
    values: Values,
}

enum Values {
    F32(Vec<f32>),
    U32(Vec<u32>),
}

impl Input {
    /// Numbers in [-1, 1), others for each name.
    pub fn noise(name: &'static str, shape: impl Into<Vec<usize>>) -> Input {
        Input::floats(name, shape, |_, v| v)
    }

    /// What `value` makes of a place and a number in [-1, 1).
    pub fn floats(name: &'static str, shape: impl Into<Vec<usize>>, value: impl Fn(usize, f32) -> f32) -> Input {
        let shape = shape.into();
        let noise = Noise::new(name).floats(shape.iter().product());
        Input { name, shape, values: Values::F32(noise.into_iter().enumerate().map(|(i, v)| value(i, v)).collect()) }
    }

    /// Whole numbers below `limit`, others for each name.
    pub fn indices(name: &'static str, shape: impl Into<Vec<usize>>, limit: usize) -> Input {
        let shape = shape.into();
        Input { name, values: Values::U32(Noise::new(name).indices(shape.iter().product(), limit)), shape }
    }

    /// What programs call it.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The expression.
    pub fn tensor(&self) -> Tensor {
        let dtype = if matches!(self.values, Values::F32(_)) { DType::F32 } else { DType::U32 };
        Tensor::input(self.name, self.shape.clone(), dtype)
    }

    /// Its elements.
    pub fn data(&self) -> Data<'_> {
        match &self.values {
            Values::F32(v) => v.into(),
            Values::U32(v) => v.into(),
        }
    }

    /// As it is given to peers.
    pub fn saved(&self) -> TensorData {
        match &self.values {
            Values::F32(v) => TensorData::from_f32(self.shape.clone(), v),
            Values::U32(v) => TensorData::from_u32(self.shape.clone(), v),
        }
    }
}
