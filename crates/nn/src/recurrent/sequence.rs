//! A whole sequence through one cell, in one direction: a product and a pointwise kernel for each step, and a gradient with
//! one product for each weight.

use super::cell::{Cell, Product, Weights};
use super::scan::stack;
use wgrad_graph::{Tensor, vjp};

/// What a sequence is run through.
pub(super) struct Sequence<'a> {
    pub cell: Cell,
    pub weights: &'a Weights,
    /// [T, B, gates * hidden]: the products of the inputs.
    pub x: &'a Tensor,
    /// Each [B, hidden].
    pub initial: &'a [Tensor],
    /// u32 [B].
    pub lengths: Option<&'a Tensor>,
    /// Whether time runs backwards.
    pub reverse: bool,
}

/// What a sequence leaves.
pub(super) struct Ran {
    /// h of each time, [T, B, hidden]. Past a sequence's end it is the state at the end (or, backwards, the initial one).
    pub h: Tensor,
    /// The last states, each [B, hidden].
    pub last: Vec<Tensor>,
}

/// One step as it was built, for the gradient.
struct Taken {
    x: Tensor,
    before: Vec<Tensor>,
    after: Vec<Tensor>,
    products: Vec<Product>,
    peephole: Option<Tensor>,
}

impl Sequence<'_> {
    pub fn run(&self) -> Ran {
        let [time, batch, gates] = self.x.dims();
        let size = gates / self.cell.gates();
        let mut states = self.initial.to_vec();
        let mut taken: Vec<Taken> = vec![];
        let times: Vec<usize> = if self.reverse { (0..time).rev().collect() } else { (0..time).collect() };
        for &t in &times {
            let x = self.x.slice(0, t..t + 1).reshape([batch, gates]);
            // As a node of this step's own, so that its gradient is this step's.
            let peephole = self.weights.peephole.as_ref().map(|w| w.straight_through(w));
            let weights = Weights { peephole: peephole.clone(), ..self.weights.clone() };
            let step = self.cell.step(&x, &states, &weights);
            // Past the end of its sequence a row keeps its state.
            let after: Vec<Tensor> = match self.lengths {
                None => step.states,
                Some(lengths) => {
                    let runs = lengths.gt(&Tensor::scalar(t as u32)).reshape([batch, 1]);
                    step.states.iter().zip(&states).map(|(new, old)| runs.select(new, old)).collect()
                }
            };
            taken.push(Taken { x, before: states, after: after.clone(), products: step.products, peephole });
            states = after;
        }
        // Everything that is wanted as one tensor, so that it has one gradient: h of all times, in order, and the other
        // last states.
        let mut parts: Vec<Tensor> = taken.iter().map(|s| s.after[0].clone()).collect();
        if self.reverse {
            parts.reverse();
        }
        parts.extend(states[1..].iter().cloned());
        let value = stack(&parts);

        let mut arguments = vec![self.x];
        arguments.extend(self.weights.list());
        arguments.extend(self.initial);
        let rule = Rule { taken, times, weights: self.weights.clone(), states: self.initial.len() };
        let all = value.with_gradient(&arguments, move |value, arguments, g| rule.gradients(value, arguments, g));
        let h = all.slice(0, 0..time);
        let at = |t: usize| all.slice(0, t..t + 1).reshape([batch, size]);
        let last = std::iter::once(at(if self.reverse { 0 } else { time - 1 }));
        Ran { h, last: last.chain((1..states.len()).map(|s| at(time + s - 1))).collect() }
    }
}

struct Rule {
    /// In the order in which they were taken.
    taken: Vec<Taken>,
    /// The time of each.
    times: Vec<usize>,
    weights: Weights,
    states: usize,
}

impl Rule {
    /// Back through the steps. `value` and `g` are [T + states - 1, B, hidden]; gradients are in the order of the arguments: x, weights,
    /// initial states.
    fn gradients(&self, value: &Tensor, arguments: &[Tensor], g: &Tensor) -> Vec<Option<Tensor>> {
        let [_, batch, size] = g.dims();
        let time = self.times.len();
        let given = |i: usize| g.slice(0, i..i + 1).reshape([batch, size]);
        // What arrives at the states after a step, from later ones.
        let mut d_states: Vec<Option<Tensor>> =
            (0..self.states).map(|s| (s > 0).then(|| given(time + s - 1))).collect();
        let mut d_x: Vec<Option<Tensor>> = vec![None; time];
        let mut d_products: Vec<Vec<Option<Tensor>>> =
            self.taken[0].products.iter().map(|_| vec![None; time]).collect();
        let mut d_peephole: Option<Tensor> = None;
        for (step, &t) in self.taken.iter().zip(&self.times).rev() {
            let mut seeds: Vec<Tensor> = vec![];
            for (s, d) in d_states.iter().enumerate() {
                let own = (s == 0).then(|| given(t));
                let sum = match (d, own) {
                    (Some(d), Some(own)) => d + own,
                    (Some(d), None) => d.clone(),
                    (None, own) => own.expect("h has a gradient of its own"),
                };
                seeds.push(sum);
            }
            let mut wrt: Vec<&Tensor> = vec![&step.x];
            wrt.extend(&step.before);
            wrt.extend(step.products.iter().map(|p| &p.value));
            wrt.extend(&step.peephole);
            let mut all =
                vjp(&step.after.iter().collect::<Vec<_>>(), &wrt, &seeds.iter().collect::<Vec<_>>()).into_iter();
            let mut next = || all.next().expect("one for each");
            d_x[t] = Some(next());
            d_states.iter_mut().for_each(|d| *d = Some(next()));
            d_products.iter_mut().for_each(|d| d[t] = Some(next()));
            if self.weights.peephole.is_some() {
                let d = next();
                d_peephole = Some(d_peephole.map_or(d.clone(), |sum| sum + d));
            }
        }
        let whole =
            |parts: Vec<Option<Tensor>>| stack(&parts.into_iter().map(|p| p.expect("every step")).collect::<Vec<_>>());
        let mut weights = vec![];
        let mut biases = vec![];
        for (k, parts) in d_products.into_iter().enumerate() {
            let d = whole(parts);
            let rows = time * batch;
            let n = d.shape()[2];
            // All steps' products in one: their operands and gradients one below the other.
            weights.push(
                d.reshape([rows, n]).transpose(0, 1).matmul(&self.operands(k, value, arguments).reshape([rows, size])),
            );
            biases.push(d.sum(&[0, 1]));
        }
        let joined = |parts: &[Tensor]| match parts {
            [one] => one.clone(),
            many => Tensor::concat(&many.iter().collect::<Vec<_>>(), 0),
        };
        let mut result = vec![Some(whole(d_x)), Some(joined(&weights))];
        if self.weights.bias.is_some() {
            result.push(Some(joined(&biases)));
        }
        if self.weights.peephole.is_some() {
            result.push(d_peephole);
        }
        result.extend(d_states);
        result
    }

    /// What product `k` of each time multiplies: [T, B, hidden].
    fn operands(&self, k: usize, value: &Tensor, arguments: &[Tensor]) -> Tensor {
        let time = self.times.len();
        let direct = self.taken.iter().all(|s| s.products[k].operand.id() == s.before[0].id());
        if !direct {
            let mut parts: Vec<Tensor> = self.taken.iter().map(|s| s.products[k].operand.clone()).collect();
            if self.times[0] > self.times[time - 1] {
                parts.reverse();
            }
            return stack(&parts);
        }
        // h before each step: the results shifted by one.
        let first = arguments[arguments.len() - self.states].unsqueeze(0);
        if time == 1 {
            return first;
        }
        if self.times[0] == 0 {
            Tensor::concat(&[&first, &value.slice(0, 0..time - 1)], 0)
        } else {
            Tensor::concat(&[&value.slice(0, 1..time), &first], 0)
        }
    }
}
