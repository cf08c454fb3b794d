//! Attention with projections, as transformers use it.

use crate::init::WeightInit;
use crate::{Layer, Linear, Scope};
use wgrad_graph::{Attention, DropWeights, Init, Tensor, fail};

/// Multi-head attention (Vaswani et al., 2017): projections to queries, keys and values, attention in each head, and a
/// projection of the heads' results together. As `torch.nn.MultiheadAttention` with `batch_first=True`: tensors are [batch,
/// length, size].
///
/// Parameters as in PyTorch: `in_proj_weight` [3 size, size] and `in_proj_bias` [3 size] (queries, keys, values one after
/// the other), `out_proj.weight` [size, size] and `out_proj.bias` `[size]`. Where keys or values have sizes of their own
/// ([`MultiheadAttention::key_size`]), `q_proj_weight`, `k_proj_weight` and `v_proj_weight` take the place of the first.
#[derive(Clone, Debug)]
pub struct MultiheadAttention {
    size: usize,
    heads: usize,
    dropout: f32,
    bias: bool,
    key_size: usize,
    value_size: usize,
    out_init: WeightInit,
}

impl MultiheadAttention {
    /// `heads` heads of `size / heads` each.
    pub fn new(size: usize, heads: usize) -> MultiheadAttention {
        let out_init = WeightInit::TorchDefault;
        MultiheadAttention { size, heads, dropout: 0.0, bias: true, key_size: size, value_size: size, out_init }
    }

    /// In training, drops weights with this probability.
    pub fn dropout(mut self, p: f32) -> Self {
        self.dropout = p;
        self
    }

    /// With or without biases.
    pub fn bias(mut self, bias: bool) -> Self {
        self.bias = bias;
        self
    }

    /// The size of what keys are made from, where it is another (`kdim`).
    pub fn key_size(mut self, size: usize) -> Self {
        self.key_size = size;
        self
    }

    /// The size of what values are made from, where it is another (`vdim`).
    pub fn value_size(mut self, size: usize) -> Self {
        self.value_size = size;
        self
    }

    /// What `out_proj.weight` starts as: a linear layer's default unless said otherwise. (`torch.nn.Transformer` makes it
    /// Xavier-uniform.)
    pub fn out_init(mut self, init: WeightInit) -> Self {
        self.out_init = init;
        self
    }

    /// Attention of `query` [batch, length_q, size] over `key` [batch, length_k, key_size] and `value` [batch, length_k,
    /// value_size]: [batch, length_q, size]. The options' scale, masks and bias go to [`Tensor::attention`]; their dropout is
    /// replaced by the layer's own.
    ///
    /// PyTorch's `key_padding_mask` is true where a key is hidden, [`Attention::mask`] where it is seen; its `attn_mask` of
    /// floats is [`Attention::bias`].
    ///
    /// # Panics
    /// With an error that names the layer, if shapes do not fit.
    #[track_caller]
    pub fn attend(&self, scope: &Scope, query: &Tensor, key: &Tensor, value: &Tensor, options: &Attention) -> Tensor {
        self.check(scope, query, key, value);
        let projected = self.project(scope, query, key, value);
        let mut options = Attention { dropout: None, ..options.clone() };
        if scope.is_train() && self.dropout > 0.0 {
            let (generator, stream) = scope.rng();
            options.dropout = Some(DropWeights { p: self.dropout, generator, stream });
        }
        let joined = match projected {
            Projected::Together(parts) => parts.self_attention(&options),
            Projected::Apart([q, k, v]) => q.attention(&k, &v, &options).permute(&[0, 2, 1, 3]),
        };
        let joined = joined.reshape(query.shape());
        // PyTorch starts this bias at 0, unlike a linear layer's.
        let out = Linear::new(self.size, self.size).bias(self.bias).bias_init(Init::Constant(0.0));
        let out = out.weight_init(self.out_init.clone());
        out.forward(&scope.enter("out_proj"), &joined)
    }

    /// The weights by which [`MultiheadAttention::attend`] sums up values, [batch, heads, length_q, length_k], without dropout:
    /// PyTorch's `need_weights=True, average_attn_weights=False`.
    ///
    /// # Panics
    /// With an error that names the layer, if shapes do not fit.
    #[track_caller]
    pub fn weights(&self, scope: &Scope, query: &Tensor, key: &Tensor, value: &Tensor, options: &Attention) -> Tensor {
        self.check(scope, query, key, value);
        let [q, k, _] = self.project(scope, query, key, value).apart();
        let [batch, heads, length, _] = k.dims();
        // Over the unit vectors as values, the weights themselves are the result.
        let same = Tensor::iota([length, length], 0).equal(&Tensor::iota([length, length], 1)).cast(q.dtype());
        let units = same.broadcast_to([batch, heads, length, length]);
        q.attention(&k, &units, &Attention { dropout: None, ..options.clone() })
    }

    #[track_caller]
    fn check(&self, scope: &Scope, query: &Tensor, key: &Tensor, value: &Tensor) {
        let name = scope.describe("MultiheadAttention");
        if self.heads == 0 || self.size % self.heads != 0 {
            fail(&name, format!("size {} is no multiple of {} heads", self.size, self.heads));
        }
        let given = [("query", query, self.size), ("key", key, self.key_size), ("value", value, self.value_size)];
        for (what, t, size) in given {
            if t.rank() != 3 || t.shape()[2] != size {
                fail(&name, format!("{what} is {:?}; [batch, length, {size}] expected", t.shape()));
            }
        }
        let (q, k, v) = (query.shape(), key.shape(), value.shape());
        if k[..2] != v[..2] || k[0] != q[0] {
            fail(&name, format!("query {q:?}, key {k:?} and value {v:?} differ in batch or length"));
        }
    }

    /// Queries, keys and values.
    #[track_caller]
    fn project(&self, scope: &Scope, query: &Tensor, key: &Tensor, value: &Tensor) -> Projected {
        let e = self.size;
        let given = [query, key, value];
        let bias = self.bias.then(|| scope.param("in_proj_bias", &[3 * e], Init::Constant(0.0)));
        let init = |shape: &[usize]| WeightInit::XavierUniform { gain: 1.0 }.init(shape);
        let weights: [Tensor; 3] = if self.key_size == e && self.value_size == e {
            let all = scope.param("in_proj_weight", &[3 * e, e], init(&[3 * e, e]));
            if query.id() == key.id() && key.id() == value.id() {
                // One product for all three.
                let [batch, length, _] = query.dims();
                let mut y = query.reshape([batch * length, e]).matmul(&all.transpose(0, 1));
                if let Some(b) = &bias {
                    y = y + b;
                }
                return Projected::Together(y.reshape([batch, length, 3, self.heads, e / self.heads]));
            }
            [0, 1, 2].map(|i| all.slice(0, i * e..(i + 1) * e))
        } else {
            let weight = |name: &str, size: usize| scope.param(name, &[e, size], init(&[e, size]));
            [
                weight("q_proj_weight", e),
                weight("k_proj_weight", self.key_size),
                weight("v_proj_weight", self.value_size),
            ]
        };
        Projected::Apart([0, 1, 2].map(|i| {
            let [batch, length, size] = given[i].dims();
            let mut y = given[i].reshape([batch * length, size]).matmul(&weights[i].transpose(0, 1));
            if let Some(b) = &bias {
                y = y + b.slice(0, i * e..(i + 1) * e);
            }
            y.reshape([batch, length, self.heads, e / self.heads]).permute(&[0, 2, 1, 3])
        }))
    }
}

/// Queries, keys and values: as one product made them, [batch, length, 3, heads, size / heads], or each by itself, [batch, heads,
/// length, size / heads].
enum Projected {
    Together(Tensor),
    Apart([Tensor; 3]),
}

impl Projected {
    fn apart(self) -> [Tensor; 3] {
        match self {
            Projected::Together(x) => [0, 1, 2].map(|i| {
                let [batch, length, _, heads, size] = x.dims();
                x.slice(2, i..i + 1).reshape([batch, length, heads, size]).permute(&[0, 2, 1, 3])
            }),
            Projected::Apart(parts) => parts,
        }
    }
}

impl Layer for MultiheadAttention {
    /// Attention of `x` over itself, every place over all.
    #[track_caller]
    fn forward(&self, scope: &Scope, x: &Tensor) -> Tensor {
        self.attend(scope, x, x, x, &Attention::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;
    use wgrad_graph::{Array, DType, checked, reference::evaluate};

    #[test]
    fn parameters_are_named_as_in_pytorch() {
        let x = Tensor::input("x", [2, 5, 6], DType::F32);
        let scope = Scope::train();
        assert_eq!(MultiheadAttention::new(6, 3).forward(&scope, &x).shape(), [2, 5, 6]);
        let names = |scope: &Scope| {
            let all = scope.params();
            all.iter().map(|p| format!("{} {:?}", p.name().unwrap(), p.shape())).collect::<Vec<_>>()
        };
        let mut found = names(&scope);
        found.sort();
        assert_eq!(
            found,
            ["in_proj_bias [18]", "in_proj_weight [18, 6]", "out_proj.bias [6]", "out_proj.weight [6, 6]"]
        );
        let scope = Scope::eval();
        let memory = Tensor::input("memory", [2, 7, 4], DType::F32);
        let layer = MultiheadAttention::new(6, 2).key_size(4).value_size(4).bias(false).dropout(0.5);
        layer.attend(&scope, &x, &memory, &memory, &Attention::default());
        assert_eq!(names(&scope).len(), 4);
    }

    /// Applied to the values, the weights give what attention gives.
    #[test]
    fn weights_are_those_of_attention() {
        let x = Tensor::input("x", [2, 5, 6], DType::F32);
        let mask = Tensor::input("mask", [2, 5], DType::U32);
        let options = Attention { mask: Some(mask), causal: true, ..Attention::default() };
        let (scope, layer) = (Scope::eval(), MultiheadAttention::new(6, 2));
        let expected = layer.attend(&scope, &x, &x, &x, &options);
        let weights = layer.weights(&scope, &x, &x, &x, &options);
        assert_eq!(weights.shape(), [2, 2, 5, 5]);
        let [.., v] = layer.project(&scope, &x, &x, &x).apart();
        let joined = weights.matmul(&v).permute(&[0, 2, 1, 3]).reshape([2, 5, 6]);
        let got = Linear::new(6, 6).forward(&scope.enter("out_proj"), &joined);

        let numbers = |shape: &[usize], seed: usize| {
            let n = shape.iter().product::<usize>();
            Array::new(shape, (0..n).map(|i| ((i * 37 + seed * 11) % 23) as f64 / 23.0 - 0.4).collect())
        };
        let mut leaves = HashMap::from([("x".to_string(), numbers(&[2, 5, 6], 0))]);
        leaves.insert("mask".into(), Array::new([2, 5], vec![1., 1., 1., 0., 0., 1., 1., 0., 1., 1.]));
        let params = scope.params();
        leaves.extend(params.iter().enumerate().map(|(i, p)| (p.name().unwrap().into(), numbers(p.shape(), i + 1))));
        let values = evaluate(&[&got, &expected, &weights], &leaves);
        let near = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-12);
        assert!(near(&values[0].data, &values[1].data));
        let sums: Vec<f64> = values[2].data.chunks(5).map(|row| row.iter().sum()).collect();
        assert!(near(&sums, &[1.0; 20]), "{sums:?}");
    }

    #[test]
    fn errors_name_the_layer_and_the_callers_file() {
        let x = Tensor::input("x", [2, 5, 6], DType::F32);
        let other = Tensor::input("other", [3, 5, 6], DType::F32);
        let text = |r: Result<Tensor, wgrad_graph::ShapeError>| r.unwrap_err().to_string();
        let scope = Scope::train().enter("attn");
        let options = Attention::default();
        for (error, part) in [
            (text(checked(|| MultiheadAttention::new(6, 4).forward(&scope, &x))), "no multiple of 4 heads"),
            (text(checked(|| MultiheadAttention::new(8, 4).forward(&scope, &x))), "query is [2, 5, 6]"),
            (text(checked(|| MultiheadAttention::new(6, 2).attend(&scope, &x, &other, &other, &options))), "differ"),
        ] {
            assert!(error.starts_with("MultiheadAttention \"attn\"") && error.contains(part), "{error}");
            assert!(error.contains("attention.rs"), "{error}");
        }
    }
}
