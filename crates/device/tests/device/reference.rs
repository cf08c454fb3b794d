//! What each kernel ought to compute, said as plainly as can be.

use crate::sample::{Sample, Work, indices};
use half::f16;
use wgrad_device::kernels::{Contraction, ReduceOp, RowOutput, Rows};
use wgrad_device::{Binary, DType, Expr, ExprId, ExprNode, Unary};

/// A value: a float, or the value of an integer or bool.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    F(f64),
    I(i64),
}

impl Value {
    pub fn f(self) -> f64 {
        match self {
            Value::F(x) => x,
            Value::I(x) => panic!("{x} is not a float"),
        }
    }
    pub fn i(self) -> i64 {
        match self {
            Value::I(x) => x,
            Value::F(x) => panic!("{x} is not an integer"),
        }
    }
    fn zero(dtype: DType) -> Value {
        if dtype.is_float() { Value::F(0.0) } else { Value::I(0) }
    }
    /// As the type holds it: floats rounded, integers wrapped.
    fn held(self, dtype: DType) -> Value {
        match (self, dtype) {
            (Value::F(x), DType::F16) => Value::F(f16::from_f64(x).to_f64()),
            (Value::F(x), _) => Value::F(x as f32 as f64),
            (Value::I(x), DType::U32) => Value::I(x as u32 as i64),
            (Value::I(x), DType::I32) => Value::I(x as i32 as i64),
            (Value::I(x), _) => Value::I((x != 0) as i64),
        }
    }
}

/// The elements in `bytes`.
pub fn decode(bytes: &[u8], dtype: DType) -> Vec<Value> {
    let word = |b: &[u8]| u32::from_le_bytes(b.try_into().unwrap());
    match dtype {
        DType::F16 => bytes.chunks(2).map(|b| Value::F(f16::from_le_bytes(b.try_into().unwrap()).to_f64())).collect(),
        DType::F32 => bytes.chunks(4).map(|b| Value::F(f32::from_bits(word(b)) as f64)).collect(),
        DType::I32 => bytes.chunks(4).map(|b| Value::I(word(b) as i32 as i64)).collect(),
        _ => bytes.chunks(4).map(|b| Value::I(word(b) as i64)).collect(),
    }
}

/// The values of all nodes at `index`. `sum` is what a contraction has formed.
pub fn eval(expr: &Expr, index: &[usize], inputs: &[Vec<Value>], types: &[DType], sum: f64) -> Vec<Value> {
    eval_in_row(expr, index, inputs, types, sum, &[])
}

/// As [`eval`], in a row of which this has been folded; of what is not known yet, 0.
fn eval_in_row(
    expr: &Expr,
    index: &[usize],
    inputs: &[Vec<Value>],
    types: &[DType],
    sum: f64,
    folded: &[Value],
) -> Vec<Value> {
    let mut values: Vec<Value> = vec![];
    for (node, &dtype) in expr.nodes.iter().zip(&expr.dtypes) {
        let v = |id: &ExprId| values[*id];
        let value = match node {
            ExprNode::Const(bits) if dtype.is_float() => Value::F(f32::from_bits(*bits) as f64),
            ExprNode::Const(bits) => Value::I(*bits as i64),
            ExprNode::Load { input, access } => match access.at(index) {
                Some(p) => inputs[*input][p],
                None => Value::zero(types[*input]),
            },
            ExprNode::LoadAt { input, index, len } => match v(index).i() as usize {
                p if p < *len => inputs[*input][p],
                _ => Value::zero(types[*input]),
            },
            ExprNode::Index(affine) => Value::I(affine.at(index)),
            ExprNode::Mask(coords) => Value::I(coords.iter().all(|c| c.at(index).is_some()) as i64),
            ExprNode::Unary(op, a) => unary(*op, v(a)),
            ExprNode::Binary(op, a, b) => binary(*op, v(a), v(b), expr.dtypes[*a]),
            ExprNode::Select(c, a, b) => {
                if v(c).i() != 0 {
                    v(a)
                } else {
                    v(b)
                }
            }
            ExprNode::Cast(a) => cast(v(a), dtype),
            ExprNode::Bitcast(a) => bitcast(v(a), dtype),
            ExprNode::Philox { args, lane } => {
                let [k0, k1, c0, c1, c2] = args.map(|a| values[a].i() as u32);
                Value::I(philox([c0, c1, c2, 0], [k0, k1])[*lane as usize] as i64)
            }
            ExprNode::Accumulator => Value::F(sum),
            ExprNode::Folded(f) => folded.get(*f).copied().unwrap_or(Value::zero(dtype)),
        };
        values.push(value.held(dtype));
    }
    values
}

fn unary(op: Unary, x: Value) -> Value {
    let x = match x {
        Value::F(x) => x,
        Value::I(x) => {
            return Value::I(match op {
                Unary::Neg => -x,
                Unary::Abs => x.abs(),
                Unary::Not => (x == 0) as i64,
                Unary::Floor | Unary::Ceil | Unary::Round => x,
                _ => panic!("{op:?} of an integer"),
            });
        }
    };
    Value::F(match op {
        Unary::Neg => -x,
        Unary::Abs => x.abs(),
        Unary::Exp => x.exp(),
        Unary::Log => x.ln(),
        Unary::Sqrt => x.sqrt(),
        Unary::Recip => 1.0 / x,
        Unary::Sin => x.sin(),
        Unary::Cos => x.cos(),
        Unary::Tanh => x.tanh(),
        Unary::Expm1 => x.exp_m1(),
        Unary::Log1p => x.ln_1p(),
        Unary::Atan => x.atan(),
        Unary::Erf => wgrad_device::special::erf(x),
        Unary::ErfInv => wgrad_device::special::erfinv(x),
        Unary::Floor => x.floor(),
        Unary::Ceil => x.ceil(),
        Unary::Round => x.round_ties_even(),
        Unary::IsFinite => return Value::I(x.is_finite() as i64),
        Unary::Not => panic!("not of a float"),
    })
}

fn binary(op: Binary, x: Value, y: Value, dtype: DType) -> Value {
    let truth = |b: bool| Value::I(b as i64);
    match (x, y) {
        (Value::F(x), Value::F(y)) => Value::F(match op {
            Binary::Add => x + y,
            Binary::Sub => x - y,
            Binary::Mul => x * y,
            Binary::Div => x / y,
            Binary::Rem => x % y,
            Binary::Min => x.min(y),
            Binary::Max => x.max(y),
            Binary::Pow => x.powf(y),
            Binary::Lt => return truth(x < y),
            Binary::Le => return truth(x <= y),
            Binary::Eq => return truth(x == y),
            Binary::Ne => return truth(x != y),
            _ => panic!("{op:?} of floats"),
        }),
        (Value::I(x), Value::I(y)) => match op {
            Binary::Lt => truth(x < y),
            Binary::Le => truth(x <= y),
            Binary::Eq => truth(x == y),
            Binary::Ne => truth(x != y),
            Binary::Add => Value::I(x + y),
            Binary::Sub if dtype == DType::Bool => truth(x != y),
            Binary::Sub => Value::I(x - y),
            Binary::Mul => Value::I(x * y),
            Binary::Div => Value::I(x / y),
            Binary::Rem => Value::I(x % y),
            Binary::Min => Value::I(x.min(y)),
            Binary::Max => Value::I(x.max(y)),
            Binary::And => Value::I(x & y),
            Binary::Or => Value::I(x | y),
            Binary::Xor => Value::I(x ^ y),
            Binary::Shl => Value::I(((x as u32) << y) as i64),
            Binary::Shr => Value::I(((x as u32) >> y) as i64),
            Binary::Pow => panic!("a power of integers"),
        },
        _ => panic!("{op:?} of different types"),
    }
}

fn cast(x: Value, to: DType) -> Value {
    match (x, to) {
        (Value::F(x), DType::U32) => Value::I(x as u32 as i64),
        (Value::F(x), DType::I32) => Value::I(x as i32 as i64),
        (Value::F(x), DType::Bool) => Value::I((x != 0.0) as i64),
        (Value::I(x), DType::F32 | DType::F16) => Value::F(x as f64),
        (x, _) => x,
    }
}

fn bitcast(x: Value, to: DType) -> Value {
    let bits = match x {
        Value::F(x) => (x as f32).to_bits(),
        Value::I(x) => x as u32,
    };
    match to {
        DType::F32 => Value::F(f32::from_bits(bits) as f64),
        DType::I32 => Value::I(bits as i32 as i64),
        _ => Value::I(bits as i64),
    }
}

/// Philox4x32-10 as its paper gives it.
pub fn philox(mut c: [u32; 4], mut k: [u32; 2]) -> [u32; 4] {
    for _ in 0..10 {
        let (p0, p1) = (0xD2511F53u64 * c[0] as u64, 0xCD9E8D57u64 * c[2] as u64);
        c = [(p1 >> 32) as u32 ^ c[1] ^ k[0], p1 as u32, (p0 >> 32) as u32 ^ c[3] ^ k[1], p0 as u32];
        k = [k[0].wrapping_add(0x9E3779B9), k[1].wrapping_add(0xBB67AE85)];
    }
    c
}

/// The outputs of a sample.
pub fn outputs(sample: &Sample, inputs: &[Vec<u8>]) -> Vec<Vec<Value>> {
    let types = sample.input_types();
    let inputs: Vec<Vec<Value>> = inputs.iter().zip(&types).map(|(bytes, &t)| decode(bytes, t)).collect();
    match &sample.work {
        Work::Map(map) => {
            let mut outputs = vec![vec![]; map.outputs.len()];
            for index in indices(&map.domain) {
                let values = eval(&map.expr, &index, &inputs, &types, 0.0);
                for (out, &node) in outputs.iter_mut().zip(&map.outputs) {
                    out.push(values[node]);
                }
            }
            outputs
        }
        Work::Reduce(reduce) => {
            let mut outputs = vec![vec![]; reduce.outputs.len()];
            for kept in indices(&reduce.keep) {
                let rows: Vec<Vec<Value>> = indices(&reduce.reduce)
                    .map(|r| eval(&reduce.expr, &[&kept[..], &r].concat(), &inputs, &types, 0.0))
                    .collect();
                for (o, out) in outputs.iter_mut().enumerate() {
                    let r = reduce.outputs[o];
                    let column: Vec<Value> = rows.iter().map(|row| row[r.node]).collect();
                    out.push(fold(r.op, &column, reduce.expr.dtypes[r.node]));
                }
            }
            outputs
        }
        Work::Rows(r) => rows(r, &inputs, &types),
        Work::Contraction(c) => contraction(c, &inputs, &types),
    }
}

/// One fold after another, each with the whole row; samples list folds in the order in which they need each other.
fn rows(r: &Rows, inputs: &[Vec<Value>], types: &[DType]) -> Vec<Vec<Value>> {
    let mut outputs = vec![vec![]; r.outputs.len()];
    for kept in indices(&r.keep) {
        let row = |folded: &[Value]| -> Vec<Vec<Value>> {
            let at = |i: Vec<usize>| eval_in_row(&r.expr, &[&kept[..], &i].concat(), inputs, types, 0.0, folded);
            indices(&r.row).map(at).collect()
        };
        let mut folded = vec![];
        for f in &r.folds {
            let column: Vec<Value> = row(&folded).iter().map(|values| values[f.node]).collect();
            folded.push(fold(f.op, &column, r.expr.dtypes[f.node]));
        }
        let values = row(&folded);
        for (out, output) in outputs.iter_mut().zip(&r.outputs) {
            match *output {
                RowOutput::Each(node) => out.extend(values.iter().map(|v| v[node])),
                RowOutput::Once(node) => out.push(values[0][node]),
            }
        }
    }
    outputs
}

fn fold(op: ReduceOp, column: &[Value], dtype: DType) -> Value {
    if dtype.is_float() {
        let values = || column.iter().map(|v| v.f());
        // f64 has room to see which of equal values stands first.
        let best = |sign: f64| {
            let top = values().map(|x| x * sign).fold(f64::NEG_INFINITY, f64::max);
            values().position(|x| x * sign == top).unwrap_or(0)
        };
        let limit = if dtype == DType::F16 { 65504.0 } else { f32::MAX as f64 };
        return match op {
            ReduceOp::Sum => Value::F(values().sum()).held(dtype),
            ReduceOp::Prod => Value::F(values().product()).held(dtype),
            ReduceOp::Max => Value::F(values().fold(-limit, f64::max)),
            ReduceOp::Min => Value::F(values().fold(limit, f64::min)),
            ReduceOp::ArgMax => Value::I(best(1.0) as i64),
            ReduceOp::ArgMin => Value::I(best(-1.0) as i64),
            ReduceOp::SquaredDeviations => {
                let mean = values().sum::<f64>() / column.len().max(1) as f64;
                Value::F(values().map(|x| (x - mean).powi(2)).sum()).held(dtype)
            }
        };
    }
    let values = || column.iter().map(|v| v.i());
    let (least, most) = match dtype {
        DType::U32 => (0, u32::MAX as i64),
        DType::I32 => (i32::MIN as i64, i32::MAX as i64),
        _ => (0, 1),
    };
    let at =
        |wanted: Option<i64>| wanted.map_or(Value::I(0), |w| Value::I(values().position(|x| x == w).unwrap() as i64));
    Value::I(match op {
        ReduceOp::Sum => values().sum(),
        ReduceOp::Prod => values().fold(1, |a, b| Value::I(a * b).held(dtype).i()),
        ReduceOp::Max => values().max().unwrap_or(least),
        ReduceOp::Min => values().min().unwrap_or(most),
        ReduceOp::ArgMax => return at(values().max()),
        ReduceOp::ArgMin => return at(values().min()),
        ReduceOp::SquaredDeviations => unreachable!("of floats only"),
    })
    .held(dtype)
}

fn contraction(c: &Contraction, inputs: &[Vec<Value>], types: &[DType]) -> Vec<Vec<Value>> {
    let (b, m, n, _) = c.sizes();
    let stored = c.outputs();
    let mut outputs = vec![vec![Value::F(f64::NAN); b * m * n]; stored.len()];
    for bi in indices(&c.batch) {
        for mi in indices(&c.m) {
            for ni in indices(&c.n) {
                let read = |i: usize, at: Option<usize>| at.map_or(0.0, |p| inputs[i][p].f());
                let mut sum = 0.0;
                for ki in indices(&c.k) {
                    let a = read(0, c.a.at(&[&bi[..], &mi, &ki].concat()));
                    let b = read(1, c.b.at(&[&bi[..], &ki, &ni].concat()));
                    sum += a * b;
                }
                let index = [&bi[..], &mi, &ni].concat();
                let mut values = vec![sum];
                if let Some(e) = &c.epilogue {
                    let all = eval(&e.expr, &index, &inputs[2..], &types[2..], sum);
                    values = e.outputs.iter().map(|&o| all[o].f()).collect();
                }
                for (out, (&value, &dtype)) in outputs.iter_mut().zip(values.iter().zip(&stored)) {
                    out[c.c.at(&index) as usize] = Value::F(value).held(dtype);
                }
            }
        }
    }
    outputs
}

#[test]
fn philox_known_answers() {
    // From Random123's kat_vectors.
    assert_eq!(philox([0; 4], [0; 2]), [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]);
    assert_eq!(philox([u32::MAX; 4], [u32::MAX; 2]), [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd]);
}
