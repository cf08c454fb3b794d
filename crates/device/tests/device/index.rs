//! Sorting, searching, folds over segments and recurrences, against plain loops.

use crate::common::{AsOn, Random, device, run};
use std::sync::Arc;
use wgrad_device::kernels::{Recurrence, Search, SegmentFold, Segments, Sort, Step};
use wgrad_device::{AdapterKind, Device, Kernel};

/// A kernel, its inputs, and what it should give. Floats are compared loosely.
struct Check {
    name: String,
    kernel: Arc<dyn Kernel>,
    inputs: Vec<Vec<u8>>,
    want: Want,
}

enum Want {
    U32(Vec<u32>),
    F32(Vec<f64>),
}

fn bytes<T: bytemuck::NoUninit>(x: &[T]) -> Vec<u8> {
    bytemuck::cast_slice(x).to_vec()
}

fn words(bytes: &[u8]) -> Vec<u32> {
    bytes.chunks(4).map(|b| u32::from_le_bytes(b.try_into().unwrap())).collect()
}

fn check(device: &Device, kernel: Arc<dyn Kernel>, c: &Check, on: &str) {
    let len = match &c.want {
        Want::U32(w) => w.len(),
        Want::F32(w) => w.len(),
    };
    let got = words(&run(device, kernel, &c.inputs, &[4 * len], &[])[0]);
    let fail = |i: usize, got: &dyn std::fmt::Debug, want: &dyn std::fmt::Debug| {
        panic!("{} {on}: element {i} is {got:?}, not {want:?}", c.name)
    };
    match &c.want {
        Want::U32(want) => {
            got.iter().zip(want).enumerate().filter(|(_, (g, w))| g != w).for_each(|(i, (g, w))| fail(i, g, w))
        }
        Want::F32(want) => {
            for (i, (&g, w)) in got.iter().zip(want).enumerate() {
                let g = f32::from_bits(g) as f64;
                if (g - w).abs() > 1e-5 * (1.0 + w.abs()) || g.is_nan() {
                    fail(i, &g, w)
                }
            }
        }
    }
}

fn sort(name: &str, rows: usize, n: usize, kinds: u32) -> Check {
    let mut random = Random(n as u64 + 7 * rows as u64);
    // The greatest key of all among them.
    let key = |r: &mut Random| if r.below(50) == 0 { u32::MAX } else { r.below(kinds).wrapping_mul(77_777_777) };
    let keys: Vec<u32> = (0..rows * n).map(|_| key(&mut random)).collect();
    let mut want = vec![];
    for row in keys.chunks(n.max(1)) {
        let mut order: Vec<u32> = (0..n as u32).collect();
        order.sort_by_key(|&i| row[i as usize]);
        want.extend(order);
    }
    let (kernel, inputs) = (Arc::new(Sort { rows, n }), vec![bytes(&keys)]);
    Check { name: format!("sort {name}"), kernel, inputs, want: Want::U32(want) }
}

fn search(name: &str, rows: usize, len: usize, values: usize, after_equals: bool) -> Check {
    let mut random = Random((rows * len + values) as u64);
    let mut sorted: Vec<u32> = (0..rows * len).map(|_| random.below(len as u32 * 2)).collect();
    sorted.chunks_mut(len.max(1)).for_each(|row| row.sort());
    let wanted: Vec<u32> = (0..rows * values).map(|_| random.below(len as u32 * 2 + 3)).collect();
    let place = |(i, &v): (usize, &u32)| {
        let row = &sorted[i / values * len..][..len];
        row.iter().filter(|&&x| x < v || (after_equals && x == v)).count() as u32
    };
    // Counting is too slow for many.
    let bisect = |(i, &v): (usize, &u32)| {
        sorted[i / values * len..][..len].partition_point(|&x| x < v || (after_equals && x == v)) as u32
    };
    let all = wanted.iter().enumerate();
    let want = if rows * values > 10_000 { all.map(bisect).collect() } else { all.map(place).collect() };
    Check {
        name: format!("search {name}"),
        kernel: Arc::new(Search { rows, len, values, after_equals }),
        inputs: vec![bytes(&sorted), bytes(&wanted)],
        want: Want::U32(want),
    }
}

/// Segments of the given lengths.
fn segments(name: &str, lengths: &[usize], s: Segments) -> Check {
    let mut random = Random((s.positions * 31 + s.width) as u64);
    let starts: Vec<u32> = std::iter::once(0)
        .chain(lengths.iter().scan(0, |at, n| {
            *at += *n as u32;
            Some(*at)
        }))
        .collect();
    // Some rows do not exist.
    let rows: Vec<u32> = (0..s.positions as u32)
        .map(|p| match s.indexed {
            true if random.below(20) == 0 => s.source as u32 + random.below(3),
            true => random.below(s.source.max(1) as u32),
            false => p,
        })
        .collect();
    let weight: Vec<f32> = (0..s.positions).map(|_| if s.weighted { random.float() } else { 1.0 }).collect();
    let floats: Vec<f32> = (0..s.source * s.width).map(|_| random.float()).collect();
    let keys: Vec<u32> = (0..s.source * s.width).map(|_| random.below(9)).collect();
    let (mut sums, mut places) = (vec![], vec![]);
    for segment in starts.windows(2) {
        for d in 0..s.width {
            let (mut sum, mut best) = (0.0, None);
            for p in segment[0] as usize..(segment[1] as usize).min(s.positions) {
                let row = rows[p] as usize;
                if row < s.source {
                    sum += weight[p] as f64 * floats[row * s.width + d] as f64;
                    let key = keys[row * s.width + d];
                    if best.is_none_or(|(_, k)| key > k) {
                        best = Some((p as u32, key));
                    }
                }
            }
            sums.push(sum);
            places.push(best.map_or(u32::MAX, |(p, _)| p));
        }
    }
    let is_sum = s.fold == SegmentFold::Sum;
    let mut inputs = vec![if is_sum { bytes(&floats) } else { bytes(&keys) }, bytes(&starts)];
    if s.indexed {
        inputs.push(bytes(&rows));
    }
    if s.weighted {
        inputs.push(bytes(&weight));
    }
    let want = if is_sum { Want::F32(sums) } else { Want::U32(places) };
    Check { name: format!("segments {name}"), kernel: Arc::new(s), inputs, want }
}

fn recurrence(name: &str, step: Step, [outer, n, inner]: [usize; 3], reverse: bool) -> Check {
    let (mut random, len) = (Random((n * 3 + inner) as u64), outer * n * inner);
    let terms: Vec<f32> = (0..len).map(|_| random.float()).collect();
    // Some zeros; others so large that their product has no end.
    let factor = |r: &mut Random| if r.below(40) == 0 { 0.0 } else { r.float() * 1.2 };
    let factors: Vec<f32> = (0..len).map(|_| factor(&mut random)).collect();
    let keys: Vec<u32> = (0..len).map(|_| random.below(n as u32 * 4 + 1)).collect();
    let (mut states, mut places) = (vec![0.0; len], vec![0; len]);
    for line in 0..outer * inner {
        let (mut y, mut best) = (0.0, None);
        for i in 0..n {
            let i = if reverse { n - 1 - i } else { i };
            let at = (line / inner * n + i) * inner + line % inner;
            y = y * if step == Step::MulAdd { factors[at] as f64 } else { 1.0 } + terms[at] as f64;
            if best.is_none_or(|b: usize| keys[at] >= keys[b]) {
                best = Some(at);
            }
            (states[at], places[at]) = (y, (best.unwrap() / inner % n) as u32);
        }
    }
    let (inputs, want) = match step {
        Step::Greatest => (vec![bytes(&keys)], Want::U32(places)),
        Step::Add => (vec![bytes(&terms)], Want::F32(states)),
        Step::MulAdd => (vec![bytes(&terms), bytes(&factors)], Want::F32(states)),
    };
    let kernel = Arc::new(Recurrence { step, outer, n, inner, reverse });
    Check { name: format!("recurrence {name} {step:?} {reverse}"), kernel, inputs, want }
}

fn checks() -> Vec<Check> {
    let mut all = vec![
        sort("of nothing", 3, 0, 9),
        sort("of one", 1, 1, 9),
        sort("of many ones", 70, 1, 9),
        sort("short", 5, 7, 4),
        sort("a whole run", 2, 64, 1000),
        sort("past a run", 3, 65, 20),
        sort("equal keys", 2, 301, 1),
        sort("two merges", 3, 131, 50),
        sort("many merges", 2, 1031, 1 << 30),
        sort("long", 1, 20_011, 5000),
        search("in nothing", 2, 0, 5, false),
        search("for nothing", 2, 5, 0, false),
        search("in one", 1, 1, 7, true),
        search("before equals", 3, 17, 29, false),
        search("after equals", 3, 17, 29, true),
        search("long", 1, 5003, 333, false),
        search("past 65535 workgroups", 1, 13, 64 * 65536 + 5, true),
    ];
    for step in [Step::Add, Step::MulAdd, Step::Greatest] {
        for reverse in [false, true] {
            let mut add = |name: &str, shape| all.push(recurrence(name, step, shape, reverse));
            add("of nothing", [3, 0, 2]);
            add("of one", [2, 1, 3]);
            add("short", [3, 7, 5]);
            add("of many lines", [300, 5, 31]);
            add("in chunks", [2, 131, 3]);
            add("in even chunks", [1, 256, 1]);
            add("long", [1, 5003, 1]);
        }
    }
    let shape = |lengths: &[usize], width, source, indexed, weighted| Segments {
        fold: SegmentFold::Sum,
        segments: lengths.len(),
        width,
        source: if indexed { source } else { lengths.iter().sum() },
        positions: lengths.iter().sum(),
        indexed,
        weighted,
    };
    let mixed = [3, 0, 1, 700, 0, 0, 259, 17, 1024, 0];
    let empty = [0; 5];
    let ones = [1; 37];
    for (name, lengths) in
        [("mixed", &mixed[..]), ("empty", &empty), ("of one", &ones), ("one", &[5003]), ("none", &[])]
    {
        for (width, indexed, weighted) in [(1, true, false), (3, true, true), (4, false, true), (8, true, false)] {
            let s = shape(lengths, width, 29, indexed, weighted);
            let name = format!("{name} {width} {indexed} {weighted}");
            all.push(segments(&name, lengths, s.clone()));
            let greatest = Segments { fold: SegmentFold::ArgMax, weighted: false, ..s };
            all.push(segments(&format!("{name}, greatest"), lengths, greatest));
        }
    }
    let many = vec![1; 64 * 65536 + 5];
    all.push(segments("past 65535 workgroups", &many, shape(&many, 1, 0, false, false)));
    all
}

/// The kernels, for the shader test.
pub fn kernels() -> Vec<(String, Arc<dyn Kernel>)> {
    checks().into_iter().map(|c| (c.name, c.kernel)).collect()
}

#[test]
fn index_kernels_match() {
    let cpu = Device::cpu();
    for c in checks() {
        check(&cpu, c.kernel.clone(), &c, "on the CPU");
        if let Some(device) = device() {
            check(device, c.kernel.clone(), &c, "on the GPU");
            check(
                device,
                Arc::new(AsOn(c.kernel.clone(), AdapterKind::Discrete, Default::default())),
                &c,
                "as on a real GPU",
            );
        }
    }
}

/// Starts that are out of order or past the end give some result, and touch nothing outside.
#[test]
fn broken_starts_are_harmless() {
    let s = Segments {
        fold: SegmentFold::Sum,
        segments: 4,
        width: 2,
        source: 5,
        positions: 2000,
        indexed: true,
        weighted: false,
    };
    let rows: Vec<u32> = (0..2000).map(|p| p * 7 % 11).collect();
    let inputs = [bytes(&[1.0f32; 10]), bytes(&[u32::MAX, 3, 1999, 5, 1 << 31]), bytes(&rows)];
    for device in std::iter::once(&Device::cpu()).chain(device()) {
        run(device, Arc::new(s.clone()), &inputs, &[32], &[]);
    }
}
