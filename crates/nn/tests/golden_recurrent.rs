//! Recurrent layers against PyTorch. The file is written by scripts/golden/recurrent.py.

mod support;

use support::case::Case;
use wgrad_graph::Tensor;
use wgrad_nn::{Cell, Recurrent, RecurrentCell, Scope};

/// Everything that a layer gives, flat, as the script has it.
fn flat<'a>(all: impl Iterator<Item = &'a Tensor>) -> Tensor {
    let parts: Vec<Tensor> = all.map(|t| t.flatten(0)).collect();
    Tensor::concat(&parts.iter().collect::<Vec<_>>(), 0)
}

/// The file's inputs that are states to start from.
fn states(cell: Cell) -> &'static [&'static str] {
    if cell == Cell::Lstm { &["x", "h0", "c0"] } else { &["x", "h0"] }
}

fn check(name: &'static str, layer: Recurrent, cell: Cell, initial: bool) {
    let case = Case::load("recurrent", name);
    let lengths = case.arrays.contains_key("lengths").then(|| case.input("lengths"));
    let inputs = if initial { states(cell) } else { &["x"] };
    case.check(Scope::train(), inputs, |scope, t| {
        let out = layer.run(scope, &t[0], &t[1..], lengths.as_ref());
        flat(std::iter::once(&out.output).chain(&out.states))
    });
}

fn all(cell: Cell, [plain, deep, lengths, mixed]: [&'static str; 4]) {
    let layer = Recurrent::new(cell, 2, 3);
    check(plain, layer.clone(), cell, false);
    check(deep, layer.clone().layers(2).bidirectional(true).batch_first(true), cell, true);
    check(lengths, layer.clone().bidirectional(true).bias(false), cell, false);
    check(mixed, layer.layers(2).batch_first(true), cell, true);
}

fn cell(name: &'static str, cell: Cell, layer: RecurrentCell) {
    Case::load("recurrent", name)
        .check(Scope::train(), states(cell), |scope, t| flat(layer.forward(scope, &t[0], &t[1..]).iter()));
}

#[test]
fn rnn() {
    all(Cell::Tanh, ["tanh.plain", "tanh.deep", "tanh.lengths", "tanh.all"]);
    all(Cell::Relu, ["relu.plain", "relu.deep", "relu.lengths", "relu.all"]);
    cell("tanh.cell", Cell::Tanh, RecurrentCell::new(Cell::Tanh, 2, 3));
}

#[test]
fn lstm() {
    all(Cell::Lstm, ["lstm.plain", "lstm.deep", "lstm.lengths", "lstm.all"]);
    cell("lstm.cell", Cell::Lstm, RecurrentCell::new(Cell::Lstm, 2, 3));
}

#[test]
fn gru() {
    all(Cell::Gru, ["gru.plain", "gru.deep", "gru.lengths", "gru.all"]);
    cell("gru.cell", Cell::Gru, RecurrentCell::new(Cell::Gru, 2, 3).bias(false));
}
