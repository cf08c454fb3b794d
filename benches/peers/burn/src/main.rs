//! wgrad's bench models in burn: `../common.rs` has the protocol. Through wgpu (WGSL, or SPIR-V with `--features vulkan`), and
//! on burn's own CPU backend, flex.
//!
//! Layers, loss and optimisers are burn's. Adapters are chosen by kind: `--device software` is lavapipe by wgpu's device type
//! CPU. What burn's autotuning finds is kept for later runs where burn keeps it: in `target/environment` of the outermost crate
//! above the working folder.

#[path = "../../common.rs"]
#[allow(dead_code)] // Not every peer uses all of it.
mod common;
mod models;

use anyhow::{Context, Result, anyhow};
use burn::optim::decay::WeightDecayConfig;
use burn::optim::momentum::MomentumConfig;
use burn::optim::{AdamConfig, AdamWConfig, GradientsParams, ModuleOptimizer, SgdConfig};
use burn::prelude::*;
use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::DeviceKind;
use burn::tensor::kind::Basic;
use common::{Args, CONV, Kernel, Tensors, Work, noise};
use models::{Cnn, Gpt, Mlp, Resnet};
use std::process::ExitCode;

fn main() -> ExitCode {
    common::main(build)
}

fn build(args: &Args) -> Result<Work> {
    let (device, label) = open(args)?;
    let label = format!("burn 0.22.1, {label}");
    if let Some(kernel) = Kernel::named(&args.model) {
        return Ok(Work { device: label, step: run_kernel(kernel, device)? });
    }
    let file = args.tensors()?;
    let load = Load { file: &file, device: if args.inference { device } else { device.autodiff() } };
    let adam = || AdamConfig::new().with_epsilon(1e-8).init();
    let step = match args.model.as_str() {
        "mlp" => run(args, &load, "images", Mlp::load(&load)?, |net, x: Tensor<2>| net.forward(x), adam()),
        "mnist_cnn" => run(args, &load, "images", Cnn::load(&load)?, |net, x: Tensor<4>| net.forward(x), adam()),
        "resnet20" => {
            let momentum = MomentumConfig { momentum: 0.9, dampening: 0.0, nesterov: false };
            let sgd = SgdConfig::new().with_momentum(Some(momentum));
            let sgd = sgd.with_weight_decay(Some(WeightDecayConfig { penalty: 5e-4 })).init();
            run(args, &load, "images", Resnet::load(&load)?, |net, x: Tensor<4>| net.forward(x), sgd)
        }
        "gpt_small" => {
            run(args, &load, "tokens", Gpt::load(&load, 4)?, |net, x: Tensor<2, Int>| net.forward(x), adam())
        }
        "gpt10m" => {
            let adamw = AdamWConfig::new().with_epsilon(1e-8).with_weight_decay(0.01).init();
            run(args, &load, "tokens", Gpt::load(&load, 6)?, |net, x: Tensor<2, Int>| net.forward(x), adamw)
        }
        _ => return args.unable("not written for burn"),
    };
    Ok(Work { device: label, step: step? })
}

fn open(args: &Args) -> Result<(Device, String)> {
    let kind = match args.device.as_str() {
        "cpu" => return Ok((Device::flex(), "flex (CPU)".into())),
        "software" => DeviceKind::Cpu,
        "gpu" => DeviceKind::DiscreteGpu(0),
        "auto" => DeviceKind::DefaultDevice,
        other => return args.unable(&format!("burn computes on cpu, software, gpu and auto, not on {other}")),
    };
    let init = Device::wgpu_options().device_kind(kind).init_with_setup();
    let (device, setup) = init.map_err(|e| anyhow!("no such wgpu adapter: {e:?}"))?;
    let info = setup.adapter.get_info();
    Ok((device, format!("wgpu, {} ({} {})", info.name, info.driver, info.driver_info)))
}

/// A step: forward, loss, backward, update, and the loss read; or the forward pass alone. Its batch is uploaded each time.
fn run<M: Module + 'static, const D: usize, K: Basic + 'static>(
    args: &Args,
    load: &Load,
    input: &str,
    net: M,
    forward: fn(&M, Tensor<D, K>) -> Tensor<2>,
    mut optimizer: ModuleOptimizer,
) -> Result<Box<dyn FnMut() -> Result<f32>>> {
    let device = load.device.clone();
    let input = load.data(input)?;
    let upload = {
        let device = device.clone();
        move || Tensor::<D, K>::from_data(input.clone(), &device)
    };
    if args.inference {
        return Ok(Box::new(move || Ok(forward(&net, upload()).abs().mean().into_scalar::<f32>())));
    }
    let labels = load.integers(if args.model.starts_with("gpt") { "targets" } else { "labels" })?.1;
    let rate = load.file.rate()?;
    let criterion = burn::nn::loss::CrossEntropyLossConfig::new().init(&device);
    let mut net = Some(net);
    Ok(Box::new(move || {
        let model = net.take().context("an earlier step failed")?;
        let labels = Tensor::<1, Int>::from_data(TensorData::new(labels.clone(), [labels.len()]), &device);
        let loss = criterion.forward(forward(&model, upload()), labels);
        let gradients = GradientsParams::from_grads(loss.backward(), &model);
        net = Some(optimizer.step(rate, model, gradients));
        let value = loss.into_scalar::<f32>();
        // The update is part of the step: what fusion still holds back is run, and waited for.
        device.sync().map_err(|e| anyhow!("{e:?}"))?;
        Ok(value)
    }))
}

/// Tensors from the file on the device that learns.
pub struct Load<'a> {
    pub file: &'a Tensors,
    pub device: Device,
}

impl Load<'_> {
    fn floats<const D: usize>(&self, name: &str) -> Result<Tensor<D>> {
        let (shape, values) = self.file.f32(name)?;
        Ok(Tensor::from_data(TensorData::new(values, shape), &self.device))
    }

    /// A part of the batch.
    fn data(&self, name: &str) -> Result<TensorData> {
        if name == "images" {
            let (shape, values) = self.file.f32(name)?;
            return Ok(TensorData::new(values, shape));
        }
        let (shape, values) = self.integers(name)?;
        Ok(TensorData::new(values, shape))
    }

    fn integers(&self, name: &str) -> Result<(Vec<usize>, Vec<i32>)> {
        let (shape, values) = self.file.u32(name)?;
        Ok((shape, values.into_iter().map(|v| v as i32).collect()))
    }
}

fn run_kernel(kernel: Kernel, device: Device) -> Result<Box<dyn FnMut() -> Result<f32>>> {
    let data = |shape: &[usize], seed| TensorData::new(noise(shape.iter().product(), seed), shape.to_vec());
    let options = || ConvOptions::new([1, 1], [1, 1], [1, 1], 1);
    match kernel {
        Kernel::Matmul(n) => {
            let [a, b] = [1, 2].map(|seed| Tensor::<2>::from_data(data(&[n, n], seed), &device));
            Ok(Box::new(move || Ok(first(a.clone().matmul(b.clone())))))
        }
        Kernel::Conv { gradients } => {
            let [batch, channels, side] = CONV;
            let device = if gradients { device.autodiff() } else { device };
            let tensor = |shape: &[usize], seed| Tensor::<4>::from_data(data(shape, seed), &device);
            let (x, w) = (tensor(&[batch, channels, side, side], 1), tensor(&[channels, channels, 3, 3], 2));
            Ok(Box::new(move || {
                if !gradients {
                    return Ok(first(conv2d(x.clone(), w.clone(), None, options())));
                }
                let (x, w) = (x.clone().detach().require_grad(), w.clone().detach().require_grad());
                let all = conv2d(x.clone(), w.clone(), None, options()).sum().backward();
                let (dx, dw) = (x.grad(&all), w.grad(&all));
                first(dx.context("burn gave no gradient")?);
                Ok(first(dw.context("burn gave no gradient")?))
            }))
        }
    }
}

/// One number of the result: reading it waits for all.
fn first<const D: usize>(t: Tensor<D>) -> f32 {
    t.slice([(); D].map(|()| 0..1)).into_scalar::<f32>()
}
