//! Generation with the keys and values of earlier tokens kept.

use super::{Attend, Gpt, Sampler, check_tokens};
use std::cell::RefCell;
use std::collections::BTreeMap;
use wgrad_graph::{Attention, DType, Data, Device, Error, Init, Program, State, Tensor, Updates};
use wgrad_nn::Scope;

/// Writes on where a text stops. What the blocks know of earlier tokens, their keys and values, stays on the device as state
/// tensors `cache.<block>.key` and `cache.<block>.value` [1, heads, context, width / heads]: a token costs one token's work,
/// not a text's.
///
/// Two kinds of programs work over one state with the model's parameters, which may be the one it was trained in: one that
/// reads a prompt at once, compiled for a few lengths as they are needed, and one for a single token.
pub struct Generator {
    device: Device,
    model: Gpt,
    prompts: BTreeMap<usize, Program>,
    step: Program,
    /// The tokens whose keys and values are kept.
    known: Vec<u32>,
}

impl Generator {
    /// A generator that runs on `device`.
    ///
    /// # Errors
    /// If memory does not suffice.
    pub fn new(device: &Device, model: &Gpt) -> Result<Generator, Error> {
        let (logits, updates) = one_token(model);
        let step = Program::compile(device, &[&logits], &updates)?;
        Ok(Generator { device: device.clone(), model: model.clone(), prompts: BTreeMap::new(), step, known: vec![] })
    }

    /// A state of the model's parameters and the cache alone: for weights that are read from a file.
    ///
    /// # Errors
    /// If memory does not suffice.
    pub fn state(&self, seed: u64) -> Result<State, Error> {
        State::init(&self.device, &self.step, seed)
    }

    /// Forgets everything and reads a prompt: the logits of what comes next. Of a prompt longer than the context only the end
    /// is read. `state` has the model's parameters; the cache is added to it.
    ///
    /// # Errors
    /// If the prompt is empty or has a number that is no token, a tensor of the state has another shape than the model's, or
    /// the device fails.
    pub fn read(&mut self, state: &mut State, prompt: &[u32]) -> Result<Vec<f32>, Error> {
        let tokens = &prompt[prompt.len().saturating_sub(self.model.context)..];
        self.check(tokens)?;
        let Some(last) = tokens.len().checked_sub(1) else {
            return Err(Error::Input { name: "prompt".into(), reason: "it has no tokens".into() });
        };
        // A few lengths serve all: what comes after the prompt is not seen by it, and is written over later.
        let length = tokens.len().next_power_of_two().min(self.model.context);
        if !self.prompts.contains_key(&length) {
            let (logits, updates) = whole_prompt(&self.model, length);
            self.prompts.insert(length, Program::compile(&self.device, &[&logits], &updates)?);
        }
        let program = &self.prompts[&length];
        state.add(program)?;
        let mut padded = tokens.to_vec();
        padded.resize(length, 0);
        let inputs = [("tokens", Data::from(&padded)), ("last", Data::U32(&[last as u32]))];
        let logits = program.run(state, &inputs)?.f32(0)?;
        self.known = tokens.to_vec();
        Ok(logits)
    }

    /// Reads one more token: the logits of what comes next. When the context is full, the older half of it is forgotten and
    /// the rest read again, since places are counted from its beginning.
    ///
    /// # Errors
    /// If the number is no token, `state` is not the one of the last [`Generator::read`], or the device fails.
    pub fn push(&mut self, state: &mut State, token: u32) -> Result<Vec<f32>, Error> {
        self.check(&[token])?;
        let place = self.known.len();
        if place == 0 || place == self.model.context {
            let mut rest = self.known.split_off(place.div_ceil(2));
            rest.push(token);
            return self.read(state, &rest);
        }
        let inputs = [("token", Data::U32(&[token])), ("place", Data::U32(&[place as u32]))];
        let logits = self.step.run(state, &inputs)?.f32(0)?;
        self.known.push(token);
        Ok(logits)
    }

    /// `count` tokens that follow the prompt, or fewer if `each`, which gets every token as it is drawn, gives false.
    ///
    /// # Errors
    /// As [`Generator::read`].
    pub fn generate(
        &mut self,
        state: &mut State,
        prompt: &[u32],
        count: usize,
        sampler: &mut Sampler,
        mut each: impl FnMut(u32) -> bool,
    ) -> Result<Vec<u32>, Error> {
        let mut logits = self.read(state, prompt)?;
        let mut text = Vec::with_capacity(count);
        for left in (0..count).rev() {
            let token = sampler.draw(&logits);
            text.push(token);
            if !each(token) || left == 0 {
                break;
            }
            logits = self.push(state, token)?;
        }
        Ok(text)
    }

    fn check(&self, tokens: &[u32]) -> Result<(), Error> {
        let limit = self.model.vocabulary;
        match tokens.iter().find(|&&t| t as usize >= limit) {
            Some(t) => {
                Err(Error::Input { name: "prompt".into(), reason: format!("{t} is no token; there are {limit}") })
            }
            None => Ok(()),
        }
    }
}

/// Queries, keys and values [N, heads, length, width / heads] of what stands side by side.
fn by_head(parts: &Tensor) -> [Tensor; 3] {
    let [batch, length, _, heads, size] = parts.dims();
    [0, 1, 2].map(|i| parts.slice(2, i..i + 1).reshape([batch, length, heads, size]).permute(&[0, 2, 1, 3]))
}

/// Keys and values of a block's earlier tokens.
fn cache(model: &Gpt, layer: usize) -> [Tensor; 2] {
    let shape = [1, model.heads, model.context, model.width / model.heads];
    ["key", "value"].map(|name| Tensor::state(format!("cache.{layer}.{name}"), shape, DType::F32, Init::Constant(0.0)))
}

/// The logits after `last` of `length` tokens, and the cache filled with all of them.
fn whole_prompt(model: &Gpt, length: usize) -> (Tensor, Updates) {
    let scope = Scope::eval();
    let tokens = Tensor::input("tokens", [1, length], DType::U32);
    let last = Tensor::input("last", [1], DType::U32);
    check_tokens(&scope, &tokens, model.context);
    let updates = RefCell::new(Updates::new());
    let attend = |scope: &Scope, layer: usize, parts: &Tensor| {
        let [_, k, v] = by_head(parts);
        for (state, new) in cache(model, layer).iter().zip([k, v]) {
            updates.borrow_mut().assign(state, &new.pad(2, 0, model.context - length, 0.0));
        }
        model.attend_causally(scope, parts)
    };
    let x = model.hidden(&scope, &tokens, &Tensor::iota([length], 0), &attend as &Attend);
    let logits = model.head(&scope, &x.reshape([length, model.width]).index_select(0, &last));
    (logits.reshape([model.vocabulary]), updates.into_inner())
}

/// The logits after one token at `place`, and the cache with it.
fn one_token(model: &Gpt) -> (Tensor, Updates) {
    let scope = Scope::eval();
    let token = Tensor::input("token", [1, 1], DType::U32);
    let place = Tensor::input("place", [1], DType::U32);
    let updates = RefCell::new(Updates::new());
    let seen = &place + &Tensor::scalar(1u32);
    let attend = |_: &Scope, layer: usize, parts: &Tensor| {
        let [q, k, v] = by_head(parts);
        let [keys, values] = cache(model, layer);
        // Written in place: the new key or value at its place, what was there elsewhere.
        let here = Tensor::iota([1, 1, model.context, 1], 2).equal(&place.reshape([1, 1, 1, 1]));
        let [keys, values] = [(keys, k), (values, v)].map(|(state, new)| {
            let value = here.select(&new, &state);
            updates.borrow_mut().assign(&state, &value);
            value
        });
        let options = Attention { lengths: Some(seen.clone()), ..Attention::default() };
        q.attention(&keys, &values, &options).permute(&[0, 2, 1, 3])
    };
    let x = model.hidden(&scope, &token, &place, &attend as &Attend);
    (model.head(&scope, &x).reshape([model.vocabulary]), updates.into_inner())
}
