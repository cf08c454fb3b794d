//! Sorts, scatters and their kin where small cases do not reach: special floats, equal places, indices out of range, sizes
//! at which indices are sorted, bad arguments.

mod support;

use support::gpu;
use wgrad_graph::contract::Numbers;
use wgrad_graph::{
    DType, Data, Device, EmbeddingBag, Outputs, Program, Scan, ShapeError, State, Tensor, Updates, checked, gradients,
};

/// The CPU backend, and the GPU if there is one.
fn devices() -> Vec<Device> {
    std::iter::once(Device::cpu()).chain(gpu().cloned()).collect()
}

fn run(device: &Device, outputs: &[&Tensor], given: &[(&str, Data)]) -> Outputs {
    let program = Program::compile(device, outputs, &Updates::new()).unwrap();
    let mut state = State::init(device, &program, 3).unwrap();
    // A gradient may not need all of them.
    let wanted: Vec<(&str, Data)> =
        given.iter().filter(|(name, _)| program.input_shapes().any(|(n, ..)| n == *name)).cloned().collect();
    program.run(&mut state, &wanted).unwrap()
}

fn floats(device: &Device, y: &Tensor, given: &[(&str, Data)]) -> Vec<f32> {
    run(device, &[&y.cast(DType::F32)], given).f32(0).unwrap()
}

#[test]
fn special_floats_are_in_order() {
    let values = [f32::NAN, 1.0, f32::INFINITY, -0.0, -f32::NAN, 0.0, f32::NEG_INFINITY, -1e-40, 1e-40, f32::MAX, -2.0];
    let x = Tensor::input("x", [values.len()], DType::F32);
    for device in devices() {
        let order = |descending| floats(&device, &x.argsort(0, descending), &[("x", Data::from(&values[..]))]);
        assert_eq!(order(false), [6.0, 10.0, 7.0, 3.0, 5.0, 8.0, 1.0, 9.0, 2.0, 0.0, 4.0], "{device:?}");
        // NaN first, and equal ones still in their order.
        assert_eq!(order(true), [0.0, 4.0, 2.0, 9.0, 1.0, 8.0, 3.0, 5.0, 7.0, 10.0, 6.0], "{device:?}");
    }
}

#[test]
fn integers_are_in_order() {
    let x = Tensor::input("x", [5], DType::I32);
    let values = [3, i32::MIN, -1, i32::MAX, 0];
    for device in devices() {
        let order = floats(&device, &x.argsort(0, false), &[("x", Data::from(&values[..]))]);
        assert_eq!(order, [1.0, 2.0, 4.0, 0.0, 3.0], "{device:?}");
    }
}

#[test]
fn the_last_of_a_scatter_stays() {
    let x = Tensor::input("x", [3], DType::F32);
    let (index, source) = (Tensor::input("i", [5], DType::U32), Tensor::input("s", [5], DType::F32));
    let y = x.scatter(0, &index, &source);
    let grads = gradients(&(&y * &y), &[&x, &source]);
    let given: [(&str, Data); 3] = [
        ("x", Data::from(&[1.0f32, 2.0, 3.0][..])),
        ("i", Data::from(&[2u32, 0, 2, 0, 2][..])),
        ("s", Data::from(&[4.0f32, 5.0, 6.0, 7.0, 8.0][..])),
    ];
    for device in devices() {
        let mut out = run(&device, &[&y, &grads[0], &grads[1]], &given);
        assert_eq!(out.f32(0).unwrap(), [7.0, 2.0, 8.0], "{device:?}");
        assert_eq!(out.f32(1).unwrap(), [0.0, 4.0, 0.0], "{device:?}");
        assert_eq!(out.f32(2).unwrap(), [0.0, 0.0, 0.0, 14.0, 16.0], "{device:?}");
    }
}

#[test]
fn indices_out_of_range_are_reported() {
    let (x, index) = (Tensor::input("x", [4, 3], DType::F32), Tensor::input("i", [2], DType::U32));
    let bags = EmbeddingBag { offsets: Some(index.clone()), ..Default::default() };
    let all = [
        ("embedding", x.embedding(&index, None)),
        ("embedding_bag", x.embedding_bag(&Tensor::zeros([1], DType::U32), &bags)),
        ("index_select", x.index_select(0, &index)),
        ("index_add", x.index_add(0, &index, &x.slice(0, 0..2), 1.0)),
        ("gather", x.gather(0, &index.reshape([1, 2]))),
        ("take_along_axis", x.take_along_axis(&index.reshape([2, 1]), 0)),
        ("scatter_add", x.scatter_add(0, &index.reshape([1, 2]), &x)),
        ("scatter_max", x.scatter_max(0, &index.reshape([1, 2]), &x)),
        ("scatter", x.scatter(0, &index.reshape([1, 2]), &x)),
        ("segment_sum", x.slice(0, 0..2).segment_sum(&index, 4)),
        ("segment_max", x.slice(0, 0..2).segment_max(&index, 4)),
        ("one_hot", index.one_hot(4)),
        ("bincount", index.bincount(4)),
        (
            "csr_matmul",
            Tensor::csr_matmul(&Tensor::iota([3], 0), &index, &x.slice(0, 0..1).slice(1, 0..2).reshape([2]), &x),
        ),
    ];
    for device in devices() {
        for (op, y) in &all {
            // With gradients, which use the index again.
            let loss = y.cast(DType::F32).square().sum_all();
            let grads = gradients(&loss, &[&x]);
            let x = [1.0f32; 12];
            let mut out = run(&device, &[&loss, &grads[0]], &[("x", x[..].into()), ("i", [1u32, u32::MAX][..].into())]);
            let e = out.f32(1).unwrap_err().to_string();
            assert!(e.starts_with(op) && e.contains("indexing.rs"), "{op} on {device:?}: {e}");
        }
    }
}

/// Enough rows that the index is sorted, and the longest segment is cut into chunks.
#[test]
fn large_embeddings_have_the_right_gradient() {
    let (rows, width, n) = (1000, 12, 3000);
    let table = Tensor::input("table", [rows, width], DType::F32);
    let index = Tensor::input("index", [n], DType::U32);
    let weight = Tensor::input("weight", [n, width], DType::F32);
    let grad = gradients(&(table.embedding(&index, Some(3)) * &weight).sum_all(), &[&table]).remove(0);
    let mut numbers = Numbers(5);
    // Half of them are number 7.
    let mut number = |i: usize| if i % 2 == 0 { 7 } else { (numbers.next() * rows as f64) as u32 };
    let index: Vec<u32> = (0..n).map(&mut number).collect();
    let weights: Vec<f32> = (0..n * width).map(|i| (i % 17) as f32 - 8.3).collect();
    let mut want = vec![0f64; rows * width];
    for (p, &row) in index.iter().enumerate().filter(|(_, row)| **row != 3) {
        (0..width).for_each(|d| want[row as usize * width + d] += weights[p * width + d] as f64);
    }
    let values = vec![0f32; rows * width];
    let given: [(&str, Data); 3] =
        [("table", Data::from(&values)), ("index", Data::from(&index)), ("weight", Data::from(&weights))];
    for device in devices() {
        let got = floats(&device, &grad, &given);
        for (i, (&g, &w)) in got.iter().zip(&want).enumerate() {
            assert!((g as f64 - w).abs() <= 1e-4 * (1.0 + w.abs()), "{device:?}: {i}: {g}, not {w}");
        }
        assert_eq!(got, floats(&device, &grad, &given), "{device:?}: another run gives other bits");
    }
}

/// The state of a generator.
fn generator(seed: u32) -> Tensor {
    Tensor::iota([4], 0) * Tensor::scalar(0u32) + Tensor::scalar(seed)
}

#[test]
fn random_orders_have_every_number_once() {
    for device in devices() {
        let order = floats(&device, &generator(5).random_permutation(1000, 2), &[]);
        let mut sorted = order.clone();
        sorted.sort_by(f32::total_cmp);
        assert!(sorted.iter().enumerate().all(|(i, &x)| x == i as f32), "{device:?}");
        let still = order.iter().enumerate().filter(|(i, x)| **x == *i as f32).count();
        assert!(still < 10, "{device:?}: {still} of 1000 stayed");
    }
}

/// Of weights 1, 2, 0, 5 the first draw is the last in 5 of 8 cases, and none is drawn twice.
#[test]
fn draws_follow_their_weights() {
    let n = 4000;
    let weights = Tensor::input("w", [4], DType::F32).broadcast_to([n, 4]);
    let draws = weights.multinomial(3, &generator(9), 0);
    for device in devices() {
        let got = floats(&device, &draws, &[("w", Data::from(&[1.0f32, 2.0, 0.0, 5.0][..]))]);
        let first = got.chunks(3).filter(|d| d[0] == 3.0).count() as f64 / n as f64;
        assert!((first - 0.625).abs() < 0.025, "{device:?}: {first}");
        for d in got.chunks(3) {
            assert!(!d.contains(&2.0) && d[0] != d[1] && d[1] != d[2] && d[0] != d[2], "{device:?}: {d:?}");
        }
    }
}

#[test]
fn long_running_sums_keep_their_digits() {
    let n = 100_003;
    let x = Tensor::input("x", [n], DType::F32);
    let y = x.cumsum_with(0, Scan { reverse: true, exclusive: false });
    let values = vec![0.1f32; n];
    for device in devices() {
        let got = floats(&device, &y, &[("x", Data::from(&values))]);
        for (i, &g) in got.iter().enumerate() {
            let want = (n - i) as f64 * 0.1f32 as f64;
            // On a GPU the sums of at most 512 steps, and of as many chunks, each rounded.
            assert!((g as f64 - want).abs() <= 1024.0 * 2f64.powi(-24) * want, "{device:?}: {i}: {g}, not {want}");
        }
    }
}

#[test]
fn bad_arguments_are_named() {
    let x = Tensor::input("x", [4, 3], DType::F32);
    let (index, mask) = (Tensor::zeros([2], DType::U32), Tensor::zeros([4, 3], DType::Bool));
    let grid = Tensor::zeros([2, 3], DType::U32);
    let bad = |op: &str, r: Result<Tensor, ShapeError>| {
        let e = r.unwrap_err().to_string();
        assert!(e.starts_with(op) && e.contains("indexing.rs"), "{op}: {e}");
    };
    bad("gather", checked(|| x.gather(0, &index)));
    bad("gather", checked(|| x.gather(2, &grid)));
    bad("gather", checked(|| x.gather(0, &x)));
    bad("gather", checked(|| x.gather(0, &Tensor::zeros([2, 4], DType::U32))));
    bad("take_along_axis", checked(|| x.take_along_axis(&Tensor::zeros([2, 2], DType::U32), 0)));
    bad("index_select", checked(|| x.index_select(0, &grid)));
    bad("index_select", checked(|| x.index_select(0, &x.slice(1, 0..1).squeeze(1))));
    bad("index_add", checked(|| x.index_add(0, &index, &x, 1.0)));
    bad("index_copy", checked(|| x.index_copy(1, &index, &x)));
    bad("index_fill", checked(|| x.index_fill(0, &grid, 1.0)));
    bad("scatter_add", checked(|| x.scatter_add(0, &grid, &x.slice(0, 0..1))));
    bad("scatter", checked(|| x.scatter(1, &grid, &x.cast(DType::I32))));
    bad("scatter_max", checked(|| x.scatter_max(-3, &grid, &x)));
    bad("embedding", checked(|| x.embedding(&index, Some(4))));
    bad("embedding", checked(|| x.unsqueeze(0).embedding(&index, None)));
    bad("embedding_bag", checked(|| x.embedding_bag(&index, &EmbeddingBag::default())));
    let weights = EmbeddingBag { weights: Some(x.clone()), ..Default::default() };
    bad("embedding_bag", checked(|| x.embedding_bag(&grid, &weights)));
    bad("segment_sum", checked(|| x.segment_sum(&index, 3)));
    bad("segment_max", checked(|| x.cast(DType::U32).segment_max(&index, 3)));
    bad("one_hot", checked(|| x.one_hot(3)));
    bad("bincount", checked(|| grid.weighted_bincount(&x, 3)));
    bad("argsort", checked(|| x.argsort(2, false)));
    bad("sort", checked(|| x.sort(-3, false).0));
    bad("topk", checked(|| x.topk(4, 1, true).0));
    bad("kthvalue", checked(|| x.kthvalue(0, 1).0));
    bad("median", checked(|| x.slice(1, 0..0).median(1).0));
    bad("multinomial", checked(|| x.multinomial(4, &generator(1), 0)));
    bad("searchsorted", checked(|| x.searchsorted(&x.slice(0, 0..1), false)));
    bad("searchsorted", checked(|| grid.searchsorted(&x, false)));
    bad("bucketize", checked(|| x.bucketize(&x, false)));
    bad("masked_fill", checked(|| x.masked_fill(&x, 0.0)));
    bad("masked_select", checked(|| x.masked_select(&mask.slice(0, 0..2), 3)));
    bad("masked_scatter", checked(|| x.masked_scatter(&grid, &x)));
    bad("nonzero", checked(|| x.nonzero(3)));
    let values = x.slice(1, 0..1).squeeze(1);
    bad("csr_matmul", checked(|| Tensor::csr_matmul(&grid, &index, &values.slice(0, 0..2), &x)));
    bad("csr_matmul", checked(|| Tensor::csr_matmul(&index, &index, &values, &x)));
    bad("coo_matmul", checked(|| Tensor::coo_matmul(&index.slice(0, 0..1), &index, &values.slice(0, 0..2), 3, &x)));
    bad("recurrence", checked(|| x.recurrence(&values, 0, false)));
    bad("cumsum", checked(|| grid.cumsum(0)));
    bad("cumprod", checked(|| x.cumprod(2)));
    bad("cummax", checked(|| x.cummax(-3).0));
    bad("logcumsumexp", checked(|| grid.logcumsumexp(0)));
}
