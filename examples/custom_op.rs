//! An operation of one's own, with kernels of its own, from outside wgrad: defined, checked by the public operation
//! contract, and trained with.
//!
//! ```sh
//! cargo run --release --example custom_op
//! ```
//!
//! The operation is the gated unit of gpt-oss, a SwiGLU whose arguments are clamped: of a row [gate | up] of 2n values
//! it makes n, `(up + 1) * gate * sigmoid(1.702 gate)`, with gate at most `limit` and up within `limit` of 0. As a
//! composition of wgrad's operations it would fuse too; it serves here because it is short and its gradient is not.

use std::sync::Arc;

use wgrad::device::{Adapter, Cost, CpuIo, DeviceError, Kernel, Operand, Pass, PassBinding, fold_groups};
use wgrad::graph::contract::{self, OpCase};
use wgrad::graph::op::{Array, Lower, Op};
use wgrad::graph::{CompileOptions, gradients_of, partial_gradients};
use wgrad::prelude::*;

const ALPHA: f32 = 1.702;

/// What both kernels share: parameters, the clamped arguments, and the sigmoid.
const HEAD: &str = "
@group(0) @binding(0) var<uniform> params: array<vec4<u32>, 1>; // elements of the result, n, bits of the limit
@group(0) @binding(1) var<storage, read> x: array<f32>;         // rows of [gate | up]

struct Unit { gate: f32, up: f32, sigmoid: f32, gate_free: bool, up_free: bool }

fn unit(row: u32, column: u32) -> Unit {
    let n = params[0].y;
    let limit = bitcast<f32>(params[0].z);
    let gate = x[row * 2u * n + column];
    let up = x[row * 2u * n + n + column];
    let g = min(gate, limit);
    // Bounded, since WGSL need not have infinity.
    let sigmoid = 1.0 / (1.0 + exp(min(-1.702 * g, 80.0)));
    return Unit(g, clamp(up, -limit, limit), sigmoid, gate < limit, abs(up) < limit);
}
";

const FORWARD: &str = "
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

fn element(i: u32) {
    let u = unit(i / params[0].y, i % params[0].y);
    y[i] = (u.up + 1.0) * u.gate * u.sigmoid;
}
";

const BACKWARD: &str = "
@group(0) @binding(2) var<storage, read> dy: array<f32>;
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;

fn element(i: u32) {
    let n = params[0].y;
    let row = i / (2u * n);
    let at = i % (2u * n);
    let column = at % n;
    let u = unit(row, column);
    let d_gate = (u.up + 1.0) * u.sigmoid * (1.0 + 1.702 * u.gate * (1.0 - u.sigmoid));
    let d_up = u.gate * u.sigmoid;
    let d = select(select(0.0, d_up, u.up_free), select(0.0, d_gate, u.gate_free), at < n);
    dx[i] = d * dy[row * n + column];
}
";

/// An invocation an element. More than 65535 workgroups need two dimensions, which `fold_groups` makes.
const MAIN: &str = "
@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (group.y * groups.x + group.x) * 64u + lane;
    if (i < params[0].x) {
        element(i);
    }
}
";

/// The operation, and its gradient as an operation of its own. Also the kernel of each: it is the same few numbers.
#[derive(Clone, Debug)]
struct SwiGlu {
    /// Arguments x and dy instead of x; the result is dx.
    backward: bool,
    rows: usize,
    n: usize,
    limit: f32,
}

/// The operation on the last axis of `x`.
///
/// # Panics
/// If that axis is odd or absent (with the caller's place, like wgrad's own operations).
#[track_caller]
pub fn swiglu(x: &Tensor, limit: f32) -> Tensor {
    let width = x.shape().last().copied().unwrap_or(1);
    if width % 2 != 0 {
        wgrad::graph::fail("swiglu", format!("[..., 2n] expected, not {:?}", x.shape()));
    }
    let n = width / 2;
    Tensor::apply(SwiGlu { backward: false, rows: x.count().checked_div(width).unwrap_or(0), n, limit }, &[x])
}

/// The same as a composition: what second gradients are taken of.
fn composed(x: &Tensor, n: usize, limit: f32) -> Tensor {
    let gate = x.slice(-1, 0..n).clamp(-f32::MAX, limit);
    let up = x.slice(-1, n..2 * n).clamp(-limit, limit);
    (up + 1.0) * &gate * (&gate * ALPHA).sigmoid()
}

impl Op for SwiGlu {
    fn name(&self) -> &'static str {
        if self.backward { "swiglu_backward" } else { "swiglu" }
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<(Vec<usize>, DType), String> {
        if let Some(t) = inputs.iter().find(|t| t.dtype() != DType::F32) {
            return Err(format!("f32 expected, not {}; cast first", t.dtype()));
        }
        let mut shape = inputs[0].shape().to_vec();
        if !self.backward {
            *shape.last_mut().expect("an axis") = self.n;
        }
        Ok((shape, DType::F32))
    }

    fn gradient(&self, output: &Tensor, grad: &Tensor) -> Result<Vec<Option<Tensor>>, String> {
        let x = &output.inputs()[0];
        if !self.backward {
            return Ok(vec![Some(Tensor::apply(SwiGlu { backward: true, ..self.clone() }, &[x, grad]))]);
        }
        // x and dy each for itself, though dy may well have come from x.
        let plain = |t: &[Tensor]| gradients_of(&composed(&t[0], self.n, self.limit), &[&t[0]], &t[1]).remove(0);
        Ok(partial_gradients(plain, output.inputs(), grad))
    }

    fn reference(&self, inputs: &[&Array], shape: &[usize]) -> Array {
        let (n, limit) = (self.n, self.limit as f64);
        let value = |p: usize| {
            let (row, at) = if self.backward { (p / (2 * n), p % (2 * n)) } else { (p / n, p % n) };
            let column = at % n;
            let (gate, up) = (inputs[0].data[row * 2 * n + column], inputs[0].data[row * 2 * n + n + column]);
            let (g, u) = (gate.min(limit), up.clamp(-limit, limit));
            let sigmoid = 1.0 / (1.0 + (-ALPHA as f64 * g).exp());
            match (self.backward, at < n) {
                (false, _) => (u + 1.0) * g * sigmoid,
                (true, true) if gate < limit => {
                    let d = (u + 1.0) * sigmoid * (1.0 + ALPHA as f64 * g * (1.0 - sigmoid));
                    d * inputs[1].data[row * n + column]
                }
                (true, false) if up.abs() < limit => g * sigmoid * inputs[1].data[row * n + column],
                _ => 0.0,
            }
        };
        Array::new(shape, (0..shape.iter().product()).map(value).collect())
    }

    fn lower(&self) -> Lower<'_> {
        Lower::Kernel(Arc::new(self.clone()))
    }
}

impl Kernel for SwiGlu {
    fn name(&self) -> String {
        format!("{} {}x{}", Op::name(self), self.rows, self.n)
    }

    fn run_cpu(&self, io: &CpuIo) {
        let (n, limit) = (self.n, self.limit);
        let x: &[f32] = io.elements(0);
        let unit = |row: usize, column: usize| {
            let (gate, up) = (x[row * 2 * n + column], x[row * 2 * n + n + column]);
            let g = gate.min(limit);
            (g, up.clamp(-limit, limit), 1.0 / (1.0 + (-ALPHA * g).exp()), gate < limit, up.abs() < limit)
        };
        if !self.backward {
            io.fill(0, |p| {
                let (g, u, sigmoid, ..) = unit(p / n, p % n);
                (u + 1.0) * g * sigmoid
            });
            return;
        }
        let dy: &[f32] = io.elements(1);
        io.fill(0, |p| {
            let (row, at) = (p / (2 * n), p % (2 * n));
            let (g, u, sigmoid, gate_free, up_free) = unit(row, at % n);
            let d = match at < n {
                true if gate_free => (u + 1.0) * sigmoid * (1.0 + ALPHA * g * (1.0 - sigmoid)),
                false if up_free => g * sigmoid,
                _ => 0.0,
            };
            d * dy[row * n + at % n]
        });
    }

    fn passes(&self, _: &Adapter, _: &[Option<usize>]) -> Vec<Pass> {
        let count = self.rows * self.n * if self.backward { 2 } else { 1 };
        if count == 0 {
            return vec![];
        }
        let read = |i| PassBinding { operand: Operand::Input(i), write: false };
        let mut bindings = if self.backward { vec![read(0), read(1)] } else { vec![read(0)] };
        bindings.push(PassBinding { operand: Operand::Output(0), write: true });
        vec![Pass {
            label: Op::name(self).into(),
            wgsl: [HEAD, if self.backward { BACKWARD } else { FORWARD }, MAIN].concat(),
            bindings,
            params: vec![count as u32, self.n as u32, self.limit.to_bits()],
            groups: fold_groups(count.div_ceil(64)),
        }]
    }

    fn cost(&self) -> Cost {
        let units = (self.rows * self.n) as f64;
        let (flops, words) = if self.backward { (16.0, 5.0) } else { (8.0, 3.0) };
        Cost { flops: flops * units, bytes: 4.0 * words * units }
    }
}

/// Small cases with awkward shapes.
pub fn cases() -> Vec<OpCase> {
    let case = |name: &str, shape: &[usize], limit: f32| {
        OpCase::new("swiglu", name, &[shape], move |x| swiglu(&x[0], limit))
            .domain(-2.0, 2.0)
            .f32_only("its kernels are written for f32")
    };
    vec![
        case("a row", &[14], 1.5),
        case("rows of a prime width", &[3, 5, 22], 0.9),
        case("of two", &[7, 2], 7.0),
        case("no rows", &[0, 6], 1.0),
        OpCase::new("swiglu", "of a transpose, with work around it", &[&[6, 9]], |x| {
            swiglu(&x[0].exp().permute(&[1, 0]), 1.2) * 2.0 + 1.0
        })
        .f32_only("its kernels are written for f32"),
    ]
}

/// Runs the whole contract on the cases: gradients and second gradients against differences, the program's kernels
/// against the reference, fused and op by op.
pub fn check(device: &Device) -> Result<usize, String> {
    let cases = cases();
    for case in &cases {
        let named = |what: &str| {
            let name = case.name.clone();
            let what = what.to_string();
            move |e: String| format!("{name}: {what}: {e}")
        };
        contract::check_gradients(case, 1).map_err(named("gradient"))?;
        contract::check_gradients(case, 2).map_err(named("second gradient"))?;
        for fuse in [true, false] {
            let options = CompileOptions { fuse, poison: true, ..CompileOptions::default() };
            contract::check_program(device, case, &options).map_err(named("program"))?;
        }
    }
    Ok(cases.len())
}

/// Fits a small network with the operation in its middle to `sin(3a) * b`; gives the first loss and the last.
pub fn train(device: &Device, steps: usize) -> Result<[f32; 2], wgrad::graph::Error> {
    const BATCH: usize = 64;
    let (points, target) = (Tensor::input("x", [BATCH, 2], DType::F32), Tensor::input("y", [BATCH, 1], DType::F32));
    let scope = Scope::train();
    let hidden = swiglu(&Linear::new(2, 64).forward(&scope.enter("in"), &points), 7.0);
    let output = Linear::new(32, 1).forward(&scope.enter("out"), &hidden);
    let loss = wgrad::nn::loss::mse(&output, &target, wgrad::nn::Reduction::Mean);
    let program = Program::compile(device, &[&loss], &Adam::new(1e-2).minimize(&scope, &loss))?;
    let mut state = State::init(device, &program, 0)?;
    let mut ends = [f32::NAN; 2];
    for step in 0..steps {
        let number = |i: usize| (i * 2_654_435_761 % 4096) as f32 / 2048.0 - 1.0;
        let x: Vec<f32> = (0..2 * BATCH).map(|i| number(step * 2 * BATCH + i)).collect();
        let y: Vec<f32> = x.chunks(2).map(|p| (3.0 * p[0]).sin() * p[1]).collect();
        let mut out = program.run(&mut state, &[("x", (&x).into()), ("y", (&y).into())])?;
        ends[(step > 0) as usize] = out.scalar(0)?;
    }
    Ok(ends)
}

/// The CPU backend, and a GPU or its software stand-in if there is one.
pub fn devices() -> Result<Vec<Device>, DeviceError> {
    let mut devices = vec![Device::open(DeviceChoice::Cpu)?];
    devices.extend(Device::open(DeviceChoice::Gpu).or_else(|_| Device::open(DeviceChoice::Software)));
    Ok(devices)
}

#[allow(dead_code)] // the test that shares this file has no use for it
fn main() -> anyhow::Result<()> {
    for device in devices()? {
        println!("on {}", device.adapter());
        let count = check(&device).map_err(anyhow::Error::msg)?;
        println!("  {count} cases: gradients, second gradients, fused and op by op: as they should be");
        let [first, last] = train(&device, 300)?;
        println!("  training with it: loss {first:.4}, after 300 steps {last:.4}");
    }
    Ok(())
}
