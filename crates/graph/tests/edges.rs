//! What elementwise functions and reductions do at the edges of their domains, and what builders say to bad arguments.

mod support;

use support::gpu;
use wgrad_graph::{
    DType, Data, Device, PadMode, Program, ShapeError, State, Tensor, Updates, Window, checked, gradients, reference,
};

const EDGES: [f32; 16] =
    [0.0, -0.0, 1e-30, -1e-30, 1e-3, -1e-3, 0.5, -0.5, 3.0, -3.0, 20.0, -20.0, 100.0, -100.0, 1e4, -1e4];

type Function = fn(&Tensor) -> Tensor;

/// Functions that are finite, with a finite gradient, wherever x is.
const FUNCTIONS: &[(&str, Function)] = &[
    ("relu", Tensor::relu),
    ("relu6", Tensor::relu6),
    ("leaky_relu", |x| x.leaky_relu(0.01)),
    ("prelu", |x| x.prelu(&Tensor::full([1], 0.25f32))),
    ("elu", |x| x.elu(1.5)),
    ("selu", Tensor::selu),
    ("celu", |x| x.celu(0.5)),
    ("sigmoid", Tensor::sigmoid),
    ("logsigmoid", Tensor::logsigmoid),
    ("softplus", |x| x.softplus(1.0, 20.0)),
    ("softplus without a threshold", |x| x.softplus(2.0, f32::MAX)),
    ("gelu", Tensor::gelu),
    ("gelu_tanh", Tensor::gelu_tanh),
    ("silu", Tensor::silu),
    ("mish", Tensor::mish),
    ("hardtanh", |x| x.hardtanh(-1.0, 1.0)),
    ("hardsigmoid", Tensor::hardsigmoid),
    ("hardswish", Tensor::hardswish),
    ("softsign", Tensor::softsign),
    ("tanhshrink", Tensor::tanhshrink),
    ("softshrink", |x| x.softshrink(0.5)),
    ("hardshrink", |x| x.hardshrink(0.5)),
    ("threshold", |x| x.threshold(0.1, -1.0)),
    ("glu", |x| Tensor::stack(&[x, x], 0).glu(0)),
    ("tanh", Tensor::tanh),
    ("erf", Tensor::erf),
    ("atan", Tensor::atan),
    ("atan2 of (x, 0)", |x| x.atan2(&(x * 0.0))),
    ("atan2 of (0, x)", |x| (x * 0.0).atan2(x)),
    ("atan2 of (x, x)", |x| x.atan2(x)),
    ("pow_scalar", |x| x.pow_scalar(3.0)),
    ("pow to x of 0", |x| (x * 0.0).pow(&(x.abs() + 1.0))),
    ("clamp", |x| x.clamp(-1.0, 1.0)),
    ("step", |x| x.step() * x),
    ("norm", |x| x.unsqueeze(1).norm(2.0, &[1])),
    ("norm of order 3/2", |x| x.unsqueeze(1).norm(1.5, &[1])),
    ("std", |x| Tensor::stack(&[x, x], 1).std(&[1], true)),
    ("logsumexp", |x| Tensor::stack(&[x, &-x], 1).logsumexp(&[1])),
    ("prod", |x| Tensor::stack(&[x, x], 1).prod(&[1])),
    ("cosine_similarity", |x| Tensor::stack(&[x, x], 1).cosine_similarity(&Tensor::ones([1, 2], DType::F32), 1, 1e-8)),
    ("cdist", |x| x.unsqueeze(1).cdist(&x.unsqueeze(1), 2.0).sum(&[1])),
];

fn no_nan_on(device: &Device) -> Vec<String> {
    let x = Tensor::input("x", [EDGES.len()], DType::F32);
    let mut outputs = vec![];
    for (_, f) in FUNCTIONS {
        let y = f(&x);
        outputs.push(gradients(&y.sum_all(), &[&x]).remove(0));
        outputs.push(y);
    }
    let refs: Vec<&Tensor> = outputs.iter().collect();
    let program = Program::compile(device, &refs, &Updates::new()).unwrap();
    let mut state = State::init(device, &program, 0).unwrap();
    let mut got = program.run(&mut state, &[("x", Data::from(&EDGES.to_vec()))]).unwrap();
    let mut bad = vec![];
    for (i, (name, _)) in FUNCTIONS.iter().enumerate() {
        for (part, o) in [("gradient", 2 * i), ("value", 2 * i + 1)] {
            for (x, v) in EDGES.iter().zip(got.f32(o).unwrap()) {
                if !v.is_finite() {
                    bad.push(format!("{name}: {part} at {x}: {v}"));
                }
            }
        }
    }
    bad
}

#[test]
fn no_nan_at_the_edges() {
    assert_eq!(no_nan_on(&Device::cpu()), Vec::<String>::new());
    if let Some(device) = gpu() {
        assert_eq!(no_nan_on(device), Vec::<String>::new());
    }
}

/// 0 to the power of 0 and of more, and the gradients there, as PyTorch has them.
#[test]
fn powers_of_zero() {
    let (a, b) = (Tensor::zeros([3], DType::F32), Tensor::input("b", [3], DType::F32));
    let a = a + b.stop_gradient() * 0.0;
    let y = a.pow(&b);
    let grads = gradients(&y.sum_all(), &[&a, &b]);
    let leaves = [("b".to_string(), wgrad_graph::Array::new([3], vec![0.0, 1.0, 2.0]))].into();
    let values = reference::evaluate(&[&y, &grads[0], &grads[1]], &leaves);
    assert_eq!(values[0].data, [1.0, 0.0, 0.0]);
    assert_eq!(values[1].data, [0.0, 1.0, 0.0]);
    assert_eq!(values[2].data, [0.0, 0.0, 0.0]);
}

#[test]
fn bad_arguments_name_the_operation_and_the_place() {
    let x = Tensor::input("x", [2, 3], DType::F32);
    let image = Tensor::input("image", [1, 6, 4, 4], DType::F32);
    let generator = Tensor::zeros([4], DType::U32);
    let window = Window { size: 2, stride: 1, dilation: 1, padding: (0, 0) };
    fn error<T>(op: &str, wanted: &str, build: impl FnOnce() -> T) {
        let e: ShapeError = match checked(build) {
            Ok(_) => panic!("{op} accepted it"),
            Err(e) => e,
        };
        let text = e.to_string();
        assert!(text.starts_with(op) && text.contains(wanted) && text.contains("edges.rs"), "{text}");
    }
    error("prelu", "[2, 3] has 3 channels", || x.prelu(&Tensor::ones([2], DType::F32)));
    error("celu", "alpha", || x.celu(0.0));
    error("softplus", "beta = 0", || x.softplus(0.0, 20.0));
    error("hardtanh", "above", || x.hardtanh(1.0, -1.0));
    error("softshrink", "lambda = -1", || x.softshrink(-1.0));
    error("glu", "no two halves", || x.glu(1));
    error("glu", "no axis 2", || x.glu(2));
    error("atan2", "do not broadcast", || x.atan2(&image));
    error("erf", "not defined for u32", || generator.erf());
    error("is_nan", "a float expected", || generator.is_nan());
    error("var", "too few", || x.slice(0, 0..1).var(&[0], true));
    error("norm", "p = -2", || x.norm(-2.0, &[0]));
    error("max", "nothing to choose from", || x.slice(0, 1..1).max(&[0]));
    error("sum", "named twice", || x.sum(&[0, -2]));
    error("flip", "no axis 3", || x.flip(&[3]));
    error("roll", "no axis -3", || x.roll(-3, 1));
    error("slice_signed", "steps of 0", || x.slice_signed(0, 0, 1, 0));
    error("slice", "do not fit", || x.slice_signed(0, 1, 3, -1));
    error("pad", "Reflect can add 2 at most", || x.pad_mode(1, 3, 0, PadMode::Reflect));
    error("pad", "Circular can add 2 at most", || x.pad_mode(0, 0, 3, PadMode::Circular));
    error("pad", "cuts off more", || x.pad_last(&[(-2, -2)], PadMode::Constant(0.0)));
    error("pad", "3 pairs", || x.pad_last(&[(0, 0); 3], PadMode::Replicate));
    error("split", "parts of 0", || x.split(0, 0));
    error("split", "do not add up", || x.split_sizes(&[1, 1], 1));
    error("chunk", "0 parts", || x.chunk(0, 0));
    error("stack", "differ", || Tensor::stack(&[&x, &x.transpose(0, 1)], 0));
    error("stack", "no place 3", || Tensor::stack(&[&x, &x], 3));
    error("stack", "no tensors", || Tensor::stack(&[], 0));
    error("pixel_shuffle", "[1, 6, 4, 4]", || image.pixel_shuffle(2));
    error("pixel_unshuffle", "[1, 6, 4, 4]", || image.pixel_unshuffle(3));
    error("space_to_depth", "[2, 3]", || x.space_to_depth(1));
    error("channel_shuffle", "4 groups", || image.channel_shuffle(4));
    error("diagonal", "named twice", || x.diagonal(0, 1, -1));
    error("diagonal", "offset 4", || x.diagonal(4, 0, 1));
    error("tril", "two or more axes", || x.sum(&[0]).tril(0));
    error("unfold", "[N, C, spatial...]", || x.unfold(&[window; 2]));
    error("fold", "[N, C * 4, 9]", || x.unsqueeze(0).fold(&[4, 4], &[window; 2]));
    error("matmul", "one or more axes", || x.matmul(&Tensor::scalar(1.0f32)));
    error("matmul", "inner sizes 3 and 2", || x.matmul(&x.sum(&[1])));
    error("einsum", "2 terms for 1 tensors", || Tensor::einsum("ij,jk", &[&x]));
    error("einsum", "does not fit [2, 3]", || Tensor::einsum("ijk", &[&x]));
    error("einsum", "'?'", || Tensor::einsum("i?", &[&x]));
    error("einsum", "'k' of the result", || Tensor::einsum("ij->k", &[&x]));
    error("einsum", "twice in the result", || Tensor::einsum("ij->ii", &[&x]));
    error("einsum", "'i' is 2 and 3", || Tensor::einsum("ii", &[&x]));
    error("einsum", "'j' is 3 and 2", || Tensor::einsum("ij,jk", &[&x, &x]));
    error("einsum", "two ellipses", || Tensor::einsum("...i...", &[&x]));
    error("outer", "two vectors", || x.outer(&x));
    error("dot", "two equal vectors", || x.sum(&[0]).dot(&x.sum(&[1])));
    error("bilinear", "[O, I, J]", || x.bilinear(&x, &x));
    error("cdist", "[..., P, M]", || x.cdist(&x.transpose(0, 1), 2.0));
    error("cross", "3 along axis 0", || x.cross(&x, 0));
    error("random_int", "no integers", || generator.random_int([2], 0, 3, 3));
    error("random_exponential", "rate", || generator.random_exponential([2], 0, 0.0));
    error("random_truncated_normal", "std", || generator.random_truncated_normal([2], 0, (0.0, 1.0), (1.0, 0.0)));
    error("random_uniform_in", "no range", || generator.random_uniform_in([2], 0, 1.0, 0.0));
    error("dropout_channels", "spatial", || x.dropout_channels(0.5, &generator, 0));
    error("alpha_dropout", "no probability", || x.alpha_dropout(1.5, &generator, 0));
}
