//! Sample contractions: the products, convolutions and gradients that the graph makes.

use crate::maps::{constant, load};
use crate::sample::{Sample, Work};
use wgrad_device::kernels::{Contraction, Epilogue};
use wgrad_device::{Access, Affine, Binary, Coord, DType, Expr, ExprNode, row_major_strides};

fn affine(strides: &[i64]) -> Affine {
    Affine { strides: strides.to_vec(), offset: 0 }
}

fn plain(strides: &[i64]) -> Access {
    Access { base: affine(strides), coords: vec![] }
}

/// A product of matrices; `ta` and `tb` say that A (B) is stored transposed.
pub fn matmul(m: usize, n: usize, k: usize, ta: bool, tb: bool) -> Contraction {
    let (rows, cols, inner) = (m as i64, n as i64, k as i64);
    Contraction {
        label: "matmul",
        batch: vec![],
        m: vec![m],
        n: vec![n],
        k: vec![k],
        a: plain(&if ta { [1, rows] } else { [inner, 1] }),
        b: plain(&if tb { [1, inner] } else { [cols, 1] }),
        c: affine(&[cols, 1]),
        operands: [DType::F32; 2],
        output: DType::F32,
        epilogue: None,
    }
}

/// The sizes of a convolution.
#[derive(Clone, Copy)]
pub struct Conv {
    pub images: usize,
    pub groups: usize,
    /// Channels in and out.
    pub channels: [usize; 2],
    pub size: [usize; 2],
    pub kernel: usize,
    pub stride: usize,
    pub pad: usize,
    pub dilation: usize,
}

impl Conv {
    fn out(&self) -> [usize; 2] {
        self.size.map(|n| (n + 2 * self.pad - self.dilation * (self.kernel - 1) - 1) / self.stride + 1)
    }

    fn channels_of_group(&self) -> [usize; 2] {
        self.channels.map(|c| c / self.groups)
    }

    /// Strides of (image, group, channel, y, x) of the input or of the output, and of the weights' (group, out, in, y, x).
    fn strides(&self) -> [Vec<i64>; 3] {
        let [ci, co] = self.channels_of_group();
        let [oh, ow] = self.out();
        let k = self.kernel;
        [
            row_major_strides(&[self.images, self.groups, ci, self.size[0], self.size[1]]),
            row_major_strides(&[self.images, self.groups, co, oh, ow]),
            row_major_strides(&[self.groups, co, ci, k, k]),
        ]
    }

    pub fn forward(&self) -> Contraction {
        let [x, y, w] = self.strides();
        let [ci, co] = self.channels_of_group();
        let [oh, ow] = self.out();
        let (s, d, p) = (self.stride as i64, self.dilation as i64, self.pad as i64);
        // B is a function of group; channel, ky, kx; image, oy, ox.
        let coord = |ky: i64, kx: i64, oy: i64, ox: i64, axis: usize| Coord {
            affine: Affine { strides: vec![0, 0, ky, kx, 0, oy, ox], offset: -p },
            div: 1,
            len: self.size[axis],
            stride: x[3 + axis],
        };
        Contraction {
            label: "conv",
            batch: vec![self.groups],
            m: vec![co],
            n: vec![self.images, oh, ow],
            k: vec![ci, self.kernel, self.kernel],
            a: plain(&w),
            b: Access {
                base: affine(&[x[1], x[2], 0, 0, x[0], 0, 0]),
                coords: vec![coord(d, 0, s, 0, 0), coord(0, d, 0, s, 1)],
            },
            c: affine(&[y[1], y[2], y[0], y[3], y[4]]),
            operands: [DType::F32; 2],
            output: DType::F32,
            epilogue: None,
        }
    }

    pub fn input_gradient(&self) -> Contraction {
        let [x, y, w] = self.strides();
        let [ci, co] = self.channels_of_group();
        let out = self.out();
        let (d, p) = (self.dilation as i64, self.pad as i64);
        // B is a function of group; out channel, ky, kx; image, iy, ix.
        let coord = |strides: [i64; 7], axis: usize| Coord {
            affine: Affine { strides: strides.to_vec(), offset: p },
            div: self.stride,
            len: out[axis],
            stride: y[3 + axis],
        };
        Contraction {
            label: "conv, input gradient",
            batch: vec![self.groups],
            m: vec![ci],
            n: vec![self.images, self.size[0], self.size[1]],
            k: vec![co, self.kernel, self.kernel],
            a: plain(&[w[0], w[2], w[1], w[3], w[4]]),
            b: Access {
                base: affine(&[y[1], y[2], 0, 0, y[0], 0, 0]),
                coords: vec![coord([0, 0, -d, 0, 0, 1, 0], 0), coord([0, 0, 0, -d, 0, 0, 1], 1)],
            },
            c: affine(&[x[1], x[2], x[0], x[3], x[4]]),
            operands: [DType::F32; 2],
            output: DType::F32,
            epilogue: None,
        }
    }

    pub fn weight_gradient(&self) -> Contraction {
        let [x, y, w] = self.strides();
        let [ci, co] = self.channels_of_group();
        let [oh, ow] = self.out();
        let (s, d, p) = (self.stride as i64, self.dilation as i64, self.pad as i64);
        // B is a function of group; image, oy, ox; in channel, ky, kx.
        let coord = |strides: [i64; 7], axis: usize| Coord {
            affine: Affine { strides: strides.to_vec(), offset: -p },
            div: 1,
            len: self.size[axis],
            stride: x[3 + axis],
        };
        Contraction {
            label: "conv, weight gradient",
            batch: vec![self.groups],
            m: vec![co],
            n: vec![ci, self.kernel, self.kernel],
            k: vec![self.images, oh, ow],
            a: plain(&[y[1], y[2], y[0], y[3], y[4]]),
            b: Access {
                base: affine(&[x[1], x[0], 0, 0, x[2], 0, 0]),
                coords: vec![coord([0, 0, s, 0, 0, d, 0], 0), coord([0, 0, 0, s, 0, 0, d], 1)],
            },
            c: affine(&w),
            operands: [DType::F32; 2],
            output: DType::F32,
            epilogue: None,
        }
    }
}

/// As [`with_epilogue`], storing the scaled sum too, before it, where that is not below 1/2 (near 0 terms cancel).
fn with_sum(c: Contraction) -> Contraction {
    let mut c = with_epilogue(c);
    let e = c.epilogue.as_mut().expect("just made");
    let scaled = e.expr.nodes.iter().position(|n| matches!(n, ExprNode::Binary(Binary::Mul, ..))).expect("it scales");
    let half = constant(&mut e.expr, 0.5);
    let stored = e.expr.push(ExprNode::Binary(Binary::Max, scaled, half), DType::F32);
    e.outputs.insert(0, stored);
    c
}

/// Adds a bias along m, scales, and cuts off at 0.
pub fn with_epilogue(mut c: Contraction) -> Contraction {
    let rank = c.batch.len() + c.m.len() + c.n.len();
    let mut expr = Expr::default();
    let sum = expr.push(ExprNode::Accumulator, DType::F32);
    let bias = Access { base: Affine::dim(rank, c.batch.len()), coords: vec![] };
    let bias = load(&mut expr, 0, DType::F32, bias);
    let residual = load(&mut expr, 1, DType::F32, Access { base: c.c.clone(), coords: vec![] });
    let scale = constant(&mut expr, 0.37);
    let zero = constant(&mut expr, 0.0);
    let scaled = expr.push(ExprNode::Binary(Binary::Mul, sum, scale), DType::F32);
    let biased = expr.push(ExprNode::Binary(Binary::Add, scaled, bias), DType::F32);
    let joined = expr.push(ExprNode::Binary(Binary::Add, biased, residual), DType::F32);
    let output = expr.push(ExprNode::Binary(Binary::Max, joined, zero), DType::F32);
    c.epilogue = Some(Epilogue { expr, outputs: vec![output], inputs: vec![DType::F32, DType::F32] });
    c
}

/// The same in f16: operands, result and what the epilogue adds.
fn halved(mut c: Contraction) -> Contraction {
    (c.operands, c.output) = ([DType::F16; 2], DType::F16);
    if let Some(e) = &mut c.epilogue {
        e.expr.dtypes.fill(DType::F16);
        e.inputs.fill(DType::F16);
    }
    c
}

/// A few samples that together try every tile for GPUs; each form costs a software adapter seconds to compile.
pub fn samples_of_tiles() -> Vec<Sample> {
    const NAMES: &[&str] = &[
        "matmul",
        "matmul TT",
        "matmul, narrow",
        "matmul, tall and thin",
        "matmul, large",
        "matmul of nothing, epilogue",
        "matmul, split, epilogue",
        "matmul, row by rows",
        "matmul, rows by column, epilogue",
        "conv, strided",
        "conv, strided, input gradient",
        "conv, strided, weight gradient",
    ];
    samples().into_iter().filter(|s| NAMES.contains(&s.name.as_str())).collect()
}

pub fn samples() -> Vec<Sample> {
    let mut all = vec![];
    let mut add = |name: &str, c: Contraction| all.push(Sample::new(name, Work::Contraction(c), 1e-5));
    add("matmul", matmul(65, 67, 33, false, false));
    add("matmul NT", matmul(9, 70, 17, false, true));
    add("matmul TN", matmul(13, 129, 64, true, false));
    add("matmul TT", matmul(8, 64, 16, true, true));
    add("matmul, one element", matmul(1, 1, 1, false, false));
    add("matmul, one row", matmul(1, 100, 31, false, false));
    add("matmul, one column", matmul(100, 1, 31, false, false));
    add("matmul, row by rows", matmul(1, 37, 1031, false, true));
    add("matmul, rows by column, epilogue", with_epilogue(matmul(45, 1, 777, false, false)));
    add("matmul, three rows", matmul(3, 10, 50, false, false));
    add("matmul, narrow", matmul(20, 150, 23, false, false));
    add("matmul, tall", matmul(150, 20, 23, true, false));
    add("matmul, tall and thin", matmul(300, 11, 23, false, true));
    // Enough for the largest tiles, with few rows each.
    let large = Contraction {
        batch: vec![260],
        a: plain(&[0, 7, 1]),
        b: plain(&[0, 70, 1]),
        c: affine(&[66 * 70, 70, 1]),
        ..matmul(66, 70, 7, false, false)
    };
    add("matmul, large", large);
    add("matmul of nothing", matmul(5, 7, 0, false, false));
    add("matmul into nothing", matmul(0, 7, 3, false, false));
    add("matmul, split", matmul(10, 12, 1500, false, false));
    add("matmul, epilogue", with_epilogue(matmul(33, 20, 12, false, true)));
    add("matmul, split, epilogue", with_epilogue(matmul(6, 70, 1100, true, false)));
    add("matmul of nothing, epilogue", with_epilogue(matmul(5, 7, 0, false, false)));
    let batched = Contraction {
        // B is shared by the second batch axis.
        batch: vec![3, 2],
        m: vec![5, 2],
        a: plain(&[2 * 10 * 12, 10 * 12, 2 * 12, 12, 1]),
        b: plain(&[12 * 20, 0, 20, 1]),
        c: affine(&[2 * 10 * 20, 10 * 20, 2 * 20, 20, 1]),
        ..matmul(10, 20, 12, false, false)
    };
    add("matmul, two outputs", with_sum(matmul(33, 20, 12, false, true)));
    // Blocks of the CPU backend that are wider because of what follows.
    add("matmul, wide, two outputs", with_sum(matmul(1030, 1100, 2, false, false)));
    add("matmul, two outputs, large", with_sum(matmul(65, 150, 40, false, false)));
    add("matmul, split, two outputs", with_sum(matmul(6, 70, 1100, true, false)));
    add("matmul, tall, two outputs", with_sum(matmul(150, 20, 23, true, false)));
    add("matmul of nothing, two outputs", with_sum(matmul(5, 7, 0, false, false)));
    add("matmul, batched", batched.clone());
    add("matmul, batched, epilogue", with_epilogue(batched));
    let conv =
        Conv { images: 2, groups: 1, channels: [3, 10], size: [9, 8], kernel: 3, stride: 1, pad: 1, dilation: 1 };
    let strided = Conv { stride: 2, channels: [4, 6], groups: 2, pad: 2, dilation: 2, size: [13, 12], ..conv };
    let depthwise = Conv { groups: 6, channels: [6, 6], images: 1, ..conv };
    let single = Conv { kernel: 1, pad: 0, ..conv };
    for (name, conv) in [("plain", conv), ("strided", strided), ("depthwise", depthwise), ("1x1", single)] {
        add(&format!("conv, {name}"), conv.forward());
        add(&format!("conv, {name}, input gradient"), conv.input_gradient());
        add(&format!("conv, {name}, weight gradient"), conv.weight_gradient());
    }
    add("conv, epilogue", with_epilogue(conv.forward()));
    add("conv, two outputs", with_sum(conv.forward()));
    add("depthwise, two outputs", with_sum(depthwise.forward()));
    add("conv, weight gradient, split", Conv { images: 8, ..conv }.weight_gradient());
    // On the CPU: more rows than a strip, several blocks of k, images in several goes, and in bands of rows.
    let small = Conv { images: 7, channels: [34, 40], size: [7, 6], ..conv };
    add("conv, channels", with_epilogue(small.forward()));
    add("conv, channels, input gradient", small.input_gradient());
    add("conv, channels, weight gradient", small.weight_gradient());
    let banded = Conv { images: 1, channels: [3, 33], size: [41, 31], ..conv };
    add("conv, bands, weight gradient", banded.weight_gradient());
    let wide = Conv { images: 3, channels: [36, 36], ..conv };
    for (name, c) in [
        ("matmul, f16", matmul(65, 67, 33, false, true)),
        ("matmul, f16, split", matmul(10, 12, 1500, false, false)),
        ("matmul, f16, two outputs", with_sum(matmul(33, 21, 12, true, false))),
        ("matmul, f16, epilogue", with_epilogue(matmul(33, 21, 12, true, false))),
        ("matmul, f16, split, epilogue", with_epilogue(matmul(6, 70, 1100, true, false))),
        ("matmul of nothing, f16", matmul(5, 7, 0, false, false)),
        ("matmul, f16, fours", matmul(72, 136, 40, false, false)),
        ("matmul TT, f16, fours", matmul(68, 132, 36, true, true)),
        ("matmul, f16, split in tiles", matmul(40, 100, 1100, true, false)),
        ("conv, f16, channels", wide.forward()),
        ("conv, f16, channels, input gradient", wide.input_gradient()),
        ("conv, f16, channels, weight gradient", Conv { channels: [20, 36], ..wide }.weight_gradient()),
        ("conv, f16", conv.forward()),
        ("conv, strided, f16, weight gradient", strided.weight_gradient()),
    ] {
        all.push(Sample::new(name, Work::Contraction(halved(c)), 2e-3));
    }
    // With an epilogue in f32: in f16 each of its steps rounds, and of so many elements some cancel.
    let tiles = Contraction { operands: [DType::F16; 2], ..with_epilogue(matmul(40, 100, 20, true, false)) };
    all.push(Sample::new("matmul of f16, epilogue in f32", Work::Contraction(tiles), 1e-3));
    // Large enough not to take the form of small products. Sums on the way are some ten (a thousand) times the largest of samples above,
    // and as much are their roundings.
    let rows = matmul(1, 4100, 1031, false, true);
    all.push(Sample::new("matmul, row by rows, large", Work::Contraction(rows), 5e-5));
    let column = with_epilogue(matmul(4099, 1, 1027, false, false));
    all.push(Sample::new("matmul, rows by column, large, epilogue", Work::Contraction(column), 1e-4));
    let long = matmul(1, 5, 900_001, false, true);
    all.push(Sample::new("matmul, row by rows, few and long", Work::Contraction(long), 2e-3));
    all
}
