//! wgrad's bench models in meganeura, on Vulkan: `../common.rs` has the protocol.
//!
//! Its graphs are of matrices and flat arrays. Batches of texts are laid out token by token, [length * batch, width]: seen as
//! [length, batch * width], each text's heads are heads of one attention, which has no batch of its own.

#[path = "../../common.rs"]
#[allow(dead_code)] // Not every peer uses all of it.
mod common;

use anyhow::{Context, Result, anyhow};
use common::{Args, CONV, Kernel, Tensors, Work, noise};
use meganeura::{Graph, Mode, NodeId, SessionConfig, build as compile};
use std::process::ExitCode;
use std::sync::Arc;

fn main() -> ExitCode {
    common::main(build)
}

fn build(args: &Args) -> Result<Work> {
    let software = args.device == "software";
    match args.device.as_str() {
        // SAFETY: no other thread runs yet. The Vulkan loader then finds lavapipe alone; blade has no way to ask for it.
        "software" => unsafe { std::env::set_var("VK_LOADER_DRIVERS_SELECT", "*lvp*") },
        "gpu" | "auto" => {}
        other => return args.unable(&format!("meganeura computes on gpu and software (Vulkan), not on {other}")),
    }
    match args.model.as_str() {
        "mnist_cnn" if !args.inference => {
            let why = "meganeura 0.3.0 spreads max pooling's gradient over several inputs, so it learns something else";
            return args.unable(why);
        }
        name if name.contains("resnet") => return args.unable("meganeura 0.3.0 has no batch normalisation"),
        _ => {}
    }
    let gpu = meganeura::init_gpu_context().map_err(|e| anyhow!("no Vulkan device: {e:?}"))?;
    let info = gpu.device_information();
    if software && !info.is_software_emulated {
        return args.unable(&format!("the first Vulkan device is {}", info.device_name));
    }
    let device = format!("meganeura 0.3.0, {} ({} {})", info.device_name, info.driver_name, info.driver_info);
    let config = |mode| SessionConfig { gpu: Some(Arc::new(gpu)), mode, ..SessionConfig::default() };
    if let Some(kernel) = Kernel::named(&args.model) {
        return Ok(Work { device, step: run_kernel(kernel, config) });
    }
    let file = args.tensors()?;
    let mut net = Net { graph: Graph::new(), file, values: vec![] };
    let (logits, mut inputs) = match args.model.as_str() {
        "mlp" => mlp(&mut net)?,
        "mnist_cnn" => mnist_cnn(&mut net)?,
        "gpt_small" => gpt(&mut net, 4)?,
        "gpt10m" => gpt(&mut net, 6)?,
        _ => return args.unable("not written for meganeura"),
    };
    let result = if args.inference {
        inputs.retain(|(name, _)| *name != "labels");
        let sizes = net.graph.abs(logits);
        net.graph.mean_all(sizes)
    } else {
        let shape = net.graph.node(logits).ty.shape.clone();
        let labels = net.graph.input("labels", &shape);
        net.graph.cross_entropy_loss(logits, labels)
    };
    net.graph.set_outputs(vec![result]);
    let mode = if args.inference { Mode::Inference } else { Mode::Training };
    let mut session = compile(&net.graph, config(mode)).0;
    for (name, values) in &net.values {
        session.set_parameter(name, values);
    }
    if !args.inference {
        session.set_adam(net.file.rate()? as f32, 0.9, 0.999, 1e-8);
    }
    if args.model == "gpt10m" && !args.inference {
        session.set_weight_decay(0.01);
    }
    let step = move || {
        for (name, data) in &inputs {
            match data {
                Data::F32(values) => session.set_input(name, values),
                Data::U32(values) => session.set_input_u32(name, values),
            }
        }
        session.step();
        session.wait();
        Ok(session.read_loss())
    };
    Ok(Work { device, step: Box::new(step) })
}

type Inputs = Vec<(&'static str, Data)>;

enum Data {
    F32(Vec<f32>),
    U32(Vec<u32>),
}

/// A graph that grows, and the initial values of its parameters.
struct Net {
    graph: Graph,
    file: Tensors,
    values: Vec<(String, Vec<f32>)>,
}

impl Net {
    fn parameter(&mut self, name: &str, shape: &[usize], values: Vec<f32>) -> NodeId {
        self.values.push((name.to_string(), values));
        self.graph.parameter(name, shape)
    }

    fn load(&mut self, name: &str) -> Result<NodeId> {
        let (shape, values) = self.file.f32(name)?;
        Ok(self.parameter(name, &shape, values))
    }

    /// PyTorch's linear layer. meganeura's own has weights [inputs, outputs].
    fn linear(&mut self, name: &str, x: NodeId) -> Result<NodeId> {
        let (shape, values) = self.file.f32(&format!("{name}.weight"))?;
        let &[outputs, inputs] = shape.as_slice() else { return Err(anyhow!("{name}.weight is {shape:?}")) };
        let turned = (0..inputs * outputs).map(|i| values[i % outputs * inputs + i / outputs]).collect();
        let weight = self.parameter(&format!("{name}.weight"), &[inputs, outputs], turned);
        let bias = self.load(&format!("{name}.bias"))?;
        let y = self.graph.matmul(x, weight);
        Ok(self.graph.bias_add(y, bias))
    }

    /// Columns `part` of `parts` of Hugging Face's `Conv1D`.
    fn affine(&mut self, name: &str, x: NodeId, part: usize, parts: usize) -> Result<NodeId> {
        let (shape, values) = self.file.f32(&format!("{name}.weight"))?;
        let &[inputs, all] = shape.as_slice() else { return Err(anyhow!("{name}.weight is {shape:?}")) };
        let columns = part * (all / parts)..(part + 1) * (all / parts);
        let weight = values.chunks_exact(all).flat_map(|row| &row[columns.clone()]).copied().collect();
        let bias = self.file.f32(&format!("{name}.bias"))?.1[columns.clone()].to_vec();
        let weight = self.parameter(&format!("{name}.weight.{part}"), &[inputs, columns.len()], weight);
        let bias = self.parameter(&format!("{name}.bias.{part}"), &[columns.len()], bias);
        let y = self.graph.matmul(x, weight);
        Ok(self.graph.bias_add(y, bias))
    }

    fn norm(&mut self, name: &str, x: NodeId) -> Result<NodeId> {
        let (weight, bias) = (self.load(&format!("{name}.weight"))?, self.load(&format!("{name}.bias"))?);
        Ok(self.graph.layer_norm(x, weight, bias, 1e-5))
    }
}

fn mlp(net: &mut Net) -> Result<(NodeId, Inputs)> {
    let (images, labels) = (net.file.f32("images")?.1, net.file.u32("labels")?.1);
    let x = net.graph.input("images", &[labels.len(), images.len() / labels.len()]);
    let x = net.linear("0", x)?;
    let x = net.graph.relu(x);
    let logits = net.linear("2", x)?;
    Ok((logits, vec![("images", Data::F32(images)), ("labels", Data::F32(one_hot(&labels, 10)))]))
}

fn mnist_cnn(net: &mut Net) -> Result<(NodeId, Inputs)> {
    let (images, labels) = (net.file.f32("images")?.1, net.file.u32("labels")?.1);
    let batch = labels.len() as u32;
    let mut x = net.graph.input("images", &[images.len()]);
    for (name, inputs, outputs, side) in [("0", 1, 16, 28), ("3", 16, 32, 14)] {
        let weight = net.file.f32(&format!("{name}.weight"))?.1;
        let weight = net.parameter(&format!("{name}.weight"), &[weight.len()], weight);
        let bias = net.load(&format!("{name}.bias"))?;
        x = net.graph.conv2d(x, weight, batch, inputs, side, side, outputs, 3, 3, 1, 1);
        x = net.graph.add_per_channel(x, bias, outputs, side * side);
        x = net.graph.relu(x);
        x = net.graph.max_pool_2d(x, batch, outputs, side, side, 2, 2, 2, 0);
    }
    let x = net.graph.reshape(x, &[labels.len(), 1568]);
    let x = net.linear("7", x)?;
    let x = net.graph.relu(x);
    let logits = net.linear("9", x)?;
    Ok((logits, vec![("images", Data::F32(images)), ("labels", Data::F32(one_hot(&labels, 10)))]))
}

fn gpt(net: &mut Net, heads: usize) -> Result<(NodeId, Inputs)> {
    let (shape, tokens) = net.file.u32("tokens")?;
    let &[batch, length] = shape.as_slice() else { return Err(anyhow!("tokens are {shape:?}")) };
    let turn = |t: &[u32]| (0..batch * length).map(|i| t[i % batch * length + i / batch]).collect::<Vec<u32>>();
    let (tokens, targets) = (turn(&tokens), turn(&net.file.u32("targets")?.1));
    let places: Vec<u32> = (0..batch * length).map(|i| (i / batch) as u32).collect();
    let &[vocabulary, width] = net.file.f32("wte.weight")?.0.as_slice() else {
        return Err(anyhow!("wte.weight has 2 axes"));
    };

    let table = net.load("wte.weight")?;
    let ids = net.graph.input_u32("tokens", &[batch * length]);
    let x = net.graph.embedding(ids, table);
    let (ids, place_table) = (net.graph.input_u32("places", &[batch * length]), net.load("wpe.weight")?);
    let place = net.graph.embedding(ids, place_table);
    let mut x = net.graph.add(x, place);
    for layer in (0..).take_while(|i| net.file.f32(&format!("h.{i}.ln_1.weight")).is_ok()).collect::<Vec<_>>() {
        let name = |part: &str| format!("h.{layer}.{part}");
        let y = net.norm(&name("ln_1"), x)?;
        let mut qkv = [y; 3];
        for (i, part) in qkv.iter_mut().enumerate() {
            *part = net.affine(&name("attn.c_attn"), y, i, 3)?;
            *part = net.graph.reshape(*part, &[length, batch * width]);
        }
        // A product, since meganeura loses v's gradient where it passes through a reshape alone: it binds it too early.
        let ones = net.graph.constant(vec![1.0; batch * length * width], &[length, batch * width]);
        qkv[2] = net.graph.mul(qkv[2], ones);
        let all_heads = (batch * heads) as u32;
        let y = net.graph.causal_attention(qkv[0], qkv[1], qkv[2], all_heads, all_heads, (width / heads) as u32);
        let y = net.graph.reshape(y, &[batch * length, width]);
        let y = net.affine(&name("attn.c_proj"), y, 0, 1)?;
        x = net.graph.add(x, y);
        let y = net.norm(&name("ln_2"), x)?;
        let y = net.affine(&name("mlp.c_fc"), y, 0, 1)?;
        // Its gradient is that of `x * sigmoid(1.702 x)`: near enough for the losses to agree.
        let y = net.graph.gelu(y);
        let y = net.affine(&name("mlp.c_proj"), y, 0, 1)?;
        x = net.graph.add(x, y);
    }
    let x = net.norm("ln_f", x)?;
    let logits = net.graph.matmul_bt(x, table);
    let targets = Data::F32(one_hot(&targets, vocabulary));
    Ok((logits, vec![("tokens", Data::U32(tokens)), ("places", Data::U32(places)), ("labels", targets)]))
}

fn one_hot(labels: &[u32], classes: usize) -> Vec<f32> {
    (0..labels.len() * classes).map(|i| f32::from(labels[i / classes] as usize == i % classes)).collect()
}

fn run_kernel<'a>(kernel: Kernel, config: impl FnOnce(Mode) -> SessionConfig<'a>) -> Box<dyn FnMut() -> Result<f32>> {
    let mut g = Graph::new();
    let (sizes, mode) = match kernel {
        Kernel::Matmul(n) => {
            let (a, b) = (g.parameter("a", &[n, n]), g.parameter("b", &[n, n]));
            let c = g.matmul(a, b);
            g.set_outputs(vec![c]);
            ([n * n, n * n], Mode::Inference)
        }
        Kernel::Conv { gradients } => {
            let [batch, channels, side] = CONV;
            let sizes = [batch * channels * side * side, channels * channels * 9];
            let (a, b) = (g.parameter("a", &sizes[..1]), g.parameter("b", &sizes[1..]));
            let [batch, channels, side] = CONV.map(|n| n as u32);
            let mut y = g.conv2d(a, b, batch, channels, side, side, channels, 3, 3, 1, 1);
            if gradients {
                y = g.sum_all(y);
            }
            g.set_outputs(vec![y]);
            (sizes, if gradients { Mode::Training } else { Mode::Inference })
        }
    };
    let mut session = compile(&g, config(mode)).0;
    for (name, (size, seed)) in ["a", "b"].into_iter().zip(sizes.into_iter().zip(1..)) {
        session.set_parameter(name, &noise(size, seed));
    }
    Box::new(move || {
        session.step();
        session.wait();
        if mode == Mode::Inference {
            return session.read_output(1).first().copied().context("there is no output");
        }
        let mut first = [0.0];
        session.read_param_grad("b", &mut first);
        Ok(first[0])
    })
}
