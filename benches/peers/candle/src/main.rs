//! wgrad's bench models in candle: `../common.rs` has the protocol. On the CPU, or with `--features cuda` on `--device gpu`.
//!
//! Only what candle can differentiate is used: its fused norms and softmax have no gradients, so the composed ones are
//! here. Its `SGD` has no momentum; the one below is written with its tensors.

#[path = "../../common.rs"]
#[allow(dead_code)] // Not every peer uses all of it.
mod common;

use anyhow::{Context, Result};
use candle_core::backprop::GradStore;
use candle_core::{D, DType, Device, Tensor, Var};
use candle_nn::{AdamW, BatchNorm, ModuleT, Optimizer, ParamsAdamW, loss::cross_entropy, ops};
use common::{Args, CONV, Kernel, Tensors, Work, noise};
use std::collections::BTreeMap;
use std::process::ExitCode;

fn main() -> ExitCode {
    common::main(build)
}

fn build(args: &Args) -> Result<Work> {
    let (device, label) = match args.device.as_str() {
        "cpu" => (Device::Cpu, "CPU"),
        "gpu" if cfg!(feature = "cuda") => (Device::new_cuda(0)?, "CUDA"),
        other => {
            return args.unable(&format!("candle computes on the CPU, and on CUDA if built for it, not on {other}"));
        }
    };
    let label = format!("candle 0.11.1, {label}");
    if let Some(kernel) = Kernel::named(&args.model) {
        return Ok(Work { device: label, step: run_kernel(kernel, device)? });
    }
    let file = args.tensors()?;
    let net = Net::load(&file, &device, !args.inference)?;
    let rate = file.rate()?;
    let (forward, input, targets): (Forward, _, _) = match args.model.as_str() {
        "mlp" => (mlp, "images", "labels"),
        "mnist_cnn" => (mnist_cnn, "images", "labels"),
        "resnet20" => (resnet20, "images", "labels"),
        "gpt_small" => (|net, x| gpt(net, x, 4), "tokens", "targets"),
        "gpt10m" => (|net, x| gpt(net, x, 6), "tokens", "targets"),
        _ => return args.unable("not written for candle"),
    };
    let (input, targets) = (Input::read(&file, input)?, Input::read(&file, targets)?);
    if args.inference {
        let step = move || Ok(forward(&net, &input.tensor(&device)?)?.abs()?.mean_all()?.to_scalar()?);
        return Ok(Work { device: label, step: Box::new(step) });
    }
    let vars: Vec<Var> = net.vars.values().cloned().collect();
    let mut optimizer = match args.model.as_str() {
        "resnet20" => Rule::Momentum(Momentum::new(vars, rate)?),
        name => {
            // Without weight decay, AdamW is Adam.
            let weight_decay = if name == "gpt10m" { 0.01 } else { 0.0 };
            Rule::Adam(AdamW::new(vars, ParamsAdamW { lr: rate, weight_decay, ..Default::default() })?)
        }
    };
    let step = move || {
        let (input, targets) = (input.tensor(&device)?, targets.tensor(&device)?.flatten_all()?);
        let loss = cross_entropy(&forward(&net, &input)?, &targets)?;
        let gradients = loss.backward()?;
        match &mut optimizer {
            Rule::Adam(adam) => adam.step(&gradients)?,
            Rule::Momentum(sgd) => sgd.step(&gradients)?,
        }
        Ok(loss.to_scalar::<f32>()?)
    };
    Ok(Work { device: label, step: Box::new(step) })
}

/// A part of the batch: it is uploaded in each step.
struct Input {
    shape: Vec<usize>,
    values: Values,
}

enum Values {
    F32(Vec<f32>),
    U32(Vec<u32>),
}

impl Input {
    fn read(file: &Tensors, name: &str) -> Result<Input> {
        if name == "images" {
            let (shape, values) = file.f32(name)?;
            return Ok(Input { shape, values: Values::F32(values) });
        }
        let (shape, values) = file.u32(name)?;
        Ok(Input { shape, values: Values::U32(values) })
    }

    fn tensor(&self, device: &Device) -> Result<Tensor> {
        Ok(match &self.values {
            Values::F32(values) => Tensor::from_slice(values, self.shape.as_slice(), device)?,
            Values::U32(values) => Tensor::from_slice(values, self.shape.as_slice(), device)?,
        })
    }
}

type Forward = fn(&Net, &Tensor) -> Result<Tensor>;

enum Rule {
    Adam(AdamW),
    Momentum(Momentum),
}

/// SGD with momentum 0.9 and decay 5e-4, as PyTorch's.
struct Momentum {
    vars: Vec<(Var, Var)>,
    rate: f64,
}

impl Momentum {
    fn new(vars: Vec<Var>, rate: f64) -> Result<Momentum> {
        let with_zeros = |v: Var| Ok((v.clone(), Var::from_tensor(&v.zeros_like()?)?));
        Ok(Momentum { vars: vars.into_iter().map(with_zeros).collect::<Result<_>>()?, rate })
    }

    fn step(&mut self, gradients: &GradStore) -> Result<()> {
        for (var, velocity) in &self.vars {
            if let Some(gradient) = gradients.get(var) {
                let gradient = (gradient + (var.as_tensor() * 5e-4)?)?;
                velocity.set(&((velocity.as_tensor() * 0.9)? + gradient)?)?;
                var.set(&(var.as_tensor() - (velocity.as_tensor() * self.rate)?)?)?;
            }
        }
        Ok(())
    }
}

/// Weights by their names in PyTorch, and norms with their statistics.
struct Net {
    vars: BTreeMap<String, Var>,
    norms: BTreeMap<String, BatchNorm>,
    mask: Tensor,
    train: bool,
}

impl Net {
    fn load(file: &Tensors, device: &Device, train: bool) -> Result<Net> {
        let (mut vars, mut others) = (BTreeMap::new(), BTreeMap::new());
        for (name, shape, values) in file.weights() {
            let tensor = Tensor::from_vec(values, shape, device)?;
            match name.contains(".running_") {
                true => others.insert(name.to_string(), tensor),
                false => {
                    vars.insert(name.to_string(), Var::from_tensor(&tensor)?);
                    None
                }
            };
        }
        let mut norms = BTreeMap::new();
        for name in others.keys().filter_map(|n| n.strip_suffix(".running_mean")) {
            let var = |part| Ok::<_, anyhow::Error>(find(&vars, &format!("{name}.{part}"))?.as_tensor().clone());
            let [mean, variance] =
                ["mean", "var"].map(|part| find(&others, &format!("{name}.running_{part}")).cloned());
            let (mean, weight) = (mean?, var("weight")?);
            norms.insert(name.to_string(), BatchNorm::new(mean.dims1()?, mean, variance?, weight, var("bias")?, 1e-5)?);
        }
        let mask = Tensor::zeros((), DType::F32, device)?;
        let mut net = Net { vars, norms, mask, train };
        if let Ok(places) = net.get("wpe.weight") {
            let n = places.dim(0)?;
            let above = (0..n * n).map(|i| if i % n > i / n { f32::NEG_INFINITY } else { 0.0 }).collect();
            net.mask = Tensor::from_vec(above, (n, n), device)?;
        }
        Ok(net)
    }

    fn get(&self, name: &str) -> Result<&Tensor> {
        Ok(find(&self.vars, name)?.as_tensor())
    }

    fn linear(&self, name: &str, x: &Tensor) -> Result<Tensor> {
        let y = x.matmul(&self.get(&format!("{name}.weight"))?.t()?)?;
        Ok(y.broadcast_add(self.get(&format!("{name}.bias"))?)?)
    }

    fn conv(&self, name: &str, x: &Tensor, stride: usize) -> Result<Tensor> {
        let y = x.conv2d(self.get(&format!("{name}.weight"))?, 1, stride, 1, 1)?;
        match self.vars.get(&format!("{name}.bias")) {
            Some(bias) => Ok(y.broadcast_add(&bias.reshape((1, (), 1, 1))?)?),
            None => Ok(y),
        }
    }

    fn batch_norm(&self, name: &str, x: &Tensor) -> Result<Tensor> {
        Ok(find(&self.norms, name)?.forward_t(x, self.train)?)
    }

    fn layer_norm(&self, name: &str, x: &Tensor) -> Result<Tensor> {
        let [weight, bias] = ["weight", "bias"].map(|part| self.get(&format!("{name}.{part}")));
        Ok(ops::layer_norm_slow(x, weight?, bias?, 1e-5)?)
    }

    /// Hugging Face's `Conv1D`: the weight is [inputs, outputs].
    fn affine(&self, name: &str, x: &Tensor) -> Result<Tensor> {
        let y = x.matmul(self.get(&format!("{name}.weight"))?)?;
        Ok(y.broadcast_add(self.get(&format!("{name}.bias"))?)?)
    }
}

fn find<'a, T>(map: &'a BTreeMap<String, T>, name: &str) -> Result<&'a T> {
    map.get(name).with_context(|| format!("the file has no {name}"))
}

fn mlp(net: &Net, x: &Tensor) -> Result<Tensor> {
    let x = net.linear("0", &x.flatten_from(1)?)?.relu()?;
    net.linear("2", &x)
}

/// candle divides max pooling's gradient by the window's size once too often; Adam does not see the factor.
fn mnist_cnn(net: &Net, x: &Tensor) -> Result<Tensor> {
    let x = net.conv("0", x, 1)?.relu()?.max_pool2d(2)?;
    let x = net.conv("3", &x, 1)?.relu()?.max_pool2d(2)?;
    let x = net.linear("7", &x.flatten_from(1)?)?.relu()?;
    net.linear("9", &x)
}

fn resnet20(net: &Net, x: &Tensor) -> Result<Tensor> {
    let mut x = net.batch_norm("bn1", &net.conv("conv1", x, 1)?)?.relu()?;
    for stage in 1..=3 {
        for i in 0..3 {
            let (name, down) = (format!("layer{stage}.{i}"), stage > 1 && i == 0);
            let y = net.conv(&format!("{name}.conv1"), &x, if down { 2 } else { 1 })?;
            let y = net.batch_norm(&format!("{name}.bn1"), &y)?.relu()?;
            let y = net.batch_norm(&format!("{name}.bn2"), &net.conv(&format!("{name}.conv2"), &y, 1)?)?;
            let shortcut = if down { shortcut(&x)? } else { x };
            x = (y + shortcut)?.relu()?;
        }
    }
    net.linear("fc", &x.mean((2, 3))?)
}

/// Every second pixel, and channels of zeros.
fn shortcut(x: &Tensor) -> Result<Tensor> {
    let (_, c, h, w) = x.dims4()?;
    let every_second = |n: usize| Tensor::arange_step(0, n as u32, 2, x.device());
    let x = x.index_select(&every_second(h)?, 2)?.index_select(&every_second(w)?, 3)?;
    Ok(x.pad_with_zeros(1, c / 2, c - c / 2)?)
}

fn gpt(net: &Net, tokens: &Tensor, heads: usize) -> Result<Tensor> {
    let (batch, length) = tokens.dims2()?;
    let table = net.get("wte.weight")?;
    let width = table.dim(1)?;
    let x = table.index_select(&tokens.flatten_all()?, 0)?.reshape((batch, length, width))?;
    let mut x = x.broadcast_add(&net.get("wpe.weight")?.narrow(0, 0, length)?)?.reshape((batch * length, width))?;
    let mask = net.mask.narrow(0, 0, length)?.narrow(1, 0, length)?;
    for layer in (0..).take_while(|i| net.vars.contains_key(&format!("h.{i}.ln_1.weight"))) {
        let name = |part: &str| format!("h.{layer}.{part}");
        let parts = net.affine(&name("attn.c_attn"), &net.layer_norm(&name("ln_1"), &x)?)?;
        let parts = parts.reshape((batch, length, 3, heads, width / heads))?.permute((2, 0, 3, 1, 4))?;
        let [q, k, v] = [0, 1, 2].map(|i| parts.get(i).and_then(|p| p.contiguous()));
        let scores = (q?.matmul(&k?.t()?)? * (1.0 / (width as f64 / heads as f64).sqrt()))?;
        let weights = ops::softmax(&scores.broadcast_add(&mask)?, D::Minus1)?;
        let joined = weights.matmul(&v?)?.transpose(1, 2)?.reshape((batch * length, width))?;
        x = (x + net.affine(&name("attn.c_proj"), &joined)?)?;
        let wide = net.affine(&name("mlp.c_fc"), &net.layer_norm(&name("ln_2"), &x)?)?;
        x = (x + net.affine(&name("mlp.c_proj"), &wide.gelu()?)?)?;
    }
    Ok(net.layer_norm("ln_f", &x)?.matmul(&table.t()?)?)
}

fn run_kernel(kernel: Kernel, device: Device) -> Result<Box<dyn FnMut() -> Result<f32>>> {
    let operand = |shape: &[usize], seed| Tensor::from_vec(noise(shape.iter().product(), seed), shape, &device);
    let first = |t: &Tensor| Ok::<f32, anyhow::Error>(t.flatten_all()?.get(0)?.to_scalar()?);
    match kernel {
        Kernel::Matmul(n) => {
            let (a, b) = (operand(&[n, n], 1)?, operand(&[n, n], 2)?);
            Ok(Box::new(move || first(&a.matmul(&b)?)))
        }
        Kernel::Conv { gradients } => {
            let [batch, channels, side] = CONV;
            let x = Var::from_tensor(&operand(&[batch, channels, side, side], 1)?)?;
            let w = Var::from_tensor(&operand(&[channels, channels, 3, 3], 2)?)?;
            Ok(Box::new(move || {
                if !gradients {
                    return first(&x.as_detached_tensor().conv2d(&w.as_detached_tensor(), 1, 1, 1, 1)?);
                }
                let gradients = x.conv2d(&w, 1, 1, 1, 1)?.sum_all()?.backward()?;
                let [dx, dw] = [&x, &w].map(|v| gradients.get(v).context("candle gave no gradient"));
                first(dx?)?;
                first(dw?)
            }))
        }
    }
}
