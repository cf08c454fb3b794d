//! The operation contract, as checks that anyone can run on an operation, their own too: gradient rules against finite
//! differences, and compiled programs against the f64 reference.
//!
//! ```
//! use wgrad_graph::{CompileOptions, Device, OpCase, contract};
//! let case = OpCase::new("softsign", "softsign of a matrix", &[&[3, 5]], |x| &x[0] / &(x[0].abs() + 1.0));
//! contract::check_gradients(&case, 1).unwrap();
//! contract::check_gradients(&case, 2).unwrap();
//! contract::check_program(&Device::cpu(), &case, &CompileOptions::default()).unwrap();
//! ```

use crate::reference::{Evaluator, evaluate};
use crate::{Array, CompileOptions, DType, Data, Device, Program, State, Tensor, Updates, gradients};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

/// Builds an expression from its arguments.
pub type Build = dyn Fn(&[Tensor]) -> Tensor + Send + Sync;

/// A small expression that tests run an operation through: against the f64 reference, against finite differences, on
/// every backend, optimised and not.
#[derive(Clone)]
pub struct OpCase {
    /// The operation under test.
    pub op: &'static str,
    /// What is special about this case.
    pub name: String,
    /// Shapes of the f32 arguments.
    pub inputs: Vec<Vec<usize>>,
    /// Arguments are drawn uniformly from here.
    pub domain: (f64, f64),
    /// Builds the expression.
    pub build: Arc<Build>,
    /// Allowed difference from the reference, relative to 1 + |reference|.
    pub tolerance: f64,
    /// Whether the gradient is the limit of difference quotients.
    pub differences: bool,
}

impl OpCase {
    /// A case of operation `op` with f32 arguments of these shapes, drawn from [-1, 1).
    pub fn new(
        op: &'static str,
        name: impl Into<String>,
        inputs: &[&[usize]],
        build: impl Fn(&[Tensor]) -> Tensor + Send + Sync + 'static,
    ) -> OpCase {
        OpCase {
            op,
            name: name.into(),
            inputs: inputs.iter().map(|s| s.to_vec()).collect(),
            domain: (-1.0, 1.0),
            build: Arc::new(build),
            tolerance: 1e-5,
            differences: true,
        }
    }

    /// Draws the arguments from [lo, hi).
    pub fn domain(mut self, lo: f64, hi: f64) -> OpCase {
        self.domain = (lo, hi);
        self
    }

    /// Allows this difference from the reference, relative to 1 + |reference|.
    pub fn tolerance(mut self, tolerance: f64) -> OpCase {
        self.tolerance = tolerance;
        self
    }

    /// For gradients that are defined otherwise than by differences (rounding, stopped gradients).
    pub fn no_difference(mut self) -> OpCase {
        self.differences = false;
        self
    }
}

impl fmt::Debug for OpCase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.op, self.name)
    }
}

/// Numbers in [0, 1) that look random: splitmix64 from a seed.
pub struct Numbers(pub u64);

impl Numbers {
    #[allow(clippy::should_implement_trait, missing_docs)] // it never ends
    pub fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E3779B97F4A7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58476D1CE4E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D049BB133111EB);
        (z ^ (z >> 31)) as f64 / 2f64.powi(64)
    }
}

/// The leaves that some tensors need, by name: in a fixed order, so that a failure can be repeated.
pub fn leaves_of(outputs: &[Tensor]) -> BTreeMap<String, Tensor> {
    let (mut found, mut seen, mut stack) = (BTreeMap::new(), HashSet::new(), outputs.to_vec());
    while let Some(t) = stack.pop() {
        if seen.insert(t.id()) {
            if let Some(name) = t.name() {
                found.insert(name.to_string(), t.clone());
            }
            stack.extend(t.inputs().iter().cloned());
        }
    }
    found
}

/// How much a case's inputs are scaled before the operation sees them: not 1, so that the gradient of what comes before
/// matters.
const SCALE: f64 = 0.75;

/// A case used in the middle of a graph.
struct MidGraph {
    inputs: Vec<Tensor>,
    value: Tensor,
    loss: Tensor,
}

/// Scaled inputs go in, and a weighted sine comes after: a rule that ignores the incoming gradient fails.
fn mid_graph(case: &OpCase) -> MidGraph {
    let inputs: Vec<Tensor> =
        case.inputs.iter().enumerate().map(|(i, s)| Tensor::input(format!("x{i}"), s.clone(), DType::F32)).collect();
    let scaled: Vec<Tensor> = inputs.iter().map(|x| x.mul_scalar(SCALE)).collect();
    let value = (case.build)(&scaled);
    let weights = Tensor::input("weights", value.shape(), DType::F32);
    let loss = ((&value * 0.5).sin() * weights).sum_all();
    MidGraph { inputs, value, loss }
}

/// The operations that the case and its gradients build, by [`crate::op::Op::name`]: what it covers.
pub fn operations_of(case: &OpCase) -> HashSet<&'static str> {
    let MidGraph { inputs, loss, .. } = mid_graph(case);
    let mut stack = gradients(&loss, &inputs.iter().collect::<Vec<_>>());
    stack.push(loss);
    let (mut seen, mut names) = (HashSet::new(), HashSet::new());
    while let Some(t) = stack.pop() {
        if seen.insert(t.id()) {
            names.insert(t.op().name());
            stack.extend(t.inputs().iter().cloned());
        }
    }
    names
}

/// Values for the leaves of `outputs`. State leaves get 0.25, the case's inputs values from its domain.
fn values(case: &OpCase, outputs: &[Tensor], seed: u64) -> HashMap<String, Array> {
    let mut numbers = Numbers(seed);
    let mut draw = |name: &str, t: &Tensor| {
        if t.op().name() == "state" {
            return Array::from_fn(t.shape(), |_| 0.25);
        }
        let (lo, hi) = if name.starts_with('x') { case.domain } else { (0.2, 1.0) };
        // Undo the scaling of mid_graph, so that the operation sees its domain. In f32, as a program is given them.
        let data = (0..t.count()).map(|_| ((lo + (hi - lo) * numbers.next()) / SCALE) as f32 as f64).collect();
        Array::new(t.shape(), data)
    };
    leaves_of(outputs)
        .into_iter()
        .map(|(name, t)| {
            let a = draw(&name, &t);
            (name, a)
        })
        .collect()
}

/// Compares the gradients' rules with fourth-order central differences in f64, the case placed mid-graph: the first
/// gradients (`order` 1), or the gradients of a scalar of the gradients (`order` 2), and so on.
///
/// # Errors
/// Names the first element that differs. Cases without differences ([`OpCase::no_difference`]) are refused.
pub fn check_gradients(case: &OpCase, order: usize) -> Result<(), String> {
    if !case.differences {
        return Err("the case says that its gradient is not the limit of differences".into());
    }
    let MidGraph { inputs, loss, .. } = mid_graph(case);
    let refs: Vec<&Tensor> = inputs.iter().collect();
    let mut f = loss;
    for n in 1..order {
        // Sines keep the terms from cancelling.
        let terms = gradients(&f, &refs).into_iter().enumerate();
        f = terms
            .map(|(i, g)| ((g * (0.3 + 0.1 * i as f32)).sin() * n as f32).sum_all())
            .fold(Tensor::scalar(0.0f32), |a, b| a + b);
    }
    let grads = gradients(&f, &refs);
    let leaves = values(case, std::slice::from_ref(&f), 7 + order as u64);
    compare(&f, &inputs, &grads, &leaves)
}

/// Compares `grads`, the gradients of `f` with respect to `inputs`, with central differences at a sample of positions.
///
/// # Errors
/// Names the first element that differs.
pub fn compare(f: &Tensor, inputs: &[Tensor], grads: &[Tensor], leaves: &HashMap<String, Array>) -> Result<(), String> {
    let refs: Vec<&Tensor> = grads.iter().collect();
    let exact = evaluate(&refs, leaves);
    for (input, exact) in inputs.iter().zip(&exact) {
        let name = input.name().ok_or("only inputs can be varied")?.to_string();
        if !leaves.contains_key(&name) {
            // f does not depend on it; then neither may the rule.
            if exact.data.iter().any(|&g| g != 0.0) {
                return Err(format!("d/d{name} is not 0, but the value does not depend on it"));
            }
            continue;
        }
        let n = input.count();
        let mut evaluator = Evaluator::new(&[f], leaves);
        let dependents = evaluator.dependents(&name);
        for i in (0..n).step_by((n / 12).max(1)) {
            let (x, h) = (leaves[&name].data[i], 1e-5);
            let mut at = |steps: f64| evaluator.vary(&dependents, i, x + steps * h, f);
            let numeric = (8.0 * (at(1.0) - at(-1.0)) - (at(2.0) - at(-2.0))) / (12.0 * h);
            let diff = (numeric - exact.data[i]).abs();
            if diff > 2e-6 * (1.0 + numeric.abs()) || diff.is_nan() {
                return Err(format!("d/d{name}[{i}]: rule {}, differences {numeric}", exact.data[i]));
            }
        }
    }
    Ok(())
}

/// Compiles value, loss and gradients of the case, placed mid-graph, for `device`, runs them twice, and compares all with
/// the f64 reference.
///
/// # Errors
/// Names the first output and element that differs by more than the case's tolerance, scaled by the output's largest
/// element and the root of the number of inputs; or what failed.
pub fn check_program(device: &Device, case: &OpCase, options: &CompileOptions) -> Result<(), String> {
    let MidGraph { inputs, value, loss } = mid_graph(case);
    let mut outputs = vec![value, loss.clone()];
    outputs.extend(gradients(&loss, &inputs.iter().collect::<Vec<_>>()));
    let exact = values(case, &outputs, case.name.len() as u64 + 11);
    let refs: Vec<&Tensor> = outputs.iter().collect();
    let expected = evaluate(&refs, &exact);
    let program = Program::compile_with(device, &refs, &Updates::new(), options).map_err(|e| e.to_string())?;
    let mut state = State::init(device, &program, 1).map_err(|e| e.to_string())?;
    let given: Vec<(String, Vec<f32>)> = (program.input_shapes())
        .map(|(name, ..)| (name.to_string(), exact[name].data.iter().map(|&x| x as f32).collect()))
        .collect();
    let given: Vec<(&str, Data)> = given.iter().map(|(n, d)| (n.as_str(), Data::from(d))).collect();
    let grows = (case.inputs.iter().flatten().product::<usize>() as f64).sqrt().clamp(1.0, 30.0);
    // Twice: a second run must not see what the first one left.
    for _ in 0..2 {
        let mut got = program.run(&mut state, &given).map_err(|e| e.to_string())?;
        for (i, expected) in expected.iter().enumerate() {
            let got = got.f32(i).map_err(|e| e.to_string())?;
            if got.len() != expected.data.len() {
                return Err(format!("output {i} has {} elements, not {}", got.len(), expected.data.len()));
            }
            // Rounding errors scale with the largest terms.
            let scale = 1.0 + expected.data.iter().fold(0f64, |m, x| m.max(x.abs()));
            for (j, (&g, &e)) in got.iter().zip(&expected.data).enumerate() {
                let off = (g as f64 - e).abs();
                if off > case.tolerance * scale * grows || off.is_nan() {
                    return Err(format!("output {i}[{j}]: {g}, not {e}"));
                }
            }
        }
    }
    Ok(())
}
