//! Random shapes and compositions, values and gradients of the compiled program against the f64 reference.
//!
//! The same ones in every run; `WGRAD_PROPERTY_CASES` asks for more of each kind than the usual.

mod support;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use support::gpu;
use wgrad_graph::contract::check_program;
use wgrad_graph::{CompileOptions, ConvOptions, DType, Device, OpCase, Tensor, Window};

/// Cases of each kind on the CPU backend, and on a GPU, where each may have to compile pipelines.
const CASES: [u32; 2] = [80, 8];

/// Runs random cases; a failing one is made as small as it gets, and named.
fn holds(cases: impl Strategy<Value = OpCase>) {
    let asked = std::env::var("WGRAD_PROPERTY_CASES").ok().map(|n| n.parse().expect("a number"));
    let options = CompileOptions { poison: true, ..CompileOptions::default() };
    let cpu = Device::cpu();
    for (device, count) in std::iter::once(&cpu).chain(gpu()).zip(CASES) {
        let config = Config { cases: asked.unwrap_or(count), failure_persistence: None, ..Config::default() };
        let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
        let result = runner.run(&cases, |case| {
            check_program(device, &case, &options).map_err(|e| TestCaseError::fail(format!("{device:?}: {e}")))
        });
        result.unwrap_or_else(|e| panic!("{e}"));
    }
}

fn case(name: String, inputs: &[&[usize]], build: impl Fn(&[Tensor]) -> Tensor + Send + Sync + 'static) -> OpCase {
    OpCase::new("property", name, inputs, build).tolerance(2e-5)
}

/// Two shapes that broadcast to `wide`: extents may be 1, and leading axes missing.
fn broadcasting(wide: Vec<usize>) -> impl Strategy<Value = [Vec<usize>; 2]> {
    let rank = wide.len();
    (vec(0..4u8, rank), 0..=rank, any::<bool>()).prop_map(move |(ones, missing, second)| {
        let pick = |one: u8| wide.iter().zip(&ones).map(|(&n, &o)| if o == one { 1 } else { n }).collect::<Vec<_>>();
        let (mut a, mut b) = (pick(1), pick(2));
        let short = if second { &mut b } else { &mut a };
        // What is left out counts as 1.
        short.drain(..missing);
        [a, b]
    })
}

#[test]
fn matrix_products() {
    let shapes = (vec(1..=3usize, 0..=2).prop_flat_map(broadcasting), 0..=9usize, 0..=9usize, 0..=9usize);
    holds((shapes, any::<[bool; 2]>()).prop_map(|(([a, b], m, k, n), [ta, tb])| {
        let of = |batch: Vec<usize>, x: usize, y: usize, t: bool| {
            let ends = if t { [y, x] } else { [x, y] };
            [&batch[..], &ends].concat()
        };
        let (a, b) = (of(a, m, k, ta), of(b, k, n, tb));
        case(format!("matmul {a:?} {b:?}, transposed {ta} {tb}"), &[&a, &b], move |x| {
            let of = |x: &Tensor, t: bool| if t { x.transpose(-1, -2) } else { x.clone() };
            of(&x[0], ta).matmul(&of(&x[1], tb))
        })
    }));
}

/// Kernel, stride, dilation and padding along an axis.
fn window() -> impl Strategy<Value = Window> {
    (1..=4usize, 1..=3usize, 1..=2usize, 0..=2usize, 0..=2usize).prop_map(|(size, stride, dilation, p, q)| Window {
        size,
        stride,
        dilation,
        padding: (p, q),
    })
}

/// Extents, each with a window that fits it.
fn windowed(axes: std::ops::RangeInclusive<usize>) -> impl Strategy<Value = Vec<(usize, Window)>> {
    vec((1..=9usize, window()).prop_filter("fits", |(n, w)| w.count(*n).is_ok()), axes)
}

#[test]
fn convolutions() {
    let channels = (0..=2usize, 1..=3usize, 1..=2usize, 1..=3usize);
    holds((channels, windowed(1..=2)).prop_map(|((images, groups, each_in, each_out), axes)| {
        let (sizes, windows): (Vec<usize>, Vec<Window>) = axes.into_iter().unzip();
        let mut options = ConvOptions::new(sizes.len()).groups(groups);
        options.stride = windows.iter().map(|w| w.stride).collect();
        options.dilation = windows.iter().map(|w| w.dilation).collect();
        options.padding = windows.iter().map(|w| w.padding).collect();
        let x = [&[images, groups * each_in], &sizes[..]].concat();
        let kernel: Vec<usize> = windows.iter().map(|w| w.size).collect();
        let w = [&[groups * each_out, each_in], &kernel[..]].concat();
        case(format!("conv {x:?} {w:?} {options:?}"), &[&x, &w], move |t| t[0].conv(&t[1], &options))
    }));
}

#[test]
fn pooling() {
    let half = |axes: &Vec<(usize, Window)>| {
        axes.iter().all(|(_, w)| w.padding.0.max(w.padding.1) * 2 <= w.dilation * (w.size - 1) + 1)
    };
    let kinds = (0..3u8, windowed(1..=2).prop_filter("padding is at most half", half), 1..=3usize);
    holds(kinds.prop_map(|(kind, axes, lead)| {
        let (sizes, windows): (Vec<usize>, Vec<Window>) = axes.into_iter().unzip();
        let x = [&[lead], &sizes[..]].concat();
        case(format!("pool {kind} {x:?} {windows:?}"), &[&x], move |t| match kind {
            0 => t[0].max_pool(&windows),
            1 => t[0].avg_pool(&windows, true),
            _ => t[0].avg_pool(&windows, false),
        })
    }));
}

#[test]
fn reductions() {
    let shape = vec(1..=9usize, 1..=4).prop_filter("small", |s| s.iter().product::<usize>() <= 2000);
    let cases = shape.prop_flat_map(|s| {
        let rank = s.len();
        (Just(s), vec(any::<bool>(), rank), vec(any::<bool>(), rank), 0..5u8)
    });
    holds(cases.prop_map(|(shape, over, reversed, kind)| {
        let axes: Vec<isize> = (0..shape.len()).filter(|&d| over[d]).map(|d| d as isize).collect();
        // Of something that is not dense: axes in another order.
        let order: Vec<usize> =
            (0..shape.len()).filter(|&d| reversed[d]).chain((0..shape.len()).filter(|&d| !reversed[d])).collect();
        case(format!("fold {kind} of {shape:?} in order {order:?} over {axes:?}"), &[&shape], move |x| {
            let x = x[0].permute(&order);
            match kind {
                0 => x.square().sum(&axes),
                1 => x.mean_keepdim(&axes) * &x,
                2 => x.max(&axes),
                3 => x.min(&axes),
                _ => x.variance(&axes),
            }
        })
    }));
}

/// One view, or a function of each element; what does not fit the shape is left out.
fn step(x: Tensor, (kind, a, b): (u8, usize, usize)) -> Tensor {
    let rank = x.rank();
    if rank == 0 {
        return x.unsqueeze(0);
    }
    let axis = a % rank;
    let n = x.shape()[axis];
    let room = x.count() <= 700;
    match kind {
        0 => x.transpose(axis as isize, (b % rank) as isize),
        1 => {
            let start = b % (n + 1);
            x.slice(axis as isize, start..start + (b / 3 + 1).min(n - start))
        }
        2 if n > 0 => {
            let (start, step) = (b % n, 2 + b % 2);
            x.slice_step(axis as isize, start, (n - start).div_ceil(step), step)
        }
        3 if room => x.pad(axis as isize, b % 3, b / 3 % 3, if b % 2 == 0 { 0.0 } else { 1.5 }),
        4 if room && n > 0 => x.dilate(axis, 2),
        5 if rank < 4 && room => {
            let mut wide = x.shape().to_vec();
            wide.insert(axis, 1 + b % 3);
            x.unsqueeze(axis).broadcast_to(wide)
        }
        6 => {
            // An axis and the next become one; or one becomes two.
            let mut shape = x.shape().to_vec();
            if axis + 1 < rank {
                shape[axis] *= shape.remove(axis + 1);
            } else if let Some(factor) = (2..n).find(|f| n % f == 0) {
                shape[axis] = factor;
                shape.push(n / factor);
            }
            x.reshape(shape)
        }
        7 => x.sin(),
        8 => x.square(),
        _ => x,
    }
}

#[test]
fn chains_of_views() {
    let cases = (vec(0..=7usize, 1..=3), vec((0..9u8, 0..4usize, 0..9usize), 1..=7));
    holds(cases.prop_map(|(shape, steps)| {
        case(format!("{shape:?}: {steps:?}"), &[&shape], move |x| steps.iter().fold(x[0].clone(), |x, &s| step(x, s)))
    }));
}

#[test]
fn broadcast_arithmetic() {
    let shapes = vec(0..=9usize, 0..=3).prop_flat_map(|wide| (broadcasting(wide.clone()), broadcasting(wide)));
    holds((shapes, 0..5u8).prop_map(|(([a, b], [c, _]), kind)| {
        case(format!("{kind} of {a:?} {b:?} {c:?}"), &[&a, &b, &c], move |x| match kind {
            0 => &x[0] * &x[1] + &x[2],
            1 => (&x[0] - &x[1]) / (x[2].square() + 0.5),
            2 => x[0].maximum(&x[1]) * x[2].exp(),
            3 => x[0].gt(&x[1]).select(&x[2].sin(), &(&x[0] * 2.0)),
            _ => (&x[0] + &x[1]).tanh().minimum(&x[2]),
        })
    }));
}

#[test]
fn elements_at_positions() {
    let cases = (vec(0..=5usize, 0..=3), vec(0..=5usize, 0..=3), 1..=40u8);
    holds(cases.prop_map(|(x, index, reach)| {
        case(format!("take from {x:?} at {index:?}, below {reach}"), &[&x, &index], move |t| {
            let at = ((&t[1] + 1.0) * (reach as f32 / 2.0)).floor().stop_gradient().cast(DType::U32);
            t[0].square().take(&at)
        })
    }));
}
