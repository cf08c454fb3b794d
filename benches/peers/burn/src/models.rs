//! The models, from burn's layers, with their weights from the file.

use crate::Load;
use anyhow::Result;
use burn::module::{Param, RunningState};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::pool::{MaxPool2d, MaxPool2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Embedding, LayerNorm, LayerNormConfig, Linear, PaddingConfig2d};
use burn::prelude::*;
use burn::tensor::activation::{gelu_approximate, relu, softmax};

impl Load<'_> {
    fn param<const D: usize>(&self, name: &str) -> Result<Param<Tensor<D>>> {
        let (shape, values) = self.file.f32(name)?;
        Ok(Param::from_data(TensorData::new(values, shape), &self.device))
    }

    fn bias(&self, name: &str) -> Result<Option<Param<Tensor<1>>>> {
        Ok(Some(self.param(&format!("{name}.bias"))?))
    }

    /// PyTorch's linear layer: burn has weights [inputs, outputs].
    fn linear(&self, name: &str) -> Result<Linear> {
        let (shape, values) = self.file.f32(&format!("{name}.weight"))?;
        let (outputs, inputs) = (shape[0], shape[1]);
        let turned: Vec<f32> = (0..inputs * outputs).map(|i| values[i % outputs * inputs + i / outputs]).collect();
        let weight = Param::from_data(TensorData::new(turned, [inputs, outputs]), &self.device);
        Ok(Linear { weight, bias: self.bias(name)? })
    }

    /// Hugging Face's `Conv1D`: the weight is [inputs, outputs], as burn's.
    fn affine(&self, name: &str) -> Result<Linear> {
        Ok(Linear { weight: self.param(&format!("{name}.weight"))?, bias: self.bias(name)? })
    }

    /// 3x3, padding 1, with a bias where the file has one.
    fn conv(&self, name: &str, stride: usize) -> Result<Conv2d> {
        let weight: Param<Tensor<4>> = self.param(&format!("{name}.weight"))?;
        let [outputs, inputs, ..] = weight.dims();
        let config = Conv2dConfig::new([inputs, outputs], [3, 3]).with_stride([stride; 2]).with_bias(false);
        let layer = config.with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1)).init(&self.device);
        Ok(Conv2d { weight, bias: self.bias(name).unwrap_or(None), ..layer })
    }

    fn batch_norm(&self, name: &str) -> Result<BatchNorm> {
        let gamma: Param<Tensor<1>> = self.param(&format!("{name}.weight"))?;
        let layer = BatchNormConfig::new(gamma.dims()[0]).init(&self.device);
        let running =
            |part: &str| Ok::<_, anyhow::Error>(RunningState::new(self.floats(&format!("{name}.running_{part}"))?));
        let (running_mean, running_var) = (running("mean")?, running("var")?);
        Ok(BatchNorm { gamma, beta: self.param(&format!("{name}.bias"))?, running_mean, running_var, ..layer })
    }

    fn layer_norm(&self, name: &str) -> Result<LayerNorm> {
        let gamma: Param<Tensor<1>> = self.param(&format!("{name}.weight"))?;
        let mut layer = LayerNormConfig::new(gamma.dims()[0]).init(&self.device);
        (layer.gamma, layer.beta) = (gamma, self.bias(name)?);
        Ok(layer)
    }

    fn embedding(&self, name: &str) -> Result<Embedding> {
        Ok(Embedding { weight: self.param(&format!("{name}.weight"))? })
    }
}

#[derive(Module, Debug)]
pub struct Mlp {
    hidden: Linear,
    last: Linear,
}

impl Mlp {
    pub fn load(from: &Load) -> Result<Mlp> {
        Ok(Mlp { hidden: from.linear("0")?, last: from.linear("2")? })
    }

    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        self.last.forward(relu(self.hidden.forward(x)))
    }
}

#[derive(Module, Debug)]
pub struct Cnn {
    convs: Vec<Conv2d>,
    pool: MaxPool2d,
    hidden: Linear,
    last: Linear,
}

impl Cnn {
    pub fn load(from: &Load) -> Result<Cnn> {
        let convs = vec![from.conv("0", 1)?, from.conv("3", 1)?];
        let pool = MaxPool2dConfig::new([2, 2]).with_strides([2, 2]).init();
        Ok(Cnn { convs, pool, hidden: from.linear("7")?, last: from.linear("9")? })
    }

    pub fn forward(&self, mut x: Tensor<4>) -> Tensor<2> {
        for conv in &self.convs {
            x = self.pool.forward(relu(conv.forward(x)));
        }
        self.last.forward(relu(self.hidden.forward(x.flatten(1, 3))))
    }
}

#[derive(Module, Debug)]
struct Block {
    conv1: Conv2d,
    bn1: BatchNorm,
    conv2: Conv2d,
    bn2: BatchNorm,
    down: bool,
}

impl Block {
    fn load(from: &Load, name: &str, down: bool) -> Result<Block> {
        let conv = |i, stride| from.conv(&format!("{name}.conv{i}"), stride);
        let norm = |i| from.batch_norm(&format!("{name}.bn{i}"));
        let (conv1, conv2) = (conv(1, if down { 2 } else { 1 })?, conv(2, 1)?);
        Ok(Block { conv1, bn1: norm(1)?, conv2, bn2: norm(2)?, down })
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let y = relu(self.bn1.forward(self.conv1.forward(x.clone())));
        let y = self.bn2.forward(self.conv2.forward(y));
        let x = if self.down { shortcut(x) } else { x };
        relu(x + y)
    }
}

/// Every second pixel, and channels of zeros.
fn shortcut(x: Tensor<4>) -> Tensor<4> {
    let x = x.slice(s![.., .., ..;2, ..;2]);
    let [n, c, h, w] = x.dims();
    let zeros = Tensor::zeros([n, c / 2, h, w], &x.device());
    Tensor::cat(vec![zeros.clone(), x, zeros], 1)
}

#[derive(Module, Debug)]
pub struct Resnet {
    conv1: Conv2d,
    bn1: BatchNorm,
    blocks: Vec<Block>,
    fc: Linear,
}

impl Resnet {
    pub fn load(from: &Load) -> Result<Resnet> {
        let mut blocks = vec![];
        for (stage, i) in (1..=3).flat_map(|stage| (0..3).map(move |i| (stage, i))) {
            blocks.push(Block::load(from, &format!("layer{stage}.{i}"), stage > 1 && i == 0)?);
        }
        Ok(Resnet { conv1: from.conv("conv1", 1)?, bn1: from.batch_norm("bn1")?, blocks, fc: from.linear("fc")? })
    }

    pub fn forward(&self, x: Tensor<4>) -> Tensor<2> {
        let mut x = relu(self.bn1.forward(self.conv1.forward(x)));
        for block in &self.blocks {
            x = block.forward(x);
        }
        let [n, c, ..] = x.dims();
        self.fc.forward(x.reshape([n as i32, c as i32, -1]).mean_dim(2).reshape([n, c]))
    }
}

#[derive(Module, Debug)]
struct Layer {
    ln_1: LayerNorm,
    c_attn: Linear,
    c_proj: Linear,
    ln_2: LayerNorm,
    c_fc: Linear,
    mlp_proj: Linear,
}

#[derive(Module, Debug)]
pub struct Gpt {
    wte: Embedding,
    wpe: Embedding,
    layers: Vec<Layer>,
    ln_f: LayerNorm,
    heads: usize,
}

impl Gpt {
    pub fn load(from: &Load, heads: usize) -> Result<Gpt> {
        let mut layers = vec![];
        while from.file.f32(&format!("h.{}.ln_1.weight", layers.len())).is_ok() {
            let name = |part: &str| format!("h.{}.{part}", layers.len());
            layers.push(Layer {
                ln_1: from.layer_norm(&name("ln_1"))?,
                c_attn: from.affine(&name("attn.c_attn"))?,
                c_proj: from.affine(&name("attn.c_proj"))?,
                ln_2: from.layer_norm(&name("ln_2"))?,
                c_fc: from.affine(&name("mlp.c_fc"))?,
                mlp_proj: from.affine(&name("mlp.c_proj"))?,
            });
        }
        let (wte, wpe) = (from.embedding("wte")?, from.embedding("wpe")?);
        Ok(Gpt { wte, wpe, layers, ln_f: from.layer_norm("ln_f")?, heads })
    }

    pub fn forward(&self, tokens: Tensor<2, Int>) -> Tensor<2> {
        let [batch, length] = tokens.dims();
        let device = tokens.device();
        let places = Tensor::arange(0..length as i64, &device).unsqueeze();
        let mut x = self.wte.forward(tokens) + self.wpe.forward(places);
        let width = x.dims()[2];
        let above = Tensor::<2, Bool>::tril_mask([length, length], 0, &device).unsqueeze::<4>();
        for layer in &self.layers {
            let parts = layer.c_attn.forward(layer.ln_1.forward(x.clone()));
            let mut parts = parts
                .chunk(3, 2)
                .into_iter()
                .map(|part| part.reshape([batch, length, self.heads, width / self.heads]).swap_dims(1, 2));
            let [q, k, v] = std::array::from_fn(|_| parts.next().expect("three chunks"));
            let scores = q.matmul(k.swap_dims(2, 3)) * ((width / self.heads) as f64).powf(-0.5);
            let weights = softmax(scores.mask_fill(above.clone(), f32::NEG_INFINITY), 3);
            let joined = weights.matmul(v).swap_dims(1, 2).reshape([batch, length, width]);
            x = x + layer.c_proj.forward(joined);
            let wide = gelu_approximate(layer.c_fc.forward(layer.ln_2.forward(x.clone())));
            x = x + layer.mlp_proj.forward(wide);
        }
        let x = self.ln_f.forward(x).reshape([batch * length, width]);
        x.matmul(self.wte.weight.val().transpose())
    }
}
