//! What the golden tests share: files that PyTorch wrote (see scripts/golden), and what evaluates expressions.

#![allow(dead_code)] // each test file uses a part

pub mod case;
pub mod family;

use safetensors::{Dtype, SafeTensors};
use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::OnceLock;
use wgrad_graph::{Array, DType, Data, Device, DeviceChoice, Program, State, Tensor, Updates, reference};

/// Values by the name of the leaf that they are bound to.
pub type Leaves = HashMap<String, Array>;

/// What evaluates expressions.
#[derive(Clone, Copy)]
pub enum Backend {
    /// Operation by operation, in f64.
    Reference,
    /// A compiled program, in f32.
    Program(&'static Device),
}

impl Backend {
    /// The reference, programs on the CPU, and programs on the GPU that `WGRAD_TEST_DEVICE` names: by default any, else a
    /// software one; none if it is `cpu`. One device of each for the whole process, since drivers dislike many.
    pub fn all() -> &'static [Backend] {
        static ALL: OnceLock<Vec<Backend>> = OnceLock::new();
        ALL.get_or_init(|| {
            let program = |device| Backend::Program(Box::leak(Box::new(device)));
            let gpu = match std::env::var("WGRAD_TEST_DEVICE").as_deref().unwrap_or_default() {
                "cpu" => None,
                "" => {
                    let found = Device::open(DeviceChoice::Gpu).or_else(|_| Device::open(DeviceChoice::Software));
                    Some(found.expect("no GPU and no software GPU (install lavapipe, or set WGRAD_TEST_DEVICE=cpu)"))
                }
                name => Some(Device::open(name.parse().expect("any text is a choice")).expect("WGRAD_TEST_DEVICE")),
            };
            [Some(Backend::Reference), Some(program(Device::cpu())), gpu.map(program)].into_iter().flatten().collect()
        })
    }

    /// How far values may be off, as [`assert_close`] measures it. The files hold f32 that was computed in f64.
    pub fn tolerance(self) -> f64 {
        match self {
            Backend::Reference => 1e-6,
            Backend::Program(_) => 1e-4,
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Backend::Reference => f.write_str("the reference"),
            Backend::Program(device) => write!(f, "{}", device.adapter()),
        }
    }
}

/// Expressions with their state, ready to be evaluated any number of times.
pub struct Session {
    outputs: Vec<Tensor>,
    updates: Updates,
    evaluator: Evaluator,
}

enum Evaluator {
    /// With the state's values.
    Reference(Leaves),
    Program(Box<Program>, State),
}

impl Session {
    /// State tensors start as `leaves` says, or else with their initial value.
    pub fn new(backend: Backend, outputs: &[&Tensor], updates: &Updates, leaves: &Leaves) -> Session {
        let cpu = Device::cpu();
        let device = if let Backend::Program(device) = backend { device } else { &cpu };
        let program = Program::compile(device, outputs, updates).unwrap();
        let mut state = State::init(device, &program, 0).unwrap();
        let names: Vec<String> = state.tensors().map(|(name, ..)| name.to_string()).collect();
        for name in &names {
            if let Some(given) = leaves.get(name) {
                state.set_f32(name, &floats(given)).unwrap();
            }
        }
        let evaluator = match backend {
            Backend::Program(_) => Evaluator::Program(Box::new(program), state),
            Backend::Reference => {
                let value = |n: &String| leaves.get(n).cloned().unwrap_or_else(|| read(&state, n));
                Evaluator::Reference(names.iter().map(|n| (n.clone(), value(n))).collect())
            }
        };
        Session { outputs: outputs.iter().map(|&t| t.clone()).collect(), updates: updates.clone(), evaluator }
    }

    /// One run: gives the outputs, and updates the state. `leaves` may have more than the inputs.
    pub fn run(&mut self, leaves: &Leaves) -> Vec<Array> {
        match &mut self.evaluator {
            Evaluator::Program(program, state) => run_program(program, state, &self.outputs, leaves),
            Evaluator::Reference(state) => {
                let written = self.updates.values();
                let all: Vec<&Tensor> = self.outputs.iter().chain(written.iter().map(|(_, value)| value)).collect();
                let mut bound = leaves.clone();
                bound.extend(state.clone());
                let mut values = reference::evaluate(&all, &bound);
                let new = values.split_off(self.outputs.len());
                for ((leaf, _), value) in written.iter().zip(new) {
                    state.insert(leaf.name().expect("state has a name").to_string(), value);
                }
                values
            }
        }
    }

    /// Replaces what a state tensor holds.
    pub fn set(&mut self, name: &str, value: &Array) {
        match &mut self.evaluator {
            Evaluator::Reference(state) => drop(state.insert(name.into(), value.clone())),
            Evaluator::Program(_, state) => state.set_f32(name, &floats(value)).unwrap(),
        }
    }

    /// What a state tensor holds by now.
    pub fn state(&self, name: &str) -> Array {
        match &self.evaluator {
            Evaluator::Reference(state) => state[name].clone(),
            Evaluator::Program(_, state) => read(state, name),
        }
    }
}

fn floats(array: &Array) -> Vec<f32> {
    array.data.iter().map(|&x| x as f32).collect()
}

fn read(state: &State, name: &str) -> Array {
    let (_, shape, _) = state.tensors().find(|(n, ..)| *n == name).expect("the state has it");
    Array::new(shape, state.f32(name).unwrap().into_iter().map(f64::from).collect())
}

fn run_program(program: &Program, state: &mut State, outputs: &[Tensor], leaves: &Leaves) -> Vec<Array> {
    let (mut numbers, mut classes) = (vec![], vec![]);
    for (name, _, dtype) in program.input_shapes() {
        let given = leaves.get(name).unwrap_or_else(|| panic!("\"{name}\" is not bound"));
        match dtype {
            DType::U32 => classes.push((name, given.data.iter().map(|&x| x as u32).collect::<Vec<_>>())),
            _ => numbers.push((name, floats(given))),
        }
    }
    let mut inputs: Vec<(&str, Data)> = numbers.iter().map(|(n, d)| (*n, Data::from(d))).collect();
    inputs.extend(classes.iter().map(|(n, d)| (*n, Data::from(d))));
    let mut got = program.run(state, &inputs).unwrap();
    let values = outputs.iter().enumerate();
    values.map(|(i, t)| Array::new(t.shape(), got.f32(i).unwrap().into_iter().map(f64::from).collect())).collect()
}

/// The tensors of a safetensors file.
pub struct Golden {
    arrays: HashMap<String, Array>,
}

impl Golden {
    /// Reads a file.
    pub fn load(path: impl AsRef<Path>) -> Golden {
        let path = path.as_ref();
        let bytes = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let file = SafeTensors::deserialize(&bytes).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let arrays = file.iter().map(|(name, view)| {
            let data = view.data();
            let data: Vec<f64> = match view.dtype() {
                Dtype::U8 => data.iter().map(|&b| b as f64).collect(),
                Dtype::I32 => each(data, |b| i32::from_le_bytes(b) as f64),
                Dtype::I64 => each(data, |b| i64::from_le_bytes(b) as f64),
                Dtype::F32 => each(data, |b| f32::from_le_bytes(b) as f64),
                Dtype::F64 => each(data, f64::from_le_bytes),
                other => panic!("{name}: {other:?}"),
            };
            (name.to_string(), Array::new(view.shape(), data))
        });
        Golden { arrays: arrays.collect() }
    }

    /// A tensor by its name.
    pub fn get(&self, name: &str) -> &Array {
        self.arrays.get(name).unwrap_or_else(|| panic!("the golden file has no \"{name}\""))
    }

    /// Whether there is such a tensor.
    pub fn has(&self, name: &str) -> bool {
        self.arrays.contains_key(name)
    }

    /// The names, sorted.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.arrays.keys().map(String::as_str).collect();
        names.sort_unstable();
        names
    }
}

/// Little-endian values of `N` bytes.
fn each<const N: usize>(data: &[u8], value: impl Fn([u8; N]) -> f64) -> Vec<f64> {
    data.chunks_exact(N).map(|b| value(b.try_into().expect("chunks of N bytes"))).collect()
}

/// Row `i` of an array.
pub fn row(array: &Array, i: usize) -> Array {
    let shape = &array.shape[1..];
    let n: usize = shape.iter().product();
    Array::new(shape, array.data[i * n..(i + 1) * n].to_vec())
}

/// Asserts that two arrays agree: no element differs by more than `tolerance` times the greatest one expected. (Relative to
/// the tensor and not to each element, since elements near 0 are sums of larger terms that cancel.)
#[track_caller]
pub fn assert_close(what: &str, got: &Array, expected: &Array, tolerance: f64) {
    assert_eq!(got.shape, expected.shape, "{what}");
    let scale = expected.data.iter().fold(0f64, |m, x| m.max(x.abs()));
    for (i, (g, e)) in got.data.iter().zip(&expected.data).enumerate() {
        // Written so that NaN fails.
        let close = (g - e).abs() <= tolerance * scale;
        assert!(close, "{what}: element {i} of {:?} is {g}, PyTorch has {e}", got.shape);
    }
}
