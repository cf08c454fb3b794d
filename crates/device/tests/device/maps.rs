//! Sample maps.

use crate::sample::{Sample, Work};
use DType::*;
use wgrad_device::kernels::Map;
use wgrad_device::{Access, Affine, Binary, Coord, DType, Expr, ExprId, ExprNode, Unary};

pub fn load(e: &mut Expr, input: usize, dtype: DType, access: Access) -> ExprId {
    e.push(ExprNode::Load { input, access }, dtype)
}

pub fn constant(e: &mut Expr, x: f32) -> ExprId {
    e.push(ExprNode::Const(x.to_bits()), F32)
}

fn word(e: &mut Expr, x: u32) -> ExprId {
    e.push(ExprNode::Const(x), U32)
}

fn map(domain: &[usize], expr: Expr, inputs: &[DType], outputs: &[ExprId]) -> Work {
    Work::Map(Map { domain: domain.to_vec(), expr, inputs: inputs.to_vec(), outputs: outputs.to_vec() })
}

/// Applies `ops` to linear loads of `inputs`; each op yields one output.
fn ops(shape: &[usize], inputs: &[DType], ops: impl Fn(&mut Expr, &[ExprId]) -> Vec<ExprId>) -> Work {
    let mut e = Expr::default();
    let loads: Vec<_> = inputs.iter().enumerate().map(|(i, &t)| load(&mut e, i, t, Access::linear(shape))).collect();
    let outputs = ops(&mut e, &loads);
    map(shape, e, inputs, &outputs)
}

pub fn samples() -> Vec<Sample> {
    let mut all = vec![];
    let mut add = |name: &str, work: Work, tolerance: f64| all.push(Sample::new(name, work, tolerance));
    add(
        "unary on floats",
        ops(&[257], &[F32], |e, x| {
            use Unary::*;
            [Neg, Abs, Exp, Sin, Cos, Tanh, Expm1].map(|u| e.push(ExprNode::Unary(u, x[0]), F32)).to_vec()
        }),
        2e-6,
    );
    add(
        "rounding",
        ops(&[257], &[F32], |e, x| {
            let eight = constant(e, 8.0);
            let x = e.push(ExprNode::Binary(Binary::Mul, x[0], eight), F32);
            use Unary::*;
            let mut out = [Floor, Ceil, Round].map(|u| e.push(ExprNode::Unary(u, x), F32)).to_vec();
            // Infinite for half of them. (The quotient by a literal 0 may be anything, and on lavapipe is 0.)
            let square = e.push(ExprNode::Binary(Binary::Mul, x, x), F32);
            let over = e.push(ExprNode::Unary(Exp, square), F32);
            out.push(e.push(ExprNode::Unary(IsFinite, over), Bool));
            out.push(e.push(ExprNode::Unary(IsFinite, x), Bool));
            out
        }),
        0.0,
    );
    all.push(Sample {
        positive: true,
        ..Sample::new(
            "of positive floats",
            ops(&[3, 43], &[F32, F32], |e, x| {
                use Unary::*;
                let mut out = [Log, Sqrt, Recip].map(|u| e.push(ExprNode::Unary(u, x[0]), F32)).to_vec();
                for b in [Binary::Div, Binary::Rem, Binary::Pow] {
                    out.push(e.push(ExprNode::Binary(b, x[0], x[1]), F32));
                }
                out
            }),
            2e-6,
        )
    });
    all.push(Sample {
        positive: true,
        ..Sample::new(
            "special functions",
            ops(&[3, 43], &[F32], |e, x| {
                use Unary::*;
                let mut out = [Log1p, Atan, Erf].map(|u| e.push(ExprNode::Unary(u, x[0]), F32)).to_vec();
                let below_1 = e.push(ExprNode::Unary(Recip, x[0]), F32);
                out.push(e.push(ExprNode::Unary(ErfInv, below_1), F32));
                out
            }),
            2e-6,
        )
    });
    let mut add = |name: &str, work: Work, tolerance: f64| all.push(Sample::new(name, work, tolerance));
    for (name, list) in [
        ("binary on floats", &[Binary::Add, Binary::Sub, Binary::Mul, Binary::Min, Binary::Max][..]),
        ("comparison of floats", &[Binary::Lt, Binary::Le, Binary::Eq, Binary::Ne][..]),
    ] {
        add(
            name,
            ops(&[1031], &[F32, F32], |e, x| {
                list.iter()
                    .map(|&b| e.push(ExprNode::Binary(b, x[0], x[1]), if b.is_comparison() { Bool } else { F32 }))
                    .collect()
            }),
            1e-6,
        );
    }
    use Binary::*;
    for dtype in [U32, I32] {
        for (half, list) in [[Add, Sub, Mul, Min, Max, And], [Lt, Le, Eq, Ne, Or, Xor]].into_iter().enumerate() {
            add(
                &format!("binary on {dtype}, {half}"),
                ops(&[77], &[dtype, dtype], |e, x| {
                    list.iter()
                        .map(|&b| e.push(ExprNode::Binary(b, x[0], x[1]), if b.is_comparison() { Bool } else { dtype }))
                        .collect()
                }),
                0.0,
            );
        }
    }
    add(
        "shifts",
        ops(&[77], &[U32, U32], |e, x| {
            let mask = word(e, 31);
            let by = e.push(ExprNode::Binary(And, x[1], mask), U32);
            [Shl, Shr].map(|b| e.push(ExprNode::Binary(b, x[0], by), U32)).to_vec()
        }),
        0.0,
    );
    all.push(Sample {
        positive: true,
        ..Sample::new(
            "integer division",
            ops(&[77], &[I32, I32, U32, U32], |e, x| {
                let mut out = [Div, Rem].map(|b| e.push(ExprNode::Binary(b, x[0], x[1]), I32)).to_vec();
                out.extend([Div, Rem].map(|b| e.push(ExprNode::Binary(b, x[2], x[3]), U32)));
                out
            }),
            0.0,
        )
    });
    let mut add = |name: &str, work: Work, tolerance: f64| all.push(Sample::new(name, work, tolerance));
    add(
        "unary on integers",
        ops(&[13], &[I32, U32], |e, x| {
            let mut out = [Unary::Neg, Unary::Abs].map(|u| e.push(ExprNode::Unary(u, x[0]), I32)).to_vec();
            out.push(e.push(ExprNode::Unary(Unary::Neg, x[1]), U32));
            out
        }),
        0.0,
    );
    add(
        "on bool",
        ops(&[131], &[Bool, Bool], |e, x| {
            let mut out = [Add, Mul, Xor, Lt, Eq].map(|b| e.push(ExprNode::Binary(b, x[0], x[1]), Bool)).to_vec();
            out.push(e.push(ExprNode::Unary(Unary::Not, x[0]), Bool));
            out
        }),
        0.0,
    );
    add(
        "casts of floats",
        ops(&[257], &[F32], |e, x| {
            let big = constant(e, 2e9);
            let wide = e.push(ExprNode::Binary(Mul, x[0], big), F32);
            let mut out = [I32, U32].map(|t| e.push(ExprNode::Cast(wide), t)).to_vec();
            out.extend([I32, U32, Bool].map(|t| e.push(ExprNode::Cast(x[0]), t)));
            out.push(e.push(ExprNode::Bitcast(x[0]), U32));
            out
        }),
        0.0,
    );
    add(
        "casts of integers",
        ops(&[257], &[I32, U32, Bool], |e, x| {
            vec![
                e.push(ExprNode::Cast(x[0]), F32),
                e.push(ExprNode::Cast(x[0]), U32),
                e.push(ExprNode::Cast(x[1]), I32),
                e.push(ExprNode::Cast(x[1]), F32),
                e.push(ExprNode::Cast(x[2]), F32),
            ]
        }),
        0.0,
    );
    add(
        "select",
        ops(&[5, 7], &[Bool, F32, U32], |e, x| {
            let (a, b) = (constant(e, 0.1), word(e, 7));
            vec![e.push(ExprNode::Select(x[0], x[1], a), F32), e.push(ExprNode::Select(x[0], b, x[2]), U32)]
        }),
        0.0,
    );
    add(
        "power of any base",
        ops(&[257], &[F32, F32], |e, x| {
            let whole = e.push(ExprNode::Unary(Unary::Round, x[1]), F32);
            let base = e.push(ExprNode::Unary(Unary::Floor, x[0]), F32);
            vec![
                e.push(ExprNode::Binary(Pow, x[0], whole), F32),
                e.push(ExprNode::Binary(Pow, base, whole), F32),
                e.push(ExprNode::Binary(Rem, x[0], x[1]), F32),
            ]
        }),
        2e-5,
    );
    add(
        "constants",
        ops(&[9], &[], |e, _| {
            let list = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MIN_POSITIVE, -0.0, f32::MAX, 1e-45, 0.3];
            list.map(|x| {
                let c = constant(e, x);
                e.push(ExprNode::Bitcast(c), U32)
            })[..7]
                .to_vec()
        }),
        0.0,
    );
    add(
        "f16",
        ops(&[261], &[F16, F16], |e, x| {
            vec![
                e.push(ExprNode::Binary(Add, x[0], x[1]), F16),
                e.push(ExprNode::Cast(x[1]), F32),
                e.push(ExprNode::Unary(Unary::Exp, x[0]), F16),
            ]
        }),
        1e-3,
    );
    add(
        "rounded to f16",
        ops(&[261], &[F32], |e, x| {
            let h = e.push(ExprNode::Cast(x[0]), F16);
            vec![e.push(ExprNode::Cast(h), F32)]
        }),
        0.0,
    );
    views(&mut all);
    random(&mut all);
    aliases(&mut all);
    all
}

/// Broadcasts, transposes, slices, padding, windows, dilated reads.
fn views(all: &mut Vec<Sample>) {
    let mut add = |name: &str, domain: &[usize], inputs: &[DType], accesses: Vec<Access>| {
        let mut e = Expr::default();
        let mut sum = constant(&mut e, 0.0);
        for (i, access) in accesses.into_iter().enumerate() {
            let mut x = load(&mut e, i, inputs[i], access);
            if inputs[i] != F32 {
                x = e.push(ExprNode::Cast(x), F32);
            }
            sum = e.push(ExprNode::Binary(Binary::Add, sum, x), F32);
        }
        all.push(Sample::new(name, map(domain, e, inputs, &[sum]), 1e-6));
    };
    let plain =
        |strides: &[i64], offset: i64| Access { base: Affine { strides: strides.to_vec(), offset }, coords: vec![] };
    add("nothing", &[0, 3], &[F32], vec![Access::linear(&[0, 3])]);
    add("one", &[], &[F32], vec![Access::linear(&[])]);
    add("ones", &[1, 1, 1], &[F32], vec![Access::linear(&[1, 1, 1])]);
    let bias = vec![Access::linear(&[3, 5, 7]), plain(&[0, 1, 0], 0), Access::scalar(3, 2)];
    add("broadcast", &[3, 5, 7], &[F32; 3], bias);
    add("transpose", &[11, 13], &[F32, F32], vec![plain(&[1, 11], 0), Access::linear(&[11, 13])]);
    add("flipped slice", &[4, 6], &[F32], vec![plain(&[20, -2], 13)]);
    let coord = |strides: &[i64], offset, div, len, stride| Coord {
        affine: Affine { strides: strides.to_vec(), offset },
        div,
        len,
        stride,
    };
    let padded = |inner: [usize; 2]| Access {
        base: plain(&[(inner[0] * inner[1]) as i64, 0, 0], 0).base,
        coords: vec![coord(&[0, 1, 0], -2, 1, inner[0], inner[1] as i64), coord(&[0, 0, 1], -1, 1, inner[1], 1)],
    };
    add("padding", &[2, 9, 8], &[F32, I32], vec![padded([5, 6]), padded([4, 3])]);
    add("padding of bool and u32", &[2, 9, 8], &[Bool, U32], vec![padded([5, 6]), padded([4, 3])]);
    let dilated =
        Access { base: Affine::constant(2, 3), coords: vec![coord(&[1, 0], -1, 3, 4, 5), coord(&[0, 1], 0, 2, 5, 1)] };
    add("dilated", &[14, 11], &[F32], vec![dilated]);
    let mut e = Expr::default();
    let mask = e.push(ExprNode::Mask(vec![coord(&[1, 0], -1, 3, 4, 0), coord(&[-1, 1], 2, 1, 4, 0)]), Bool);
    let index = e.push(ExprNode::Index(Affine { strides: vec![100, 3], offset: 7 }), U32);
    all.push(Sample::new("mask and index", map(&[14, 11], e, &[], &[mask, index]), 0.0));
    let mut e = Expr::default();
    let shape = [3, 1000, 701];
    let index = e.push(ExprNode::Index(Affine { strides: vec![1, 3, 3001], offset: 0 }), U32);
    all.push(Sample::new("wide division", map(&shape, e, &[], &[index]), 0.0));
}

fn random(all: &mut Vec<Sample>) {
    let mut e = Expr::default();
    let shape = [1000];
    let (k0, k1) = (load(&mut e, 0, U32, Access::scalar(1, 0)), load(&mut e, 0, U32, Access::scalar(1, 1)));
    let (c1, c2) = (word(&mut e, 0xdeadbeef), word(&mut e, 0));
    let c0 = e.push(ExprNode::Index(Affine::dim(1, 0)), U32);
    let lanes: Vec<_> = (0..4).map(|lane| e.push(ExprNode::Philox { args: [k0, k1, c0, c1, c2], lane }, U32)).collect();
    all.push(Sample::new("philox", map(&shape, e, &[U32], &lanes), 0.0));
    let mut e = Expr::default();
    let zero = word(&mut e, 0);
    let lanes: Vec<_> = (0..4).map(|lane| e.push(ExprNode::Philox { args: [zero; 5], lane }, U32)).collect();
    all.push(Sample::new("philox of zero", map(&[1], e, &[], &lanes), 0.0));
}

fn aliases(all: &mut Vec<Sample>) {
    // Two outputs over two inputs, as an optimiser does; a third input is read too.
    let work = ops(&[1025], &[F32, F32, F32], |e, x| {
        let half = constant(e, 0.9);
        let kept = e.push(ExprNode::Binary(Binary::Mul, x[1], half), F32);
        let moment = e.push(ExprNode::Binary(Binary::Add, kept, x[2]), F32);
        let param = e.push(ExprNode::Binary(Binary::Sub, x[0], moment), F32);
        vec![param, moment]
    });
    all.push(Sample { aliases: vec![Some(0), Some(1)], ..Sample::new("in place", work, 1e-6) });
    let work = ops(&[65], &[Bool], |e, x| vec![e.push(ExprNode::Cast(x[0]), F32)]);
    all.push(Sample { aliases: vec![Some(0)], ..Sample::new("in place, another type", work, 0.0) });
}
