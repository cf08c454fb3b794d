//! Small updates by one formula, as one update of a pack: the running statistics of all batch norms, an optimiser's scalars.
//!
//! Each would be a launch of its own. Where several states of f32 get new values by the same elementwise formula of their old
//! value, of constants and of what reductions or products have made, the formula is said once, of packs: the makers write
//! into a pack, and the states lie in one, so that one map does them all. The same operations on the same numbers: not a bit
//! changes.

use crate::Tensor;
use crate::op::Lower;
use crate::ops::pack::offsets;
use crate::updates::Update;
use std::collections::HashMap;
use std::fmt::Write;
use wgrad_device::DType;

/// Nodes of a formula, and pieces of a pack that have a constant in common; beyond these it is not worth its length.
const MAX_NODES: usize = 48;
const MAX_PIECES: usize = 24;

/// Joins updates that are alike; `updates` are simplified.
pub(super) fn join(updates: Vec<Update>) -> Vec<Update> {
    let mut alike: HashMap<String, Vec<usize>> = HashMap::new();
    for (i, u) in updates.iter().enumerate() {
        if let Some(formula) = formula(u) {
            alike.entry(formula).or_default().push(i);
        }
    }
    let mut updates: Vec<Option<Update>> = updates.into_iter().map(Some).collect();
    let mut groups: Vec<Vec<usize>> = alike.into_values().filter(|g| g.len() > 1).collect();
    groups.sort_unstable();
    for mut group in groups {
        // Networks one after the other, since another program may update one of them only, and its pack must be a part of this
        // one. Then what has one name in different layers, which mostly has one constant too. (Not by the constants
        // themselves: those depend on the batch, and programs of different batches share a state.)
        let names = |i: &usize| {
            let name = updates[*i].as_ref().and_then(|u| u.states[0].name()).unwrap_or_default();
            let end = |part: Option<&str>| part.unwrap_or_default().to_string();
            (end(name.split('.').next()), end(name.rsplit('.').next()))
        };
        group.sort_by_cached_key(names);
        let members: Vec<&Update> = group.iter().filter_map(|&i| updates[i].as_ref()).collect();
        if let Some(joined) = pack(&members) {
            group.iter().for_each(|&i| updates[i] = None);
            updates.push(Some(joined));
        }
    }
    updates.into_iter().flatten().collect()
}

/// A node without the views that only change its shape.
fn shapeless(t: &Tensor) -> &Tensor {
    match t.op().lower() {
        Lower::View(v) if v.is_reshape() => shapeless(&t.inputs()[0]),
        _ => t,
    }
}

/// What an update computes, up to constants and to which values it loads; `None` if it cannot be said of packs.
fn formula(u: &Update) -> Option<String> {
    let state = &u.states[0];
    if u.packed || state.dtype() != DType::F32 {
        return None;
    }
    let (mut text, mut nodes) = (String::new(), 0);
    let value = shapeless(&u.value);
    let is_map = matches!(value.op().lower(), Lower::Unary(_) | Lower::Binary(_) | Lower::Select);
    (is_map && say(value, state, &mut text, &mut nodes)).then_some(text)
}

fn say(t: &Tensor, state: &Tensor, text: &mut String, nodes: &mut usize) -> bool {
    let t = shapeless(t);
    *nodes += 1;
    if *nodes > MAX_NODES || t.dtype() != DType::F32 && t.dtype() != DType::Bool {
        return false;
    }
    let whole = t.count() == state.count();
    match t.op().lower() {
        Lower::Constant(_) => text.push('c'),
        _ if t.id() == state.id() => text.push('s'),
        Lower::Reduce(..) | Lower::Contraction(_) if whole => text.push('v'),
        Lower::Unary(_) | Lower::Binary(_) | Lower::Select if whole => {
            // Writing to a string cannot fail.
            let _ = write!(text, "{:?}(", t.op());
            let said = t.inputs().iter().all(|i| say(i, state, text, nodes));
            text.push(')');
            return said;
        }
        _ => return false,
    }
    true
}

/// One update for all `members`, whose formulas are the same.
fn pack(members: &[&Update]) -> Option<Update> {
    let states: Vec<Tensor> = members.iter().map(|u| u.states[0].clone()).collect();
    let (starts, total) = offsets(states.iter().map(Tensor::count), DType::F32);
    let mut maker = Maker { starts, total, position: Tensor::iota([total], 0), made: HashMap::new() };
    let value = maker.make(&members.iter().map(|u| &u.value).collect::<Vec<_>>())?;
    Some(Update { states, value, packed: true })
}

struct Maker {
    /// Where each member begins, and the length of the pack.
    starts: Vec<usize>,
    total: usize,
    position: Tensor,
    /// What was made of nodes, by the ids of all members'.
    made: HashMap<Vec<u64>, Tensor>,
}

impl Maker {
    fn make(&mut self, parts: &[&Tensor]) -> Option<Tensor> {
        let parts: Vec<&Tensor> = parts.iter().map(|t| shapeless(t)).collect();
        let key: Vec<u64> = parts.iter().map(|t| t.id()).collect();
        if let Some(t) = self.made.get(&key) {
            return Some(t.clone());
        }
        let first = parts[0];
        let new = match first.op().lower() {
            Lower::Constant(_) => self.constants(&parts)?,
            Lower::State(_) | Lower::Reduce(..) | Lower::Contraction(_) => Tensor::pack(&parts),
            _ => {
                let argument = |i: usize| parts.iter().map(|t| &t.inputs()[i]).collect::<Vec<_>>();
                let inputs: Option<Vec<Tensor>> = (0..first.inputs().len()).map(|i| self.make(&argument(i))).collect();
                first.with_shape(&[self.total], inputs?)
            }
        };
        self.made.insert(key, new.clone());
        Some(new)
    }

    /// Each member's constant where its part of the pack is.
    fn constants(&self, parts: &[&Tensor]) -> Option<Tensor> {
        let value = |t: &Tensor| super::simplify::constant(t).expect("a constant");
        let all = |t: &Tensor| Tensor::full([self.total], value(t));
        let last = parts[parts.len() - 1];
        let mut result = all(last);
        let mut pieces = 1;
        for i in (1..parts.len()).rev() {
            if value(parts[i - 1]).bits() != value(parts[i]).bits() {
                let before = self.position.lt(&Tensor::full([self.total], self.starts[i] as u32));
                result = before.select(&all(parts[i - 1]), &result);
                pieces += 1;
            }
        }
        (pieces <= MAX_PIECES).then_some(result)
    }
}
