//! Networks on graphs and on sets of points.

use crate::support::numbers;
use crate::{Training, Values};
use wgrad::graph::ConvOptions;
use wgrad::prelude::*;

/// Nodes of the test graph: a ring of two communities with a few chords.
const NODES: usize = 14;

/// D^-1/2 (A + I) D^-1/2, as Kipf and Welling (2017) normalise.
fn adjacency() -> Vec<f32> {
    let mut a = vec![0f32; NODES * NODES];
    let mut edge = |i: usize, j: usize| {
        a[i * NODES + j] = 1.0;
        a[j * NODES + i] = 1.0;
    };
    for i in 0..NODES {
        edge(i, i);
        edge(i, (i + 1) % NODES);
        if i % 7 < 5 {
            edge(i, i / 7 * 7 + (i + 2) % 7);
        }
    }
    let degree: Vec<f32> = a.chunks(NODES).map(|row| row.iter().sum()).collect();
    (0..NODES * NODES).map(|p| a[p] / (degree[p / NODES] * degree[p % NODES]).sqrt()).collect()
}

/// Two graph convolutions; only four nodes have labels.
#[test]
fn gcn() {
    let a = Tensor::input("adjacency", [NODES, NODES], DType::F32);
    let x = Tensor::input("features", [NODES, 5], DType::F32);
    let labels = Tensor::input("labels", [4], DType::U32);
    let labelled = Tensor::input("labelled", [4, NODES], DType::F32);
    let scope = Scope::train();
    let hidden = a.matmul(&Linear::new(5, 16).bias(false).forward(&scope.enter("conv1"), &x)).relu();
    let logits = a.matmul(&Linear::new(16, 2).forward(&scope.enter("conv2"), &hidden));
    let loss = labelled.matmul(&logits).cross_entropy(&labels);
    let updates = Adam::new(0.05).weight_decay(5e-4).minimize(&scope, &loss);
    let rows: Vec<f32> =
        [0usize, 4, 8, 12].iter().flat_map(|&n| (0..NODES).map(move |i| (i == n) as u8 as f32)).collect();
    let feed = move |_| {
        vec![
            ("adjacency", Values::F32(adjacency())),
            ("features", Values::F32(numbers(NODES * 5, 1))),
            ("labels", Values::U32(vec![0, 0, 1, 1])),
            ("labelled", Values::F32(rows.clone())),
        ]
    };
    Training::new(loss, updates, feed).learns(0.5);
}

const POINTS: usize = 24;

/// Points [N, C, P] through a layer shared by all points: a convolution of width 1.
fn shared(scope: &Scope, name: &str, x: &Tensor, outputs: usize) -> Tensor {
    let scope = scope.enter(name);
    let inputs = x.shape()[1];
    let bound = 1.0 / (inputs as f32).sqrt();
    let weight = scope.param("weight", &[outputs, inputs, 1], wgrad::graph::Init::Uniform(-bound, bound));
    let y = x.conv(&weight, &ConvOptions::new(1));
    let (gamma, beta) = (
        scope.param("gamma", &[outputs], wgrad::graph::Init::Constant(1.0)),
        scope.param("beta", &[outputs], wgrad::graph::Init::Constant(0.0)),
    );
    y.batch_norm_train(&gamma, &beta, 1e-5).output.relu()
}

/// PointNet (Qi et al., 2017) with its input transform, telling flat clouds from thick ones.
#[test]
fn pointnet() {
    let batch = 8;
    let x = Tensor::input("points", [batch, 3, POINTS], DType::F32);
    let labels = Tensor::input("labels", [batch], DType::U32);
    let scope = Scope::train();
    // The transform starts as the identity.
    let seen = shared(&scope, "tnet", &x, 16).max(&[2]);
    let change = Linear::new(16, 9).forward(&scope.enter("tnet.fc"), &seen).reshape([batch, 3, 3]);
    let identity = Tensor::iota([3, 3], 0).equal(&Tensor::iota([3, 3], 1)).cast(DType::F32);
    let turned = (change * 0.1 + identity).matmul(&x);
    let features = shared(&scope, "mlp2", &shared(&scope, "mlp1", &turned, 16), 32).max(&[2]);
    let loss = Linear::new(32, 2).forward(&scope.enter("head"), &features).cross_entropy(&labels);
    let updates = Adam::new(0.01).minimize(&scope, &loss);
    let feed = move |step| {
        let labels: Vec<u32> = (0..batch).map(|i| ((i + step) % 2) as u32).collect();
        let mut points = numbers(batch * 3 * POINTS, step);
        for (i, label) in labels.iter().enumerate() {
            // The third coordinate of a flat cloud is small.
            let z = &mut points[(i * 3 + 2) * POINTS..(i * 3 + 3) * POINTS];
            z.iter_mut().for_each(|v| *v *= if *label == 0 { 0.1 } else { 1.0 });
        }
        vec![("points", Values::F32(points)), ("labels", Values::U32(labels))]
    };
    Training::new(loss, updates, feed).learns(0.5);
}
