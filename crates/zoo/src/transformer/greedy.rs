//! Writing a target token by token, each time the likeliest.

use super::Transformer;
use wgrad_graph::{DType, Data, Device, Error, Init, Program, State, Tensor, Updates};
use wgrad_nn::Scope;

/// Decodes greedily: for each place the token that the model finds likeliest after those before it.
///
/// The encoder runs once for a batch; what it makes stays on the device, as a state tensor `greedy.memory.<batch>x<source length>`. Then the
/// decoder runs once for each place.
pub struct Greedy {
    encode: Program,
    decode: Program,
    batch: usize,
    source_length: usize,
    length: usize,
    /// Whether the decoder looks at the source itself, to tell padding.
    sees_source: bool,
}

impl Greedy {
    /// For batches of `batch` sources of `source_length` tokens, and targets of at most `length` tokens, the first included.
    ///
    /// # Errors
    /// If memory does not suffice.
    ///
    /// # Panics
    /// If the model's options do not fit each other ([`Transformer::check`]).
    #[track_caller]
    pub fn new(
        device: &Device,
        model: &Transformer,
        batch: usize,
        source_length: usize,
        length: usize,
    ) -> Result<Greedy, Error> {
        let scope = Scope::eval();
        let source = Tensor::input("source", [batch, source_length], DType::U32);
        let target = Tensor::input("target", [batch, length], DType::U32);
        let place = Tensor::input("place", [1], DType::U32);
        let shape = [batch, source_length, model.width];
        let name = format!("greedy.memory.{batch}x{source_length}");
        let memory = Tensor::state(name, shape, DType::F32, Init::Constant(0.0));
        let mut updates = Updates::new();
        updates.assign(&memory, &model.encode(&scope, &source));
        let encode = Program::compile(device, &[], &updates)?;
        let logits = model.decode(&scope, &target, &memory, &source);
        let next = logits.index_select(1, &place).argmax(&[2]).reshape([batch]);
        let decode = Program::compile(device, &[&next], &Updates::new())?;
        let sees_source = decode.input_shapes().any(|(name, ..)| name == "source");
        Ok(Greedy { encode, decode, batch, source_length, length, sees_source })
    }

    /// The targets for `source` [batch, source_length], row-major, each beginning with the token `start`: [batch, length].
    /// Those that have written `end` go on with it. `state` has the model's parameters.
    ///
    /// # Errors
    /// If `source` has another size, a number in it is no token, or the device fails.
    pub fn run(&self, state: &mut State, source: &[u32], start: u32, end: Option<u32>) -> Result<Vec<u32>, Error> {
        if source.len() != self.batch * self.source_length {
            let wanted = [self.batch, self.source_length];
            let reason = format!("{wanted:?} expected, but {} tokens are given", source.len());
            return Err(Error::Input { name: "source".into(), reason });
        }
        state.add(&self.encode)?;
        state.add(&self.decode)?;
        self.encode.run(state, &[("source", Data::from(source))])?;
        // What stands after a place is not seen from it, so it may be anything.
        let mut target = vec![start; self.batch * self.length];
        let mut ended = vec![false; self.batch];
        for place in 1..self.length {
            let before = [place as u32 - 1];
            let mut inputs = vec![("target", Data::from(&target)), ("place", Data::from(&before[..]))];
            if self.sees_source {
                inputs.push(("source", Data::from(source)));
            }
            let next = self.decode.run(state, &inputs)?.u32(0)?;
            for (i, token) in next.into_iter().enumerate() {
                let token = end.filter(|_| ended[i]).unwrap_or(token);
                ended[i] = end == Some(token);
                target[i * self.length + place] = token;
            }
            if ended.iter().all(|&e| e) {
                for row in target.chunks_exact_mut(self.length) {
                    row[place..].fill(end.unwrap_or(start));
                }
                break;
            }
        }
        Ok(target)
    }
}
