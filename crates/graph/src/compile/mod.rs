//! The compiler: from expressions to a list of kernel launches with their memory.
//!
//! Passes, each in a file of its own: expand (what the adapter runs faster as ordinary operations), simplify, alike (updates
//! by one formula become one), fuse (which values are stored, which kernels there are), rows (folds and maps along the same
//! rows become one), place (where each value lives), lower.

mod alike;
mod checks;
mod domain;
mod dump;
mod epilogue;
mod expand;
pub(crate) mod expression;
mod fuse;
mod place;
mod rows;
mod simplify;

use crate::autodiff::topological;
use crate::op::Lower;
use crate::ops::checkpoint;
use crate::ops::leaf::Init;
use crate::updates::{Update, Updates};
use crate::{Error, Tensor};
pub(crate) use checks::IndexCheck;
pub use dump::Dump;
pub(crate) use dump::megabytes;
pub(crate) use place::arena_layout;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use wgrad_device::kernels::{Contraction, Map, Reduce, ReduceOp, Reduction, RowOutput};
use wgrad_device::{Adapter, Cost, DType, DeviceError, Expr, ExprId, Kernel};

/// How to compile.
#[derive(Clone, Debug)]
pub struct CompileOptions {
    /// Fuse operations into common kernels. Off, every operation is a kernel of its own: slow, and for comparison.
    pub fuse: bool,
    /// Overwrite memory with NaN whenever a value in it is no longer needed: a test of the memory plan.
    pub poison: bool,
    /// Compute marked parts again in the backward pass (see [`crate::checkpoint`]). Off, they are kept in memory.
    pub recompute: bool,
}

impl Default for CompileOptions {
    fn default() -> Self {
        CompileOptions { fuse: true, poison: false, recompute: true }
    }
}

/// Work on stored values, named by the ids of their tensors: what becomes one launch.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub label: String,
    pub inputs: Vec<u64>,
    pub outputs: Vec<u64>,
    /// Values that must be there before, though they are not read: what is computed again is not computed too early.
    pub after: Vec<u64>,
    pub work: Work,
}

#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant)] // there are few, and they are short-lived
pub(crate) enum Work {
    /// One node for each output.
    Map { domain: Vec<usize>, expr: Expr, nodes: Vec<ExprId> },
    /// One fold for each output; the first `kept` dimensions stay.
    Reduce { domain: Vec<usize>, kept: usize, expr: Expr, folds: Vec<(ReduceOp, ExprId)> },
    /// Folds over the last dimensions and what uses their results, in order; the first `kept` dimensions say which row.
    Rows { domain: Vec<usize>, kept: usize, expr: Expr, folds: Vec<(ReduceOp, ExprId)>, outputs: Vec<RowOutput> },
    /// Inputs are A, B and what the epilogue reads.
    Contraction { kernel: Contraction, shape: Vec<usize> },
    /// An operation's own kernel.
    Kernel(Arc<dyn Kernel>),
    /// Where each input goes in the output, in elements. Becomes placement, not a launch.
    Pack(Vec<usize>),
}

/// What the compiler knows of a stored value.
#[derive(Clone, Debug)]
pub(crate) struct Value {
    pub shape: Vec<usize>,
    pub dtype: DType,
    pub label: String,
}

impl Value {
    pub fn bytes(&self) -> usize {
        self.shape.iter().product::<usize>() * self.dtype.size()
    }
}

/// A buffer of a program, or of its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Base {
    /// An input, by number.
    Input(usize),
    /// A state tensor, by number.
    State(usize),
    /// Several state tensors that lie together, by number.
    Arena(usize),
    /// Temporary memory, by number.
    Slot(usize),
}

/// Part of a buffer, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub base: Base,
    pub offset: usize,
    pub bytes: usize,
}

/// One launch.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub kernel: Arc<dyn Kernel>,
    pub label: String,
    pub inputs: Vec<Place>,
    pub outputs: Vec<Place>,
    pub aliases: Vec<Option<usize>>,
    pub scratch: Option<Place>,
}

/// A leaf that is bound by name.
#[derive(Clone, Debug)]
pub(crate) struct Leaf {
    pub name: String,
    pub shape: Vec<usize>,
    pub dtype: DType,
    /// For state tensors.
    pub init: Option<Init>,
}

/// A compiled program, still without buffers.
#[derive(Debug)]
pub(crate) struct Plan {
    pub inputs: Vec<Leaf>,
    pub states: Vec<Leaf>,
    /// State tensors (by number) that lie together, in order.
    pub arenas: Vec<Vec<usize>>,
    pub steps: Vec<Step>,
    /// Size of each piece of temporary memory, with the label of the largest value that it holds.
    pub slots: Vec<(usize, String)>,
    pub outputs: Vec<(Place, Value)>,
    /// How many marked parts are computed again.
    pub recomputed: usize,
    /// Where an index from data is used. If there are any, the last output holds how many elements of each were too large.
    pub checks: Vec<IndexCheck>,
    /// The simplified graph, for dumps.
    pub graph: Vec<Tensor>,
    /// Names of the state tensors that are written.
    pub written: HashSet<String>,
}

impl Plan {
    /// Bytes of temporary memory.
    pub fn temporary_bytes(&self) -> usize {
        self.slots.iter().map(|s| s.0).sum()
    }

    /// The sum over all launches.
    pub fn total(&self, f: fn(&Cost) -> f64) -> f64 {
        self.steps.iter().map(|s| f(&s.kernel.cost())).sum()
    }
}

/// Compiles outputs and updates for an adapter.
pub(crate) fn compile(
    adapter: &Adapter,
    outputs: &[&Tensor],
    updates: &Updates,
    options: &CompileOptions,
) -> Result<Plan, Error> {
    let updates = &updates.list;
    let given: Vec<&Tensor> = outputs.iter().copied().chain(updates.iter().map(|u| &u.value)).collect();
    let (checks, faults) = checks::faults(&given);
    let outputs = [outputs, &faults.iter().collect::<Vec<_>>()].concat();
    let mut roots: Vec<Tensor> = outputs.iter().map(|&t| t.clone()).collect();
    roots.extend(updates.iter().map(|u| u.value.clone()));
    // Written state tensors are leaves of the program even if nothing reads them.
    let targets: Vec<Tensor> = updates.iter().flat_map(|u| u.states.clone()).collect();
    let mut given = [&roots[..], &targets[..]].concat();
    if options.fuse {
        given = expand::expand(&given, adapter);
    }
    let simple = simplify::simplify(&given, options.recompute);
    let (roots, targets) = simple.split_at(roots.len());
    let mut targets = targets.iter();
    let updates = updates.iter().zip(&roots[outputs.len()..]).map(|(u, value)| Update {
        states: u.states.iter().map(|_| targets.next().expect("one for each state").clone()).collect(),
        value: value.clone(),
        packed: u.packed,
    });
    let updates = match options.fuse {
        true => alike::join(updates.collect()),
        false => updates.collect(),
    };
    let values = updates.iter().map(|u| &u.value);
    let roots: Vec<Tensor> = roots[..outputs.len()].iter().chain(values).cloned().collect();
    let targets: Vec<Tensor> = updates.iter().flat_map(|u| u.states.clone()).collect();

    let order = topological(&[&roots[..], &targets[..]].concat());
    let (inputs, states) = leaves(&order)?;
    let (groups, stored) = fuse::groups(&order, &roots, options.fuse)?;
    if !adapter.f16
        && let Some(t) = order.values().find(|t| t.dtype() == DType::F16 && stored.ids.contains(&t.id()))
    {
        return Err(DeviceError::Unsupported {
            device: adapter.name.clone(),
            feature: "f16 in shaders".into(),
            what: format!("{} {:?} at {}; keep it in f32 on this device", t.op().name(), t.shape(), t.site()),
        }
        .into());
    }
    let wanted: HashSet<u64> = roots.iter().map(|t| stored.value(t)).collect();
    let groups = if options.fuse {
        let updates = roots[outputs.len()..].iter().map(|t| stored.value(t)).collect();
        let groups = fuse::merge(groups, &wanted, adapter.max_storage_buffers);
        rows::join(groups, &wanted, &updates, adapter)
    } else {
        groups
    };

    let values: HashMap<u64, Value> = order
        .iter()
        .map(|(&id, t)| {
            let label = match t.name() {
                Some(name) => name.to_string(),
                None => format!("{} {:?} at {}:{}", t.op().name(), t.shape(), t.site().file(), t.site().line()),
            };
            (id, Value { shape: t.shape().to_vec(), dtype: t.dtype(), label })
        })
        .collect();
    // State tensors that are written as a pack lie together. Each is written once, so no two packs overlap.
    let numbers: HashMap<&str, usize> = states.iter().enumerate().map(|(i, s)| (s.name.as_str(), i)).collect();
    let number = |t: &Tensor| numbers[t.name().expect("states have names")];
    let arenas: Vec<Vec<usize>> =
        updates.iter().filter(|u| u.packed).map(|u| u.states.iter().map(number).collect()).collect();

    let writes = updates
        .iter()
        .map(|u| place::Write { states: u.states.iter().map(Tensor::id).collect(), value: stored.value(&u.value) })
        .collect();
    let mut placer = place::Placer::new(values, &order, &inputs, &states, &arenas);
    let wanted: Vec<(u64, Value)> = roots[..outputs.len()]
        .iter()
        .map(|t| {
            let shape = Value { shape: t.shape().to_vec(), dtype: t.dtype(), label: t.op().name().into() };
            (stored.value(t), shape)
        })
        .collect();
    let placed = placer.place(adapter, groups, writes, &wanted, options.poison)?;
    Ok(Plan {
        written: updates.iter().flat_map(|u| &u.states).filter_map(|s| s.name().map(String::from)).collect(),
        inputs,
        states,
        arenas,
        steps: placed.steps,
        slots: placed.slots,
        outputs: placed.outputs,
        checks,
        recomputed: checkpoint::parts(order.values()),
        graph: order.into_values().collect(),
    })
}

/// Where each state tensor lies: in a buffer of its own, or in an arena.
pub(crate) fn place_of_states(states: &[Leaf], arenas: &[Vec<usize>]) -> Vec<Place> {
    let bytes = |l: &Leaf| l.shape.iter().product::<usize>() * l.dtype.size();
    let mut places: Vec<Place> =
        states.iter().enumerate().map(|(i, l)| Place { base: Base::State(i), offset: 0, bytes: bytes(l) }).collect();
    for (a, members) in arenas.iter().enumerate() {
        let (starts, _) = arena_layout(members, states);
        for (&m, start) in members.iter().zip(starts) {
            places[m] = Place { base: Base::Arena(a), offset: start * 4, bytes: places[m].bytes };
        }
    }
    places
}

/// The leaves by kind, in the order in which they were declared. Leaves of one name must agree.
fn leaves(order: &BTreeMap<u64, Tensor>) -> Result<(Vec<Leaf>, Vec<Leaf>), Error> {
    let (mut inputs, mut states): (Vec<Leaf>, Vec<Leaf>) = (vec![], vec![]);
    let (mut input_names, mut state_names): (HashMap<&str, usize>, HashMap<&str, usize>) = Default::default();
    for t in order.values() {
        let (list, names, leaf) = match t.op().lower() {
            Lower::Input(i) => (
                &mut inputs,
                &mut input_names,
                Leaf { name: i.name.clone(), shape: i.shape.clone(), dtype: i.dtype, init: None },
            ),
            Lower::State(s) => (
                &mut states,
                &mut state_names,
                Leaf { name: s.name.clone(), shape: s.shape.clone(), dtype: s.dtype, init: Some(s.init.clone()) },
            ),
            _ => continue,
        };
        match names.entry(t.name().expect("leaves have names")) {
            Entry::Vacant(place) => {
                place.insert(list.len());
                list.push(leaf);
            }
            Entry::Occupied(place) => {
                let l = &list[*place.get()];
                return Err(Error::Compile(format!(
                    "\"{}\" is declared as {} {:?} and as {} {:?}",
                    l.name, l.dtype, l.shape, leaf.dtype, leaf.shape
                )));
            }
        }
    }
    Ok((inputs, states))
}

/// The kernel that does a group's work.
fn lower(group: &Group, values: &HashMap<u64, Value>) -> Arc<dyn Kernel> {
    let dtypes: Vec<DType> = group.inputs.iter().map(|v| values[v].dtype).collect();
    match &group.work {
        Work::Map { domain, expr, nodes } => {
            Arc::new(Map { domain: domain.clone(), expr: expr.clone(), inputs: dtypes, outputs: nodes.clone() })
        }
        Work::Reduce { domain, kept, expr, folds } => Arc::new(Reduce {
            keep: domain[..*kept].to_vec(),
            reduce: domain[*kept..].to_vec(),
            expr: expr.clone(),
            inputs: dtypes,
            outputs: folds.iter().map(|&(op, node)| Reduction { op, node }).collect(),
        }),
        Work::Rows { domain, kept, expr, folds, outputs } => {
            Arc::new(rows::kernel(domain, *kept, expr, dtypes, folds, outputs))
        }
        Work::Contraction { kernel, .. } => {
            let mut kernel = kernel.clone();
            if let Some(e) = &mut kernel.epilogue {
                e.inputs = dtypes[2..].to_vec();
            }
            Arc::new(kernel.simplified())
        }
        Work::Kernel(kernel) => kernel.clone(),
        Work::Pack(_) => unreachable!("packs are placed, not launched"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_adapter_without_f16_refuses_it() {
        let adapter = Adapter { name: "old GPU".into(), f16: false, ..wgrad_device::Device::cpu().adapter().clone() };
        let x = Tensor::input("x", [2, 3], DType::F16);
        let compiled = |t: &Tensor| compile(&adapter, &[t], &Updates::new(), &CompileOptions::default());
        let e = compiled(&x.exp()).unwrap_err().to_string();
        assert!(e.starts_with("old GPU has no f16 in shaders, which input [2, 3] at ") && e.contains("f32"), "{e}");
        // Rounding without storing needs nothing of the adapter.
        assert!(compiled(&Tensor::input("x", [2], DType::F32).cast(DType::F16).cast(DType::F32)).is_ok());
    }
}
