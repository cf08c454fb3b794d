//! Attention's kernels, in their forms for GPUs and for software adapters, against the CPU backend's (which the f64
//! reference of the graph judges).

use crate::common::{AsOn, Random, device, run};
use std::sync::Arc;
use wgrad_device::kernels::{Attention, AttentionDropout, AttentionKernel, AttentionPart, RowPlaces, row_inputs};
use wgrad_device::{AdapterKind, Device, Kernel};

fn plain(batch: usize, [heads, kv_heads]: [usize; 2], [length_q, length_k]: [usize; 2], size: usize) -> Attention {
    Attention {
        batch,
        heads,
        kv_heads,
        length_q,
        length_k,
        size,
        size_v: size,
        scale: 0.3,
        offset: 0,
        left: None,
        right: None,
        mask: false,
        bias: None,
        dropout: None,
    }
}

/// Every part of every problem.
pub fn samples() -> Vec<AttentionKernel> {
    let dropout = Some(AttentionDropout { stream: 3, threshold: 5 << 20, factor: 1.45 });
    // Few sizes of heads and combinations of options, since each makes shaders of its own.
    let problems = [
        plain(2, [2, 2], [5, 7], 16),
        plain(1, [4, 2], [70, 65], 16),
        Attention { right: Some(0), ..plain(2, [2, 2], [70, 70], 16) },
        Attention { right: Some(0), ..plain(1, [2, 1], [130, 100], 16) },
        Attention { right: Some(0), offset: -8, ..plain(1, [2, 2], [20, 12], 16) },
        plain(1, [2, 2], [3, 0], 16),
        Attention { left: Some(20), right: Some(7), offset: 9, size_v: 5, ..plain(1, [1, 1], [67, 76], 70) },
        plain(1, [1, 1], [4, 9], 256),
        Attention { mask: true, ..plain(3, [1, 1], [33, 35], 1) },
        Attention { bias: Some([2, 3, 40]), ..plain(2, [3, 1], [40, 70], 16) },
        Attention { bias: Some([1, 3, 40]), right: Some(0), ..plain(2, [3, 3], [40, 33], 16) },
        Attention { bias: Some([1, 1, 1]), ..plain(2, [2, 2], [70, 66], 16) },
        Attention { dropout, left: Some(3), mask: true, bias: Some([2, 1, 40]), ..plain(2, [2, 1], [40, 40], 3) },
    ];
    use AttentionPart::*;
    let parts = [Forward, BackwardQuery, BackwardKeyValue, BackwardBias, BackwardAll];
    let each = problems.iter().enumerate().flat_map(|(i, a)| {
        parts.map(|part| {
            let mut kernel = AttentionKernel::new(a.clone(), part);
            if i % 2 == 1 {
                kernel.operands = fused(a);
            }
            kernel
        })
    });
    let makes_sense = |k: &AttentionKernel| {
        let a = &k.attention;
        match k.part {
            BackwardBias => a.bias.is_some(),
            BackwardAll => [a.heads, a.length_q, a.size] == [a.kv_heads, a.length_k, a.size_v],
            _ => true,
        }
    };
    each.filter(makes_sense).collect()
}

/// Operands as a fused projection lays them out: the heads of a place side by side, after something else, with more behind.
fn fused(a: &Attention) -> [RowPlaces; 4] {
    let (q, kv) = ([a.heads, a.length_q], [a.kv_heads, a.length_k]);
    [(q, a.size, 0), (kv, a.size, 7), (kv, a.size_v, 12), (q, a.size_v, 3)].map(|([heads, length], size, start)| {
        let row = heads * size + 5;
        RowPlaces { start, batch: length * row + 2, head: size, row }
    })
}

/// Elements that an operand's buffer must have.
fn reach(rows: RowPlaces, [batch, heads, length, size]: [usize; 4]) -> usize {
    match batch * heads * length {
        0 => 0,
        _ => rows.at(batch - 1, heads - 1, length - 1) + size,
    }
}

fn inputs(k: &AttentionKernel) -> Vec<Vec<u8>> {
    let (a, mut random) = (&k.attention, Random(5));
    let mut floats = |n: usize, shift: f32| -> Vec<u8> {
        (0..n).flat_map(|_| (random.float() / 2.0 + shift).to_le_bytes()).collect()
    };
    let (q, kv) = ([a.batch, a.heads, a.length_q], [a.batch, a.kv_heads, a.length_k]);
    let shape = |[b, h, n]: [usize; 3], size| [b, h, n, size];
    let shapes = [shape(q, a.size), shape(kv, a.size), shape(kv, a.size_v), shape(q, a.size_v)];
    let mut operands: Vec<Vec<u8>> = k.operands.iter().zip(shapes).map(|(&r, s)| floats(reach(r, s), 0.0)).collect();
    let grad = operands.pop();
    let mut all = operands;
    if k.part != AttentionPart::Forward {
        all.extend(grad);
        all.extend((0..row_inputs(a)).map(|_| floats(2 * a.rows() / row_inputs(a), 2.0)));
    }
    let bias = a.bias.map(|b| floats(b.iter().product::<usize>() * a.length_k, 0.0));
    if a.words() > 0 {
        // The generator's words, or a mask in which most keys are seen.
        all.push((0..a.words()).flat_map(|_| random.below(5).to_le_bytes()).collect());
    }
    all.extend(bias);
    all
}

fn check(k: &AttentionKernel, kernel: Arc<dyn Kernel>, device: &Device) {
    let bytes = [4 * k.len()];
    let inputs = inputs(k);
    let floats = |bytes: &[u8]| bytes.chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect::<Vec<_>>();
    let want = floats(&run(&Device::cpu(), Arc::new(k.clone()), &inputs, &bytes, &[])[0]);
    let got = floats(&run(device, kernel, &inputs, &bytes, &[])[0]);
    // Of the logarithms, those of rows that see nothing are apart.
    let scale = want.iter().filter(|x| **x != f32::MIN).fold(1f32, |m, x| m.max(x.abs()));
    for (i, (g, w)) in got.iter().zip(&want).enumerate() {
        assert!((g - w).abs() <= 2e-5 * scale || g == w, "{k:?}: element {i} is {g}, wanted {w}");
    }
}

#[test]
fn attention_matches() {
    let Some(device) = device() else { return };
    samples().iter().for_each(|k| check(k, Arc::new(k.clone()), device));
}

#[test]
fn attention_matches_as_on_gpu() {
    let Some(device) = device() else { return };
    samples()
        .iter()
        .for_each(|k| check(k, Arc::new(AsOn(Arc::new(k.clone()), AdapterKind::Discrete, Default::default())), device));
}
