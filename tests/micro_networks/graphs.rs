//! Networks on graphs and on sets of points.

use crate::support::numbers;
use crate::support::training::{Training, Values};
use wgrad::nn::{BatchNorm1d, Conv1d};
use wgrad::prelude::*;

/// Nodes of the test graph: a ring of two communities with a few chords.
const NODES: usize = 14;

/// D^-1/2 (A + I) D^-1/2, as Kipf and Welling (2017) normalise, in compressed rows: starts, columns, values.
fn adjacency() -> (Vec<u32>, Vec<u32>, Vec<f32>) {
    let mut neighbours = vec![std::collections::BTreeSet::new(); NODES];
    let mut edge = |i: usize, j: usize| {
        neighbours[i].insert(j);
        neighbours[j].insert(i);
    };
    for i in 0..NODES {
        edge(i, i);
        edge(i, (i + 1) % NODES);
        if i % 7 < 5 {
            edge(i, i / 7 * 7 + (i + 2) % 7);
        }
    }
    let (mut starts, mut columns, mut values) = (vec![0], vec![], vec![]);
    for row in &neighbours {
        columns.extend(row.iter().map(|&j| j as u32));
        values.extend(row.iter().map(|&j| 1.0 / ((row.len() * neighbours[j].len()) as f32).sqrt()));
        starts.push(columns.len() as u32);
    }
    (starts, columns, values)
}

/// Two graph convolutions; only four nodes have labels.
#[test]
fn gcn() {
    let edges = adjacency().1.len();
    let starts = Tensor::input("starts", [NODES + 1], DType::U32);
    let columns = Tensor::input("columns", [edges], DType::U32);
    let values = Tensor::input("values", [edges], DType::F32);
    let x = Tensor::input("features", [NODES, 5], DType::F32);
    let labels = Tensor::input("labels", [4], DType::U32);
    let labelled = Tensor::input("labelled", [4], DType::U32);
    let spread = |x: &Tensor| Tensor::csr_matmul(&starts, &columns, &values, x);
    let scope = Scope::train();
    let hidden = spread(&Linear::new(5, 16).bias(false).forward(&scope.enter("conv1"), &x)).relu();
    let logits = spread(&Linear::new(16, 2).forward(&scope.enter("conv2"), &hidden));
    let loss = logits.index_select(0, &labelled).cross_entropy(&labels);
    let updates = Adam::new(0.05).weight_decay(5e-4).minimize(&scope, &loss);
    let feed = |_| {
        let (starts, columns, values) = adjacency();
        vec![
            ("starts", Values::U32(starts)),
            ("columns", Values::U32(columns)),
            ("values", Values::F32(values)),
            ("features", Values::F32(numbers(NODES * 5, 1))),
            ("labels", Values::U32(vec![0, 0, 1, 1])),
            ("labelled", Values::U32(vec![0, 4, 8, 12])),
        ]
    };
    Training::new(loss, updates, feed).learns(0.5);
}

const POINTS: usize = 24;

/// Points [N, C, P] through a layer shared by all points: a convolution of width 1.
fn shared(scope: &Scope, name: &str, x: &Tensor, outputs: usize) -> Tensor {
    let scope = scope.enter(name);
    let y = Conv1d::new(x.shape()[1], outputs, 1).forward(&scope.enter("conv"), x);
    BatchNorm1d::new(outputs).forward(&scope.enter("bn"), &y).relu()
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
