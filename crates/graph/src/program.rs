//! A compiled training step, ready to run.

use crate::compile::{self, Base, CompileOptions, Dump, IndexCheck, Place, Plan, megabytes, place_of_states};
use crate::{Error, State, Tensor, Updates};
use std::collections::HashMap;
use std::fmt;
use std::sync::Mutex;
use wgrad_device::{AdapterKind, Buffer, DType, Device, DeviceError, KernelTime, Launch, Readback, Sequence, Slice};

/// A fixed list of kernel launches that computes outputs and updates state.
pub struct Program {
    device: Device,
    plan: Plan,
    recomputed: Option<Recomputed>,
    inputs: Vec<Buffer>,
    slots: Vec<Buffer>,
    /// The launches bound to the state that ran last.
    bound: Mutex<Option<(u64, Sequence)>>,
    output_slices: Mutex<Vec<Slice>>,
}

impl Program {
    /// Compiles `outputs` and `updates` for `device`. Memory for everything but the state is allocated and pipelines are
    /// compiled here; a program
    /// that cannot fit is refused before anything runs.
    ///
    /// # Errors
    /// If leaves of one name disagree, or memory does not suffice.
    pub fn compile(device: &Device, outputs: &[&Tensor], updates: &Updates) -> Result<Program, Error> {
        Program::compile_with(device, outputs, updates, &CompileOptions::default())
    }

    /// What [`Program::compile`] would plan, without taking any memory for it: programs too can be judged that would not fit.
    ///
    /// # Errors
    /// If leaves of one name disagree, or a tensor is larger than the device can bind at once.
    pub fn plan_only(device: &Device, outputs: &[&Tensor], updates: &Updates) -> Result<Summary, Error> {
        let (plan, recomputed) = planned(device, outputs, updates, &CompileOptions::default())?;
        Ok(summarize(&plan, recomputed))
    }

    /// As [`Program::compile`], with options.
    ///
    /// # Errors
    /// As [`Program::compile`].
    pub fn compile_with(
        device: &Device,
        outputs: &[&Tensor],
        updates: &Updates,
        options: &CompileOptions,
    ) -> Result<Program, Error> {
        let (plan, recomputed) = planned(device, outputs, updates, options)?;
        let mut inputs = vec![];
        for l in &plan.inputs {
            inputs.push(device.alloc(l.shape.iter().product::<usize>() * l.dtype.size(), &l.name)?);
        }
        let mut slots = vec![];
        for (bytes, label) in &plan.slots {
            slots.push(device.alloc(*bytes, label)?);
        }
        let program = Program {
            device: device.clone(),
            plan,
            recomputed,
            inputs,
            slots,
            bound: Mutex::new(None),
            output_slices: Mutex::new(vec![]),
        };
        if device.adapter().kind == AdapterKind::Cpu {
            return Ok(program);
        }
        let tuned = program.with_stand_ins(|launches| device.tuned(launches))?;
        match tuned {
            // Other forms of the kernels want other memory.
            Some(tuned) => {
                drop(program);
                Program::compile_with(&tuned, outputs, updates, options)
            }
            None => {
                program.with_stand_ins(|launches| device.compile(launches))?;
                Ok(program)
            }
        }
    }

    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The device that the program was compiled for.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Runs the step: gives it `inputs` by name, submits it, and starts to copy the outputs back. Does not wait for a GPU.
    ///
    /// # Errors
    /// If an input is missing, unknown or of the wrong size or type, if `state` lacks a tensor, or the device fails.
    pub fn run(&self, state: &mut State, inputs: &[(&str, Data)]) -> Result<Outputs, Error> {
        self.give(inputs)?;
        let pending = self.with_bound(state, |sequence| {
            let slices = self.output_slices.lock().unwrap_or_else(|p| p.into_inner());
            self.device.run_and_read(sequence, &slices)
        })?;
        Ok(self.outputs(pending))
    }

    /// As [`Program::run`], kernel by kernel, with the time that each took.
    ///
    /// # Errors
    /// As [`Program::run`].
    pub fn run_profiled(
        &self,
        state: &mut State,
        inputs: &[(&str, Data)],
    ) -> Result<(Outputs, Vec<KernelTime>), Error> {
        self.give(inputs)?;
        let times = self.with_bound(state, |sequence| self.device.run_profiled(sequence))?;
        let slices = self.output_slices.lock().unwrap_or_else(|p| p.into_inner());
        Ok((self.outputs(self.device.read_later(&slices)?), times))
    }

    fn give(&self, inputs: &[(&str, Data)]) -> Result<(), Error> {
        let wrong = |name: &str, reason: String| Err(Error::Input { name: name.into(), reason });
        for (i, (name, data)) in inputs.iter().enumerate() {
            let Some(n) = self.plan.inputs.iter().position(|l| l.name == *name) else {
                let known: Vec<&str> = self.plan.inputs.iter().map(|l| l.name.as_str()).collect();
                return wrong(name, format!("the program has no such input; it has {known:?}"));
            };
            if inputs[..i].iter().any(|(other, _)| other == name) {
                return wrong(name, "it is given twice".into());
            }
            let leaf = &self.plan.inputs[n];
            let count: usize = leaf.shape.iter().product();
            if data.dtype() != leaf.dtype {
                return wrong(name, format!("{} {:?} expected, not {}", leaf.dtype, leaf.shape, data.dtype()));
            }
            if data.count() != count {
                return wrong(name, format!("{:?} has {count} elements, but {} are given", leaf.shape, data.count()));
            }
            self.device.write(&self.inputs[n].slice(), data.bytes())?;
        }
        match self.plan.inputs.iter().find(|l| !inputs.iter().any(|(name, _)| *name == l.name)) {
            Some(l) => wrong(&l.name, "it is not given".into()),
            None => Ok(()),
        }
    }

    fn with_bound<T>(&self, state: &State, run: impl FnOnce(&Sequence) -> Result<T, DeviceError>) -> Result<T, Error> {
        let mut bound = self.bound.lock().unwrap_or_else(|p| p.into_inner());
        if bound.as_ref().is_none_or(|(id, _)| *id != state.id) {
            *bound = Some((state.id, self.bind(state)?));
        }
        let (_, sequence) = bound.as_ref().expect("just bound");
        Ok(run(sequence)?)
    }

    /// The launches with the memory of this program and of `state`.
    fn bind(&self, state: &State) -> Result<Sequence, Error> {
        let mut slices = vec![];
        // Where each begins: it may be part of a larger one.
        let mut arenas: HashMap<usize, (Buffer, usize)> = HashMap::new();
        let arena_bytes: Vec<usize> =
            self.plan.arenas.iter().map(|members| compile::arena_layout(members, &self.plan.states).1 * 4).collect();
        for (leaf, place) in self.plan.states.iter().zip(place_of_states(&self.plan.states, &self.plan.arenas)) {
            let entry = state.entry_for(leaf)?;
            if let Base::Arena(a) = place.base {
                // The state was laid out by another program: they must agree on what lies together.
                let (buffer, start) = arenas
                    .entry(a)
                    .or_insert_with(|| (entry.slice.buffer.clone(), entry.slice.offset.saturating_sub(place.offset)));
                if !buffer.same(&entry.slice.buffer)
                    || entry.slice.offset != *start + place.offset
                    || buffer.bytes() < *start + arena_bytes[a]
                {
                    return Err(Error::State {
                        name: leaf.name.clone(),
                        reason:
                            "it does not lie where this program packs it; add the program to the state (State::add)"
                                .into(),
                    });
                }
            }
            slices.push(entry.slice.clone());
        }
        let slice = self.slices(&slices, &arenas);
        let launches = self.launches(&slice);
        // Outputs may lie in the state as well.
        *self.output_slices.lock().unwrap_or_else(|p| p.into_inner()) =
            self.plan.outputs.iter().map(|(p, _)| slice(p)).collect();
        Ok(self.device.prepare(launches)?)
    }

    /// Does something with the launches, before there is a state: buffers of its tensors' number stand in for it. The pipelines
    /// are compiled so, that the first run does not have to.
    fn with_stand_ins<T>(&self, use_of: impl FnOnce(&[Launch]) -> Result<T, DeviceError>) -> Result<T, Error> {
        let stand_in = || self.device.alloc(4, "a stand-in for state");
        let places = place_of_states(&self.plan.states, &self.plan.arenas);
        let mut arenas = HashMap::new();
        for a in 0..self.plan.arenas.len() {
            arenas.insert(a, (stand_in()?, 0));
        }
        let mut states = vec![];
        for place in places {
            let buffer = match place.base {
                Base::Arena(a) => arenas[&a].0.clone(),
                _ => stand_in()?,
            };
            states.push(Slice { buffer, offset: place.offset, bytes: place.bytes });
        }
        Ok(use_of(&self.launches(&self.slices(&states, &arenas)))?)
    }

    /// Where places are, given the state's tensors, and of its packs the buffer and where in it each begins.
    fn slices<'a>(
        &'a self,
        states: &'a [Slice],
        arenas: &'a HashMap<usize, (Buffer, usize)>,
    ) -> impl Fn(&Place) -> Slice + 'a {
        |p| {
            let at =
                |buffer: &Buffer, start| Slice { buffer: buffer.clone(), offset: start + p.offset, bytes: p.bytes };
            match p.base {
                Base::Input(i) => at(&self.inputs[i], 0),
                Base::Slot(i) => at(&self.slots[i], 0),
                Base::State(i) => states[i].clone(),
                Base::Arena(a) => at(&arenas[&a].0, arenas[&a].1),
            }
        }
    }

    fn launches(&self, slice: &impl Fn(&Place) -> Slice) -> Vec<Launch> {
        let steps = self.plan.steps.iter();
        steps
            .map(|s| Launch {
                kernel: s.kernel.clone(),
                inputs: s.inputs.iter().map(slice).collect(),
                outputs: s.outputs.iter().map(slice).collect(),
                aliases: s.aliases.clone(),
                scratch: s.scratch.as_ref().map(slice),
                label: s.label.clone(),
            })
            .collect()
    }

    fn outputs(&self, pending: Vec<Readback>) -> Outputs {
        let values = self.plan.outputs.iter().map(|(_, v)| (v.shape.clone(), v.dtype));
        let mut list: Vec<_> = values.zip(pending).map(|((shape, dtype), r)| (shape, dtype, Some(r))).collect();
        let counts = if self.plan.checks.is_empty() { None } else { list.pop().and_then(|(_, _, r)| r) };
        let faults = match counts {
            Some(counts) => Faults::Pending(counts, self.plan.checks.clone()),
            None => Faults::Known(None),
        };
        Outputs { list, faults }
    }

    /// Sizes, work and memory, known before anything runs.
    pub fn summary(&self) -> Summary {
        summarize(&self.plan, self.recomputed)
    }

    /// The compiler's work as text.
    pub fn dump(&self, what: Dump) -> String {
        self.plan.dump(what)
    }

    /// Names, shapes and types of the inputs.
    pub fn input_shapes(&self) -> impl Iterator<Item = (&str, &[usize], DType)> {
        self.plan.inputs.iter().map(|l| (l.name.as_str(), l.shape.as_slice(), l.dtype))
    }

    /// Names of the state tensors that a run changes.
    pub fn written(&self) -> impl Iterator<Item = &str> {
        self.plan.written.iter().map(String::as_str)
    }
}

/// The plan, and what marked parts save in it.
fn planned(
    device: &Device,
    outputs: &[&Tensor],
    updates: &Updates,
    options: &CompileOptions,
) -> Result<(Plan, Option<Recomputed>), Error> {
    let plan = compile::compile(device.adapter(), outputs, updates, options)?;
    let recomputed = match plan.recomputed {
        0 => None,
        parts => {
            let kept = CompileOptions { recompute: false, ..options.clone() };
            let kept = compile::compile(device.adapter(), outputs, updates, &kept)?;
            Some(Recomputed {
                parts,
                saved_bytes: kept.temporary_bytes() as i64 - plan.temporary_bytes() as i64,
                added_flops: plan.total(|c| c.flops) - kept.total(|c| c.flops),
            })
        }
    };
    let limit = device.adapter().max_binding;
    let arenas = plan.arenas.iter().map(|members| {
        let (_, elements) = compile::arena_layout(members, &plan.states);
        (elements * 4, format!("the pack of {} state tensors", members.len()))
    });
    let leaves = plan.inputs.iter().chain(&plan.states);
    let too_large = (plan.slots.iter().cloned())
        .chain(leaves.map(|l| (l.shape.iter().product::<usize>() * l.dtype.size(), l.name.clone())))
        .chain(arenas)
        .filter(|(bytes, _)| *bytes > limit)
        .max();
    if let Some((bytes, what)) = too_large {
        let device = device.adapter().name.clone();
        return Err(DeviceError::TooLarge { device, what, bytes, limit }.into());
    }
    Ok((plan, recomputed))
}

fn summarize(plan: &Plan, recomputed: Option<Recomputed>) -> Summary {
    let bytes = |l: &compile::Leaf| l.shape.iter().product::<usize>() * l.dtype.size();
    let mut largest: Vec<(usize, String)> = plan.slots.clone();
    largest.sort_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
    largest.truncate(3);
    Summary {
        tensors: plan.states.len(),
        elements: plan.states.iter().map(|l| l.shape.iter().product::<usize>()).sum(),
        launches: plan.steps.len(),
        flops: plan.total(|c| c.flops),
        traffic: plan.total(|c| c.bytes),
        state_bytes: plan.states.iter().map(bytes).sum(),
        input_bytes: plan.inputs.iter().map(bytes).sum(),
        temporary_bytes: plan.temporary_bytes(),
        largest,
        recomputed,
    }
}

/// What a program will do and need.
#[derive(Clone, Debug)]
pub struct Summary {
    /// State tensors.
    pub tensors: usize,
    /// Their elements.
    pub elements: usize,
    /// Kernel launches of a run.
    pub launches: usize,
    /// Floating-point operations of a run.
    pub flops: f64,
    /// Bytes that kernels read and write in a run.
    pub traffic: f64,
    /// Bytes of state.
    pub state_bytes: usize,
    /// Bytes of inputs.
    pub input_bytes: usize,
    /// Bytes of temporary memory: the sum of all slots, which is the peak, since nothing is allocated later.
    pub temporary_bytes: usize,
    /// The largest pieces of temporary memory and what sized them.
    pub largest: Vec<(usize, String)>,
    /// What computing marked parts again saves and costs, if there are any.
    pub recomputed: Option<Recomputed>,
}

/// The effect of [`crate::checkpoint`] on a program, against the same program without it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recomputed {
    /// Marked parts.
    pub parts: usize,
    /// Bytes of temporary memory that are saved (negative if it grew).
    pub saved_bytes: i64,
    /// Floating-point operations of a run that are added.
    pub added_flops: f64,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} launches, {:.3} GFLOP, {:.1} MB moved; {} state tensors of {} elements",
            self.launches,
            self.flops / 1e9,
            self.traffic / 1e6,
            self.tensors,
            self.elements
        )?;
        write!(
            f,
            "memory: state {}, inputs {}, temporary {}",
            megabytes(self.state_bytes),
            megabytes(self.input_bytes),
            megabytes(self.temporary_bytes)
        )?;
        for (bytes, what) in &self.largest {
            write!(f, "\n  {} {what}", megabytes(*bytes))?;
        }
        if let Some(r) = self.recomputed {
            let saved = format!(
                "{}{}",
                if r.saved_bytes < 0 { "-" } else { "" },
                megabytes(r.saved_bytes.unsigned_abs() as usize)
            );
            write!(f, "\nrecomputed: {} parts save {saved} for {:.3} GFLOP", r.parts, r.added_flops / 1e9)?;
        }
        Ok(())
    }
}

/// Elements given to an input.
#[derive(Clone, Copy, Debug)]
pub enum Data<'a> {
    /// For an f32 input.
    F32(&'a [f32]),
    /// For an f16 input.
    F16(&'a [half::f16]),
    /// For a u32 input.
    U32(&'a [u32]),
    /// For an i32 input.
    I32(&'a [i32]),
}

impl Data<'_> {
    /// The elements' type.
    pub fn dtype(&self) -> DType {
        match self {
            Data::F32(_) => DType::F32,
            Data::F16(_) => DType::F16,
            Data::U32(_) => DType::U32,
            Data::I32(_) => DType::I32,
        }
    }

    fn count(&self) -> usize {
        self.bytes().len() / self.dtype().size()
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Data::F32(d) => bytemuck::cast_slice(d),
            Data::F16(d) => bytemuck::cast_slice(d),
            Data::U32(d) => bytemuck::cast_slice(d),
            Data::I32(d) => bytemuck::cast_slice(d),
        }
    }
}

macro_rules! data {
    ($($t:ty => $v:ident;)*) => { $(
        impl<'a> From<&'a [$t]> for Data<'a> {
            fn from(d: &'a [$t]) -> Self { Data::$v(d) }
        }
        impl<'a> From<&'a Vec<$t>> for Data<'a> {
            fn from(d: &'a Vec<$t>) -> Self { Data::$v(d) }
        }
    )* };
}

data! {
    f32 => F32;
    half::f16 => F16;
    u32 => U32;
    i32 => I32;
}

/// The outputs of a run, on their way from the device.
pub struct Outputs {
    list: Vec<(Vec<usize>, DType, Option<Readback>)>,
    faults: Faults,
}

/// Indices from data that were too large.
enum Faults {
    /// Their counts are on the way.
    Pending(Readback, Vec<IndexCheck>),
    /// The first one: where, and how many.
    Known(Option<(IndexCheck, u32)>),
}

impl Outputs {
    /// Number of outputs.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The shape of output `i`.
    pub fn shape(&self, i: usize) -> &[usize] {
        &self.list[i].0
    }

    /// The elements of f32 (or f16) output `i`. Waits until they are there; an output can be taken once.
    ///
    /// # Errors
    /// If the output is of another type or was taken before, or the device failed.
    pub fn f32(&mut self, i: usize) -> Result<Vec<f32>, Error> {
        let dtype = self.list.get(i).map(|o| o.1);
        let bytes = self.take(i, &[DType::F32, DType::F16])?;
        if dtype == Some(DType::F16) {
            return Ok(bytemuck::pod_collect_to_vec::<u8, half::f16>(&bytes).into_iter().map(|x| x.to_f32()).collect());
        }
        Ok(bytemuck::pod_collect_to_vec(&bytes))
    }

    /// The elements of u32 (or bool, as 0 and 1) output `i`. Waits until they are there; an output can be taken once.
    ///
    /// # Errors
    /// If the output is of another type or was taken before, or the device failed.
    pub fn u32(&mut self, i: usize) -> Result<Vec<u32>, Error> {
        Ok(bytemuck::pod_collect_to_vec(&self.take(i, &[DType::U32, DType::Bool, DType::I32])?))
    }

    /// The one element of f32 output `i`.
    ///
    /// # Errors
    /// As [`Outputs::f32`], or if there is not exactly one element.
    pub fn scalar(&mut self, i: usize) -> Result<f32, Error> {
        match self.f32(i)?[..] {
            [x] => Ok(x),
            _ => Err(Error::Compile(format!("output {i} has shape {:?}, not one element", self.list[i].0))),
        }
    }

    fn take(&mut self, i: usize, dtypes: &[DType]) -> Result<Vec<u8>, Error> {
        let count = self.list.len();
        let Some((_, dtype, pending)) = self.list.get_mut(i) else {
            return Err(Error::Compile(format!("there is no output {i}, only {count}")));
        };
        if !dtypes.contains(dtype) {
            return Err(Error::Compile(format!("output {i} is {dtype}, not {}", dtypes[0])));
        }
        let pending = pending.take().ok_or_else(|| Error::Compile(format!("output {i} was taken before")))?;
        let bytes = pending.wait()?;
        self.check_indices()?;
        Ok(bytes)
    }

    /// An error if an index from data was out of range: what was computed from it is of no use.
    fn check_indices(&mut self) -> Result<(), Error> {
        if let Faults::Pending(..) = self.faults
            && let Faults::Pending(counts, checks) = std::mem::replace(&mut self.faults, Faults::Known(None))
        {
            let counts: Vec<u32> = bytemuck::pod_collect_to_vec(&counts.wait()?);
            self.faults = Faults::Known(checks.into_iter().zip(counts).find(|(_, n)| *n > 0));
        }
        match &self.faults {
            Faults::Known(Some((check, count))) => {
                Err(Error::Index { op: check.op.into(), site: check.site, limit: check.limit, count: *count as usize })
            }
            _ => Ok(()),
        }
    }
}
