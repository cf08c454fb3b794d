//! What a program writes back.

use crate::Tensor;
use crate::ops::leaf::StateLeaf;
use crate::ops::pack::offsets;
use std::collections::{HashMap, HashSet};
use wgrad_device::DType;

/// State tensors and their new values, written at the end of a run. All new values are computed from old ones: no update
/// sees another.
#[derive(Clone, Debug, Default)]
pub struct Updates {
    pub(crate) list: Vec<Update>,
    /// Which update in the list writes the state of a name.
    writers: HashMap<String, usize>,
}

#[derive(Clone, Debug)]
pub(crate) struct Update {
    /// One state tensor, or several that are written as a pack.
    pub states: Vec<Tensor>,
    pub value: Tensor,
    pub packed: bool,
}

impl Updates {
    /// Nothing to write.
    pub fn new() -> Updates {
        Updates::default()
    }

    /// `state` becomes `value`.
    ///
    /// # Panics
    /// If `state` is no state tensor, or shape or type differ.
    #[track_caller]
    pub fn assign(&mut self, state: &Tensor, value: &Tensor) {
        check_state(state);
        if (state.shape(), state.dtype()) != (value.shape(), value.dtype()) {
            crate::fail(
                "assign",
                format!(
                    "\"{}\" is {} {:?}, its new value {} {:?}",
                    state.name().unwrap_or_default(),
                    state.dtype(),
                    state.shape(),
                    value.dtype(),
                    value.shape()
                ),
            );
        }
        self.push(Update { states: vec![state.clone()], value: value.clone(), packed: false });
    }

    /// `states` become what `value`, a tensor like [`Tensor::pack`] of them, holds. The states will lie next to each other
    /// in memory, so that one kernel writes them all.
    ///
    /// # Panics
    /// If one is no f32 state tensor, or `value` has another size than their pack.
    #[track_caller]
    pub fn assign_pack(&mut self, states: &[&Tensor], value: &Tensor) {
        for s in states {
            check_state(s);
        }
        if let Some(s) = states.iter().find(|s| s.dtype() != DType::F32) {
            crate::fail("assign_pack", format!("f32 states expected, not {} {:?}", s.dtype(), s.shape()));
        }
        let (_, total) = offsets(states.iter().map(|s| s.count()), DType::F32);
        if value.shape() != [total] {
            crate::fail("assign_pack", format!("the pack has [{total}] elements, its new value {:?}", value.shape()));
        }
        self.push(Update { states: states.iter().map(|&s| s.clone()).collect(), value: value.clone(), packed: true });
    }

    /// Adds another list's updates.
    ///
    /// # Panics
    /// If both write the same state tensor, but not the same value.
    #[track_caller]
    pub fn extend(&mut self, other: &Updates) {
        for update in &other.list {
            self.push(update.clone());
        }
    }

    /// The same update again changes nothing; another value for the same state would leave open which one wins.
    #[track_caller]
    fn push(&mut self, update: Update) {
        fn names(u: &Update) -> impl Iterator<Item = &str> {
            u.states.iter().map(|s| s.name().unwrap_or_default())
        }
        let mut seen = HashSet::new();
        if let Some(twice) = names(&update).find(|&n| !seen.insert(n)) {
            crate::fail("assign_pack", format!("\"{twice}\" is in the pack twice"));
        }
        if let Some((name, &writer)) = names(&update).find_map(|n| Some((n, self.writers.get(n)?))) {
            let old = &self.list[writer];
            let same_value = (old.value.id(), old.packed) == (update.value.id(), update.packed);
            if same_value && names(old).eq(names(&update)) {
                return;
            }
            crate::fail("assign", format!("\"{name}\" is given two new values"));
        }
        self.writers.extend(names(&update).map(|n| (n.to_string(), self.list.len())));
        self.list.push(update);
    }

    /// The state tensors that are written.
    pub fn states(&self) -> impl Iterator<Item = &Tensor> {
        self.list.iter().flat_map(|u| &u.states)
    }

    /// Each written state tensor with its new value (packs taken apart): for tests against a reference.
    pub fn values(&self) -> Vec<(Tensor, Tensor)> {
        let mut all = vec![];
        for u in &self.list {
            if u.packed {
                let shapes: Vec<&[usize]> = u.states.iter().map(|s| s.shape()).collect();
                all.extend(u.states.iter().cloned().zip(u.value.unpack(&shapes)));
            } else {
                all.push((u.states[0].clone(), u.value.clone()));
            }
        }
        all
    }
}

#[track_caller]
fn check_state(t: &Tensor) {
    if t.op().downcast::<StateLeaf>().is_none() {
        crate::fail("assign", format!("{t:?} is no state tensor"));
    }
}
