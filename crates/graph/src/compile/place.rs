//! Plans memory: where each stored value lives.
//!
//! State tensors are written in place where no later kernel reads the old value. Parts of a pack are written straight into
//! it. Everything else shares slots by lifetime, in place where a kernel allows it.

use super::{Base, Group, Leaf, Place, Step, Value, Work, lower, place_of_states};
use crate::op::Lower;
use crate::ops::pack;
use crate::{Error, Tensor};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use wgrad_device::kernels::Map;
use wgrad_device::{Access, Adapter, AdapterKind, DType, Expr, ExprNode, Kernel};

/// States that a value is written to: one, or a pack.
pub(super) struct Write {
    pub states: Vec<u64>,
    pub value: u64,
}

pub(super) struct Placed {
    pub steps: Vec<Step>,
    pub slots: Vec<(usize, String)>,
    pub outputs: Vec<(Place, Value)>,
}

pub(super) struct Placer {
    values: HashMap<u64, Value>,
    /// Values whose place is settled before slots are shared out.
    fixed: HashMap<u64, Place>,
    slots: Vec<(usize, String)>,
    /// Ids for values that no tensor stands for (copies), counting down from the top.
    next_id: u64,
}

impl Placer {
    pub fn new<'a>(
        values: HashMap<u64, Value>,
        order: &BTreeMap<u64, Tensor>,
        inputs: &'a [Leaf],
        states: &'a [Leaf],
        arenas: &[Vec<usize>],
    ) -> Placer {
        let mut fixed = HashMap::new();
        let places = place_of_states(states, arenas);
        let numbers = |list: &'a [Leaf]| -> HashMap<&'a str, usize> {
            list.iter().enumerate().map(|(i, l)| (l.name.as_str(), i)).collect()
        };
        let (inputs, states) = (numbers(inputs), numbers(states));
        for (&id, t) in order {
            let Some(name) = t.name() else { continue };
            let bytes = values[&id].bytes();
            let place = match t.op().lower() {
                Lower::Input(_) => Place { base: Base::Input(inputs[name]), offset: 0, bytes },
                _ => places[states[name]],
            };
            fixed.insert(id, place);
        }
        Placer { values, fixed, slots: vec![], next_id: u64::MAX }
    }

    /// A new value that copies another.
    fn copy_of(&mut self, value: u64) -> (u64, Group) {
        let id = self.next_id;
        self.next_id -= 1;
        let info = self.values[&value].clone();
        let mut expr = Expr::default();
        let domain = vec![info.shape.iter().product()];
        let node = expr.push(ExprNode::Load { input: 0, access: Access::linear(&domain) }, info.dtype);
        let label = format!("copy of {}", info.label);
        self.values.insert(id, Value { label: label.clone(), ..info });
        let work = Work::Map { domain, expr, nodes: vec![node] };
        (id, Group { label, inputs: vec![value], outputs: vec![id], after: vec![], work })
    }

    pub fn place(
        &mut self,
        adapter: &Adapter,
        groups: Vec<Group>,
        writes: Vec<Write>,
        outputs: &[(u64, Value)],
        poison: bool,
    ) -> Result<Placed, Error> {
        let written: HashSet<Base> = writes.iter().flat_map(|w| &w.states).map(|s| self.fixed[s].base).collect();
        let groups = self.place_packs(groups, &writes);
        let mut groups = self.place_writes(groups, writes);
        // An output that is a state tensor's old value must not be read after the new one is written.
        let made: HashSet<u64> = groups.iter().flat_map(|g| &g.outputs).copied().collect();
        let mut copies = vec![];
        let outputs: Vec<(u64, Value)> = outputs
            .iter()
            .map(|(v, info)| {
                let is_old = self.fixed.get(v).is_some_and(|p| written.contains(&p.base)) && !made.contains(v);
                if is_old {
                    let (id, group) = self.copy_of(*v);
                    copies.push(group);
                    (id, info.clone())
                } else {
                    (*v, info.clone())
                }
            })
            .collect();
        groups.splice(0..0, copies);
        let kept: HashSet<u64> = outputs.iter().map(|(v, _)| *v).collect();
        let steps = self.share_slots(adapter, &groups, &kept, poison);
        let outputs = outputs
            .into_iter()
            .map(|(v, info)| {
                let place = Place { bytes: info.bytes(), ..self.fixed[&v] };
                (place, info)
            })
            .collect();
        Ok(Placed { steps, slots: std::mem::take(&mut self.slots), outputs })
    }

    /// Settles packs: of state tensors that lie together anyway, the arena itself; else memory of their own that the
    /// parts' makers write to.
    fn place_packs(&mut self, groups: Vec<Group>, writes: &[Write]) -> Vec<Group> {
        let updated: HashSet<u64> = writes.iter().map(|w| w.value).collect();
        let made: HashMap<u64, usize> =
            groups.iter().enumerate().flat_map(|(i, g)| g.outputs.iter().map(move |o| (*o, i))).collect();
        let reads: Vec<Vec<u64>> = groups.iter().map(|g| g.inputs.clone()).collect();
        let mut result = vec![];
        for g in groups {
            let Work::Pack(offsets) = &g.work else {
                result.push(g);
                continue;
            };
            let (id, bytes) = (g.outputs[0], self.values[&g.outputs[0]].bytes());
            if let Some(arena) = self.whole_arena(&g.inputs, offsets, bytes) {
                self.fixed.insert(id, arena);
                continue;
            }
            let base = Base::Slot(self.slots.len());
            self.slots.push((bytes, self.values[&id].label.clone()));
            self.fixed.insert(id, Place { base, offset: 0, bytes });
            let mut members: HashSet<u64> = HashSet::new();
            // What the makers of members read: that cannot become a member either.
            let mut read: HashSet<u64> = HashSet::new();
            for (&part, &offset) in g.inputs.iter().zip(offsets) {
                let place =
                    Place { base, offset: offset * self.values[&part].dtype.size(), bytes: self.values[&part].bytes() };
                // Its maker may write here unless it is placed elsewhere, or reads from this same buffer.
                let maker = made.get(&part);
                let free = !self.fixed.contains_key(&part) && !updated.contains(&part);
                let clash = read.contains(&part)
                    || maker.is_none_or(|&m| reads[m].iter().any(|v| members.contains(v) || *v == part));
                if free && !clash {
                    self.fixed.insert(part, place);
                    members.insert(part);
                    read.extend(maker.iter().flat_map(|&&m| &reads[m]));
                } else {
                    let (copy, group) = self.copy_of(part);
                    self.fixed.insert(copy, place);
                    result.push(group);
                }
            }
        }
        result
    }

    /// The arena that these values are, in this order and completely.
    fn whole_arena(&self, parts: &[u64], offsets: &[usize], bytes: usize) -> Option<Place> {
        let first = self.fixed.get(parts.first()?)?;
        let Base::Arena(_) = first.base else { return None };
        let fits = parts
            .iter()
            .zip(offsets)
            .all(|(v, &o)| self.fixed.get(v).is_some_and(|p| p.base == first.base && p.offset == o * 4));
        fits.then_some(Place { base: first.base, offset: 0, bytes })
    }

    /// Settles which values are written straight to the state, and adds copies for the others at the end.
    fn place_writes(&mut self, mut groups: Vec<Group>, writes: Vec<Write>) -> Vec<Group> {
        // Who makes each value, and which group is the last to read from each buffer that is placed already.
        let made: HashMap<u64, usize> =
            groups.iter().enumerate().flat_map(|(i, g)| g.outputs.iter().map(move |o| (*o, i))).collect();
        let mut last_read: HashMap<Base, usize> = HashMap::new();
        for (i, g) in groups.iter().enumerate() {
            last_read.extend(g.inputs.iter().filter_map(|v| Some((self.fixed.get(v)?.base, i))));
        }
        // Copies of old values first, then copies into place: no write sees another.
        let (mut early, mut late) = (vec![], vec![]);
        for w in writes {
            let first = self.fixed[&w.states[0]];
            let target = if w.states.len() == 1 && !matches!(first.base, Base::Arena(_)) {
                first
            } else {
                Place { base: first.base, offset: 0, bytes: self.values[&w.value].bytes() }
            };
            let maker = made.get(&w.value).copied();
            let read_later = last_read.get(&target.base).copied() > maker;
            if !read_later && maker.is_some_and(|m| self.may_write(&groups[m], &w, target)) {
                self.fixed.insert(w.value, target);
                continue;
            }
            let mut value = w.value;
            if matches!(self.fixed.get(&value), Some(Place { base: Base::State(_) | Base::Arena(_), .. })) {
                let (id, group) = self.copy_of(value);
                early.push(group);
                value = id;
            }
            let (id, group) = self.copy_of(value);
            self.fixed.insert(id, target);
            late.push(group);
        }
        groups.extend(early);
        groups.extend(late);
        groups
    }

    /// Whether the maker of a value may write it over the old state, which nobody reads afterwards: only in place, if it reads
    /// that itself.
    fn may_write(&self, maker: &Group, w: &Write, target: Place) -> bool {
        if self.fixed.contains_key(&w.value) {
            return false;
        }
        let reads_old = |v: &u64| self.fixed.get(v).is_some_and(|p| p.base == target.base);
        let output = maker.outputs.iter().position(|v| *v == w.value).expect("it is the maker");
        let old: Vec<usize> = (0..maker.inputs.len()).filter(|&i| reads_old(&maker.inputs[i])).collect();
        match old[..] {
            [] => true,
            [i] => {
                let same = self.fixed[&maker.inputs[i]] == target;
                same && matches!(maker.work, Work::Map { .. }) && lower(maker, &self.values).may_alias(output, i)
            }
            _ => false,
        }
    }

    /// Gives slots to the remaining values by their lifetimes, and makes the steps.
    fn share_slots(&mut self, adapter: &Adapter, groups: &[Group], kept: &HashSet<u64>, poison: bool) -> Vec<Step> {
        let mut last_use: HashMap<u64, usize> = HashMap::new();
        for (i, g) in groups.iter().enumerate() {
            for v in g.inputs.iter().chain(&g.outputs) {
                last_use.insert(*v, i);
            }
        }
        kept.iter().for_each(|v| {
            last_use.insert(*v, usize::MAX);
        });
        let own = self.slots.len();
        let mut free: BTreeSet<(usize, usize)> = BTreeSet::new();
        let mut steps: Vec<Step> = vec![];
        let mut poisoned: Vec<(usize, usize)> = vec![]; // after how many steps, which slot
        for (at, g) in groups.iter().enumerate() {
            let kernel = lower(g, &self.values);
            let mut aliases = vec![None; g.outputs.len()];
            let mut taken: Vec<usize> = vec![];
            for (o, v) in g.outputs.iter().enumerate() {
                if let Some(place) = self.fixed.get(v) {
                    // Written over the state that it updates: the same bytes as one of the inputs.
                    aliases[o] = g.inputs.iter().position(|i| self.fixed.get(i) == Some(place));
                    continue;
                }
                let bytes = self.values[v].bytes();
                let over = (0..g.inputs.len()).find(|&i| {
                    let dies = last_use[&g.inputs[i]] == at;
                    let slot = match self.fixed.get(&g.inputs[i]) {
                        Some(Place { base: Base::Slot(s), .. }) => *s,
                        _ => return false,
                    };
                    dies && slot >= own
                        && self.values[&g.inputs[i]].bytes() == bytes
                        && !aliases.contains(&Some(i))
                        && kernel.may_alias(o, i)
                });
                let place = match over {
                    Some(i) => {
                        aliases[o] = Some(i);
                        self.fixed[&g.inputs[i]]
                    }
                    None => {
                        let label = self.values[v].label.clone();
                        Place { base: Base::Slot(self.take(&mut free, bytes, label)), offset: 0, bytes }
                    }
                };
                self.fixed.insert(*v, place);
            }
            let bytes = if adapter.kind == AdapterKind::Cpu { 0 } else { kernel.scratch(adapter) };
            let scratch = (bytes > 0).then(|| {
                let slot = self.take(&mut free, bytes, format!("scratch of {}", g.label));
                taken.push(slot);
                Place { base: Base::Slot(slot), offset: 0, bytes }
            });
            steps.push(Step {
                kernel,
                label: g.label.clone(),
                inputs: g.inputs.iter().map(|v| self.fixed[v]).collect(),
                outputs: g.outputs.iter().map(|v| self.fixed[v]).collect(),
                aliases: aliases.clone(),
                scratch,
            });
            // What is not needed after this step gives its slot back, unless an output took it over.
            let held: HashSet<usize> = aliases.iter().flatten().copied().collect();
            let mut dead: Vec<u64> = g.inputs.iter().chain(&g.outputs).copied().collect();
            dead.sort_unstable();
            dead.dedup();
            for v in dead {
                let over = g.inputs.iter().position(|i| *i == v).is_some_and(|i| held.contains(&i));
                if last_use[&v] == at
                    && !over
                    && let Some(Place { base: Base::Slot(s), .. }) = self.fixed.get(&v)
                    && *s >= own
                {
                    taken.push(*s);
                }
            }
            poisoned.extend(taken.iter().map(|&s| (steps.len(), s)));
            free.extend(taken.into_iter().map(|s| (self.slots[s].0, s)));
        }
        if poison {
            let all = (own..self.slots.len()).map(|s| (0, s));
            let mut poisoned = all.chain(poisoned).peekable();
            let mut kernels = steps.into_iter();
            steps = vec![];
            for after in 0.. {
                while let Some((_, slot)) = poisoned.next_if(|p| p.0 == after) {
                    steps.push(self.poison(slot));
                }
                let Some(step) = kernels.next() else { break };
                steps.push(step);
            }
        }
        steps
    }

    /// A slot that fits best (the smallest that is large enough, else the largest, made larger) of those free, which are listed
    /// with their sizes; or a new one.
    fn take(&mut self, free: &mut BTreeSet<(usize, usize)>, bytes: usize, label: String) -> usize {
        let best = free.range((bytes, 0)..).next().or(free.last()).copied();
        match best {
            Some(slot) => {
                free.remove(&slot);
                if slot.0 < bytes {
                    self.slots[slot.1] = (bytes, label);
                }
                slot.1
            }
            None => {
                self.slots.push((bytes, label));
                self.slots.len() - 1
            }
        }
    }

    /// A step that fills a slot with NaN.
    fn poison(&self, slot: usize) -> Step {
        let words = self.slots[slot].0.div_ceil(4);
        let mut expr = Expr::default();
        let node = expr.push(ExprNode::Const(0x7fc0_dead), DType::U32);
        let place = Place { base: Base::Slot(slot), offset: 0, bytes: words * 4 };
        let kernel: Arc<dyn Kernel> = Arc::new(Map { domain: vec![words], expr, inputs: vec![], outputs: vec![node] });
        Step {
            kernel,
            label: format!("poison slot {slot}"),
            inputs: vec![],
            outputs: vec![place],
            aliases: vec![None],
            scratch: None,
        }
    }
}

/// Where the members of an arena start and how long it is, in elements.
pub(crate) fn arena_layout(members: &[usize], states: &[Leaf]) -> (Vec<usize>, usize) {
    pack::offsets(members.iter().map(|&m| states[m].shape.iter().product()), DType::F32)
}
