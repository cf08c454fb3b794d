//! What lasts from run to run: parameters, statistics, moments, the random generator.

use crate::compile::{Leaf, Place, place_of_states};
use crate::ops::leaf::Init;
use crate::{Error, Program};
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use wgrad_device::{DType, Device, Slice, philox};

/// Named tensors on a device. Several programs may work on one state: training and evaluation, the two steps of a GAN.
pub struct State {
    pub(crate) id: u64,
    device: Device,
    seed: u64,
    entries: BTreeMap<String, Entry>,
    order: Vec<String>,
}

pub(crate) struct Entry {
    pub slice: Slice,
    pub shape: Vec<usize>,
    pub dtype: DType,
    /// Whether it lies in one buffer with others.
    pub packed: bool,
}

static NEXT_STATE: AtomicU64 = AtomicU64::new(0);

impl State {
    /// The state that `program` needs, initialised from `seed`.
    ///
    /// # Errors
    /// If the device has no memory for it.
    pub fn init(device: &Device, program: &Program, seed: u64) -> Result<State, Error> {
        let mut state = State {
            id: NEXT_STATE.fetch_add(1, Ordering::Relaxed),
            device: device.clone(),
            seed,
            entries: BTreeMap::new(),
            order: vec![],
        };
        state.add(program)?;
        Ok(state)
    }

    /// Adds what another program needs and this state does not have yet. Tensors that the program wants packed together are
    /// moved together if they lie apart.
    ///
    /// # Errors
    /// If a tensor is there under the same name with another shape or type, or packed with other tensors than the program
    /// packs it with, or memory runs out.
    pub fn add(&mut self, program: &Program) -> Result<(), Error> {
        let plan = program.plan();
        for leaf in plan.states.iter().filter(|l| self.contains(&l.name)) {
            self.entry_for(leaf)?;
        }
        let places = place_of_states(&plan.states, &plan.arenas);
        for members in &plan.arenas {
            let together: Vec<(&Leaf, Place)> = members.iter().map(|&m| (&plan.states[m], places[m])).collect();
            let (_, elements) = crate::compile::arena_layout(members, &plan.states);
            self.add_packed(&together, elements * 4)?;
        }
        for (leaf, place) in plan.states.iter().zip(&places) {
            if !self.contains(&leaf.name) {
                let buffer = self.device.alloc(place.bytes, &leaf.name)?;
                self.put(leaf, Slice { buffer, offset: 0, bytes: place.bytes }, false, None)?;
            }
        }
        Ok(())
    }

    /// Sees to it that tensors lie at these places in one buffer of `bytes`.
    fn add_packed(&mut self, members: &[(&Leaf, Place)], bytes: usize) -> Result<(), Error> {
        let found: Vec<Option<&Entry>> = members.iter().map(|(l, _)| self.entries.get(&l.name)).collect();
        if let Some(Some(first)) = found.first() {
            // As part of a larger pack too.
            let base = first.slice.offset.saturating_sub(members[0].1.offset);
            let lies =
                |e: &Entry, p: &Place| e.slice.buffer.same(&first.slice.buffer) && e.slice.offset == base + p.offset;
            let there = found.iter().zip(members).all(|(e, (_, p))| e.is_some_and(|e| e.packed && lies(e, p)));
            if there && first.slice.buffer.bytes() >= base + bytes {
                return Ok(());
            }
        }
        // Other packs may become parts of this one, whole and as they are.
        let new: BTreeMap<&str, &Place> = members.iter().map(|(l, p)| (l.name.as_str(), p)).collect();
        for ((leaf, place), old) in members.iter().zip(&found) {
            let Some(old) = old.filter(|e| e.packed) else { continue };
            let others = self.entries.iter().filter(|(_, e)| e.slice.buffer.same(&old.slice.buffer));
            let mut moved = others.map(|(name, e)| Some((new.get(name.as_str())?.offset, e.slice.offset)));
            if !moved.all(|o| o.is_some_and(|(to, from)| to + old.slice.offset == place.offset + from)) {
                return Err(Error::State {
                    name: leaf.name.clone(),
                    reason: "it is packed with other tensors than this program packs it with".into(),
                });
            }
        }
        let buffer = self.device.alloc(bytes, "packed state")?;
        for (leaf, place) in members {
            let value = self.contains(&leaf.name).then(|| self.bytes(&leaf.name)).transpose()?;
            let slice = Slice { buffer: buffer.clone(), offset: place.offset, bytes: place.bytes };
            self.put(leaf, slice, true, value)?;
        }
        // What programs have bound no longer holds.
        self.id = NEXT_STATE.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Adds a tensor with this value, or with its initial one.
    fn put(&mut self, leaf: &Leaf, slice: Slice, packed: bool, value: Option<Vec<u8>>) -> Result<(), Error> {
        match value {
            Some(value) => self.device.write(&slice, &value)?,
            None => self.write_initial(leaf, &slice)?,
        }
        let entry = Entry { slice, shape: leaf.shape.clone(), dtype: leaf.dtype, packed };
        if self.entries.insert(leaf.name.clone(), entry).is_none() {
            self.order.push(leaf.name.clone());
        }
        Ok(())
    }

    /// Piece by piece: a large model's parameters are not held a second time, nor an optimiser's slots, which are one tensor.
    fn write_initial(&self, leaf: &Leaf, slice: &Slice) -> Result<(), Error> {
        const PIECE: usize = 1 << 20;
        let init = leaf.init.as_ref().expect("state leaves have one");
        let count: usize = leaf.shape.iter().product();
        for start in (0..count).step_by(PIECE) {
            let value = initial(&leaf.name, init, leaf.dtype, start..count.min(start + PIECE), self.seed);
            let offset = slice.offset + start * leaf.dtype.size();
            self.device.write(&Slice { buffer: slice.buffer.clone(), offset, bytes: value.len() }, &value)?;
        }
        Ok(())
    }

    /// The seed that the state was initialised from.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Names, shapes and types, in the order in which programs declared them.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, &[usize], DType)> {
        self.order.iter().map(|n| {
            let e = &self.entries[n];
            (n.as_str(), e.shape.as_slice(), e.dtype)
        })
    }

    /// Whether there is a tensor of this name.
    pub fn contains(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    pub(crate) fn entry(&self, name: &str) -> Result<&Entry, Error> {
        self.entries
            .get(name)
            .ok_or_else(|| Error::State { name: name.into(), reason: "there is no tensor of this name".into() })
    }

    /// The tensor that is a program's leaf, if it is what the program expects.
    pub(crate) fn entry_for(&self, leaf: &Leaf) -> Result<&Entry, Error> {
        let entry = self.entry(&leaf.name)?;
        if (&entry.shape, entry.dtype) == (&leaf.shape, leaf.dtype) {
            return Ok(entry);
        }
        Err(Error::State {
            name: leaf.name.clone(),
            reason: format!(
                "it is {} {:?}, but the program has {} {:?}",
                entry.dtype, entry.shape, leaf.dtype, leaf.shape
            ),
        })
    }

    /// A tensor's bytes, little-endian as on the device. Waits for the device.
    pub fn bytes(&self, name: &str) -> Result<Vec<u8>, Error> {
        Ok(self.device.read(&self.entry(name)?.slice)?)
    }

    /// An f32 tensor's elements. Waits for the device.
    pub fn f32(&self, name: &str) -> Result<Vec<f32>, Error> {
        self.expect(name, DType::F32)?;
        Ok(bytemuck::pod_collect_to_vec(&self.bytes(name)?))
    }

    /// A u32 tensor's elements. Waits for the device.
    pub fn u32(&self, name: &str) -> Result<Vec<u32>, Error> {
        self.expect(name, DType::U32)?;
        Ok(bytemuck::pod_collect_to_vec(&self.bytes(name)?))
    }

    /// Replaces a tensor's bytes.
    ///
    /// # Errors
    /// If there is no such tensor, or the length differs.
    pub fn set_bytes(&mut self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let entry = self.entry(name)?;
        if bytes.len() != entry.slice.bytes {
            return Err(Error::State {
                name: name.into(),
                reason: format!(
                    "{} {:?} takes {} bytes, not {}",
                    entry.dtype,
                    entry.shape,
                    entry.slice.bytes,
                    bytes.len()
                ),
            });
        }
        Ok(self.device.write(&entry.slice, bytes)?)
    }

    /// Replaces an f32 tensor's elements.
    ///
    /// # Errors
    /// If there is no such f32 tensor, or the number of elements differs.
    pub fn set_f32(&mut self, name: &str, values: &[f32]) -> Result<(), Error> {
        self.expect(name, DType::F32)?;
        self.set_bytes(name, bytemuck::cast_slice(values))
    }

    fn expect(&self, name: &str, dtype: DType) -> Result<(), Error> {
        let found = self.entry(name)?.dtype;
        if found == dtype {
            return Ok(());
        }
        Err(Error::State { name: name.into(), reason: format!("it holds {found}, not {dtype}") })
    }
}

/// Initial values of some of a tensor's elements, as bytes; each is a function of its place, so threads share the work.
fn initial(name: &str, init: &Init, dtype: DType, elements: Range<usize>, seed: u64) -> Vec<u8> {
    let key = [seed as u32, (seed >> 32) as u32];
    if *init == Init::Generator {
        return bytemuck::cast_slice(&[key[0], key[1], 0, 0]).to_vec();
    }
    // FNV-1a: each tensor draws from a stream of its own, whatever else the model has.
    let stream = name.bytes().fold(0xcbf2_9ce4_8422_2325u64, |h, b| (h ^ b as u64).wrapping_mul(0x0100_0000_01b3));
    let words = |i: usize| philox(key, [i as u32, (i as u64 >> 32) as u32, stream as u32, (stream >> 32) as u32]);
    // In (0, 1), from 32 bits.
    let unit = |w: u32| (w as f64 + 0.5) / 4294967296.0;
    let value = |i: usize| -> f32 {
        match init {
            Init::Constant(c) => *c,
            Init::Uniform(lo, hi) => (*lo as f64 + (*hi as f64 - *lo as f64) * unit(words(i)[0])) as f32,
            Init::Normal(mean, std) => {
                let w = words(i);
                let z = (-2.0 * unit(w[0]).ln()).sqrt() * (std::f64::consts::TAU * unit(w[1])).cos();
                (*mean as f64 + *std as f64 * z) as f32
            }
            Init::Data(d) => d[i],
            Init::Generator => unreachable!("handled above"),
        }
    };
    let values = elements.into_par_iter().map(value);
    match dtype {
        DType::F32 => bytes_of(values),
        DType::F16 => bytes_of(values.map(half::f16::from_f32)),
        DType::U32 => bytes_of(values.map(|x| x as u32)),
        DType::I32 => bytes_of(values.map(|x| x as i32)),
        DType::Bool => bytes_of(values.map(|x| (x != 0.0) as u32)),
    }
}

fn bytes_of<T: bytemuck::NoUninit + Send>(values: impl IndexedParallelIterator<Item = T>) -> Vec<u8> {
    let values: Vec<T> = values.with_min_len(4096).collect();
    bytemuck::cast_slice(&values).to_vec()
}
