//! The operation contract, as checks that anyone can run on an operation, their own too: gradient rules against finite
//! differences, and compiled programs, in f32 and in f16, against the f64 reference.
//!
//! ```
//! use wgrad_graph::{CompileOptions, Device, OpCase, contract};
//! let case = OpCase::new("softsign", "softsign of a matrix", &[&[3, 5]], |x| &x[0] / &(x[0].abs() + 1.0));
//! contract::check_gradients(&case, 1).unwrap();
//! contract::check_gradients(&case, 2).unwrap();
//! contract::check_program(&Device::cpu(), &case, &CompileOptions::default()).unwrap();
//! contract::check_half(&Device::cpu(), &case).unwrap();
//! ```

use crate::autodiff::topological;
use crate::reference::{Evaluator, evaluate};
use crate::{Array, CompileOptions, DType, Data, Device, Program, State, Tensor, Updates, checked, gradients};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::panic::Location;
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
    /// What is known of the gradient beyond that.
    pub gradient: Gradient,
    /// What is asked of it in f16.
    pub half: Half,
    /// Where the case was made: the file names the family of operations.
    pub site: &'static Location<'static>,
}

/// Why differences do not tell the gradient of an operation, where they do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gradient {
    /// Nothing to say.
    Usual,
    /// It is defined otherwise, for this reason.
    ByRule(&'static str),
    /// There is none, for this reason.
    None(&'static str),
}

/// What is asked of a case in f16.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Half {
    /// To be as near to the f64 reference as this, relative to 1 + the greatest |reference|.
    Within(f64),
    /// Nothing: f16 is refused, or makes no sense, for this reason.
    Not(&'static str),
}

/// What f16 results of an operation may be off by: some roundings of 2^-11 each.
const HALF_TOLERANCE: f64 = 4e-3;

impl OpCase {
    /// A case of operation `op` with f32 arguments of these shapes, drawn from [-1, 1).
    #[track_caller]
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
            gradient: Gradient::Usual,
            half: Half::Within(HALF_TOLERANCE),
            site: Location::caller(),
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

    /// As [`OpCase::no_difference`], for operations of which no case can be told by differences: says why.
    pub fn by_rule(mut self, reason: &'static str) -> OpCase {
        self.gradient = Gradient::ByRule(reason);
        self.no_difference()
    }

    /// For operations without a gradient (integer results, say), with the reason: differences, if they are checked, then
    /// tell of what is around them.
    pub fn no_gradient(mut self, reason: &'static str) -> OpCase {
        self.gradient = Gradient::None(reason);
        self
    }

    /// Allows f16 results this difference from the reference, relative to 1 + the greatest |reference|.
    pub fn half_tolerance(mut self, tolerance: f64) -> OpCase {
        self.half = Half::Within(tolerance);
        self
    }

    /// For what is not to be tried in f16, for this reason.
    pub fn f32_only(mut self, reason: &'static str) -> OpCase {
        self.half = Half::Not(reason);
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
    topological(outputs).into_values().filter_map(|t| Some((t.name()?.to_string(), t.clone()))).collect()
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

fn mid_graph(case: &OpCase) -> MidGraph {
    mid_graph_of(case, DType::F32, SCALE, 1.0)
}

/// Scaled inputs go in, and a weighted sine comes after: a rule that ignores the incoming gradient fails. The sine is of
/// the value relative to `large`.
fn mid_graph_of(case: &OpCase, dtype: DType, scale: f64, large: f64) -> MidGraph {
    let inputs: Vec<Tensor> =
        case.inputs.iter().enumerate().map(|(i, s)| Tensor::input(format!("x{i}"), s.clone(), dtype)).collect();
    let scaled: Vec<Tensor> = inputs.iter().map(|x| x.mul_scalar(scale)).collect();
    let value = (case.build)(&scaled);
    let weights = Tensor::input("weights", value.shape(), DType::F32);
    let loss = (value.in_f32().mul_scalar(0.5 / large).sin() * weights).mul_scalar(large).sum_all();
    MidGraph { inputs, value, loss }
}

/// The operations that the case and its gradients build, by [`crate::op::Op::name`]: what it covers.
pub fn operations_of(case: &OpCase) -> HashSet<&'static str> {
    let MidGraph { inputs, loss, .. } = mid_graph(case);
    let grads = gradients(&loss, &inputs.iter().collect::<Vec<_>>());
    topological(grads.iter().chain([&loss])).values().map(|t| t.op().name()).collect()
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
    let outputs = outputs_of(mid_graph(case));
    let exact = values(case, &outputs, case.name.len() as u64 + 11);
    let grows = (case.inputs.iter().flatten().product::<usize>() as f64).sqrt().clamp(1.0, 30.0);
    run_and_compare(device, &outputs, &exact, options, case.tolerance * grows)
}

/// As [`check_program`], with f16 inputs: the reference is computed in f64 from the same inputs, so that it shows what is
/// lost by storing f16, and by summing in it, if anything is.
///
/// # Errors
/// Names the first output and element that differs by more than [`OpCase::half`] allows, or what failed. Cases that are
/// for f32 only are refused.
pub fn check_half(device: &Device, case: &OpCase) -> Result<(), String> {
    let tolerance = match case.half {
        Half::Within(tolerance) => tolerance,
        Half::Not(reason) => return Err(format!("the case is for f32 only: {reason}")),
    };
    // A scale that rounds nothing, so that both sides see the same arguments.
    let scale = 0.5;
    let graph = checked(|| mid_graph_of(case, DType::F16, scale, 1.0)).map_err(|e| e.to_string())?;
    let mut leaves = values(case, std::slice::from_ref(&graph.loss), case.name.len() as u64 + 13);
    for x in &graph.inputs {
        let name = x.name().expect("inputs have one");
        // What the value does not depend on, the gradient does not either.
        if let Some(array) = leaves.get_mut(name) {
            // The operation sees 8 bits, so that small multiples and sums of arguments are exact as well, and rounding
            // moves nothing across a step of a floor or a comparison.
            let short = |x: f64| f32::from_bits(((x * SCALE) as f32).to_bits() & 0xffff_0000);
            *array = array.map(|x| half::f16::from_f32(short(x)).to_f64() / scale);
        }
    }
    // The sine of a large value would tell of its last digits only.
    let value = evaluate(&[&graph.value], &leaves).remove(0);
    let large = value.data.iter().fold(1f64, |m, x| m.max(x.abs()));
    let outputs = checked(|| outputs_of(mid_graph_of(case, DType::F16, scale, large))).map_err(|e| e.to_string())?;
    let options = CompileOptions { poison: true, ..CompileOptions::default() };
    run_and_compare(device, &outputs, &leaves, &options, tolerance)
}

/// The value, the loss, and the gradients with respect to the inputs.
fn outputs_of(MidGraph { inputs, value, loss }: MidGraph) -> Vec<Tensor> {
    let grads = gradients(&loss, &inputs.iter().collect::<Vec<_>>());
    [value, loss].into_iter().chain(grads).collect()
}

/// Runs a program of `outputs` twice and compares with the reference, relative to 1 + the greatest |reference|.
fn run_and_compare(
    device: &Device,
    outputs: &[Tensor],
    leaves: &HashMap<String, Array>,
    options: &CompileOptions,
    tolerance: f64,
) -> Result<(), String> {
    let refs: Vec<&Tensor> = outputs.iter().collect();
    let expected = evaluate(&refs, leaves);
    let program = Program::compile_with(device, &refs, &Updates::new(), options).map_err(|e| e.to_string())?;
    let mut state = State::init(device, &program, 1).map_err(|e| e.to_string())?;
    let given: Vec<(String, Given)> =
        (program.input_shapes()).map(|(name, _, dtype)| (name.to_string(), Given::new(&leaves[name], dtype))).collect();
    let given: Vec<(&str, Data)> = given.iter().map(|(n, d)| (n.as_str(), d.data())).collect();
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
                if off > tolerance * scale || off.is_nan() {
                    return Err(format!("output {i}[{j}]: {g}, not {e}"));
                }
            }
        }
    }
    Ok(())
}

/// The elements of an input, in its type.
enum Given {
    Single(Vec<f32>),
    Half(Vec<half::f16>),
}

impl Given {
    fn new(values: &Array, dtype: DType) -> Given {
        if dtype == DType::F16 {
            Given::Half(values.data.iter().map(|&x| half::f16::from_f64(x)).collect())
        } else {
            Given::Single(values.data.iter().map(|&x| x as f32).collect())
        }
    }

    fn data(&self) -> Data<'_> {
        match self {
            Given::Single(x) => x.into(),
            Given::Half(x) => x.into(),
        }
    }
}
