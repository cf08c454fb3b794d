//! All cases of a golden file in one program: for small operations, of which there are many.

use super::{Backend, Golden, Leaves, Session};
use std::collections::{BTreeMap, HashMap};
use wgrad_graph::{Array, DType, Tensor, Updates, gradients};

/// A golden file whose cases are built one by one, and then computed together on every backend.
pub struct Family {
    /// By case, then by what stands after the case's name.
    cases: BTreeMap<String, Leaves>,
    /// Equal arrays are one leaf, so that operations on the same numbers share kernels.
    leaves: HashMap<String, Tensor>,
    bound: Leaves,
    /// What is to be compared: the case, the part, and the expression.
    outputs: Vec<(String, String, Tensor)>,
}

impl Family {
    /// The cases of tests/golden/`file`.safetensors.
    pub fn load(file: &str) -> Family {
        let file = Golden::load(format!("{}/tests/golden/{file}.safetensors", env!("CARGO_MANIFEST_DIR")));
        let mut cases: BTreeMap<String, Leaves> = BTreeMap::new();
        for full in file.names() {
            let (case, part) = match full.split_once(".grad.") {
                Some((case, input)) => (case, format!("grad.{input}")),
                None => full.rsplit_once('.').map(|(case, part)| (case, part.to_string())).expect("case.part"),
            };
            cases.entry(case.into()).or_default().insert(part, file.get(full).clone());
        }
        Family { cases, leaves: HashMap::new(), bound: HashMap::new(), outputs: vec![] }
    }

    /// An f32 leaf that holds these numbers.
    fn leaf(&mut self, array: &Array) -> Tensor {
        let bits: Vec<u64> = array.data.iter().map(|x| x.to_bits()).collect();
        let count = self.leaves.len();
        let bound = &mut self.bound;
        let new = || {
            let name = format!("leaf{count}");
            bound.insert(name.clone(), array.clone());
            Tensor::input(name, array.shape.clone(), DType::F32)
        };
        self.leaves.entry(format!("{:?} {bits:?}", array.shape)).or_insert_with(new).clone()
    }

    /// Case `name`: `build` asks for its inputs by their names (all are f32).
    pub fn case(&mut self, name: &str, build: impl Fn(&dyn Fn(&str) -> Tensor) -> Tensor) {
        let arrays = self.cases.get(name).unwrap_or_else(|| panic!("the golden file has no case {name}")).clone();
        let inputs: HashMap<&str, Tensor> = arrays
            .iter()
            .filter(|(part, _)| *part != "y" && !part.starts_with("grad."))
            .map(|(part, array)| (part.as_str(), self.leaf(array)))
            .collect();
        let y = build(&|input| inputs[input].clone());
        let wrt: Vec<&str> = arrays.keys().filter_map(|k| k.strip_prefix("grad.")).collect();
        let of: Vec<&Tensor> = wrt.iter().map(|i| &inputs[i]).collect();
        let grads = if of.is_empty() { vec![] } else { gradients(&(&y * &inputs["r"]).sum_all(), &of) };
        self.outputs.push((name.into(), "y".into(), y));
        for (input, grad) in wrt.iter().zip(grads) {
            self.outputs.push((name.into(), format!("grad.{input}"), grad));
        }
    }

    /// Every case `name.something`, as a function of its input `x`.
    pub fn unary(&mut self, name: &str, f: impl Fn(&Tensor) -> Tensor) {
        self.each(name, |t| f(&t("x")));
    }

    /// Every case `name.something`, as a function of its inputs `a` and `b`.
    pub fn binary(&mut self, name: &str, f: impl Fn(&Tensor, &Tensor) -> Tensor) {
        self.each(name, |t| f(&t("a"), &t("b")));
    }

    /// Every case `name.something`.
    pub fn each(&mut self, name: &str, build: impl Fn(&dyn Fn(&str) -> Tensor) -> Tensor) {
        let prefix = format!("{name}.");
        let cases: Vec<String> = self.cases.keys().filter(|c| c.starts_with(&prefix)).cloned().collect();
        assert!(!cases.is_empty(), "the golden file has no case of {name}");
        cases.iter().for_each(|case| self.case(case, &build));
    }

    /// Case `name.0` and on: a function of `x` under each of these options.
    pub fn options<T>(&mut self, name: &str, options: &[T], f: impl Fn(&Tensor, &T) -> Tensor) {
        for (i, option) in options.iter().enumerate() {
            self.case(&format!("{name}.{i}"), |t| f(&t("x"), option));
        }
    }

    /// Compares every value and gradient on every backend: an element may be off by `tolerance` times its size and
    /// `floor`, or, if `floor` is infinite, the size of the greatest element (for sums whose terms cancel). What overflows
    /// f32 has to overflow.
    pub fn check(&self, tolerance: f64, floor: f64) {
        for name in self.cases.keys() {
            assert!(self.outputs.iter().any(|(case, ..)| case == name), "case {name} was not built");
        }
        let outputs: Vec<&Tensor> = self.outputs.iter().map(|(.., t)| t).collect();
        let mut wrong = vec![];
        for &backend in Backend::all() {
            let tolerance = if let Backend::Reference = backend { 1e-6 } else { tolerance };
            let values = Session::new(backend, &outputs, &Updates::new(), &self.bound).run(&self.bound);
            for ((case, part, _), got) in self.outputs.iter().zip(&values) {
                let expected = &self.cases[case][part];
                if let Err(e) = compare(got, expected, tolerance, floor) {
                    wrong.push(format!("{case} on {backend}: {part}: {e}"));
                }
            }
        }
        assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
    }
}

fn compare(got: &Array, expected: &Array, tolerance: f64, floor: f64) -> Result<(), String> {
    if got.shape != expected.shape {
        return Err(format!("{:?}, PyTorch has {:?}", got.shape, expected.shape));
    }
    let greatest = expected.data.iter().fold(0f64, |m, x| m.max(x.abs()));
    for (i, (&g, &e)) in got.data.iter().zip(&expected.data).enumerate() {
        let size = if floor.is_infinite() { greatest } else { e.abs() + floor };
        // Written so that NaN fails.
        let close = (g - e).abs() <= tolerance * size || (e.is_infinite() && (g == e || g.abs() > f32::MAX as f64));
        if !close {
            return Err(format!("element {i} of {:?} is {g}, PyTorch has {e}", got.shape));
        }
    }
    Ok(())
}
