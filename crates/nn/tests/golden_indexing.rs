//! Gathers, scatters, embeddings, segment reductions, sorts and sparse products against PyTorch. The file is written by
//! scripts/golden/indexing.py.

mod support;

use support::case::Case;
use wgrad_graph::{Bag, DType, EmbeddingBag, Tensor};
use wgrad_nn::Scope;

/// Case `name` of the file, with inputs of these names.
fn check(name: &str, inputs: &[&str], build: impl Fn(&[Tensor]) -> Tensor) {
    load(name).check(Scope::train(), inputs, |_, t| build(t));
}

fn load(name: &str) -> Case {
    Case::load("indexing", name.to_string().leak())
}

/// Values and indices as one tensor.
fn both((values, indices): (Tensor, Tensor)) -> Tensor {
    values * (indices.cast(DType::F32) + 1.0)
}

#[test]
fn gathers() {
    for (name, axis) in [("line", 0), ("smaller", 1), ("longer", 0)] {
        check(&format!("gather.{name}"), &["x", "i"], |t| t[0].gather(axis, &t[1]));
    }
    for (name, axis) in [("rows", 1), ("columns", 0), ("last", -1)] {
        check(&format!("take_along_axis.{name}"), &["x", "i"], |t| t[0].take_along_axis(&t[1], axis));
    }
    for (name, axis) in [("first", 0), ("middle", 1), ("last", -1)] {
        check(&format!("index_select.{name}"), &["x", "i"], |t| t[0].index_select(axis, &t[1]));
    }
}

#[test]
fn scatters() {
    for (name, axis) in [("line", 0), ("smaller", 1), ("longer", 0)] {
        let inputs = ["x", "s", "i"];
        check(&format!("scatter_add.{name}"), &inputs, |t| t[0].scatter_add(axis, &t[2], &t[1]));
        check(&format!("scatter_max.{name}"), &inputs, |t| t[0].scatter_max(axis, &t[2], &t[1]));
        check(&format!("scatter_min.{name}"), &inputs, |t| t[0].scatter_min(axis, &t[2], &t[1]));
        check(&format!("scatter.{name}"), &inputs, |t| t[0].scatter(axis, &t[2], &t[1]));
    }
    for (name, axis) in [("first", 0), ("middle", 1), ("last", -1)] {
        check(&format!("index_add.{name}"), &["x", "s", "i"], |t| t[0].index_add(axis, &t[2], &t[1], -0.5));
        check(&format!("index_copy.{name}"), &["x", "s", "i"], |t| t[0].index_copy(axis, &t[2], &t[1]));
        check(&format!("index_fill.{name}"), &["x", "i"], |t| t[0].index_fill(axis, &t[1], 0.5));
    }
}

#[test]
fn embeddings() {
    for (name, padding) in [("plain", None), ("padding", Some(2)), ("many", Some(0))] {
        check(&format!("embedding.{name}"), &["w", "i"], |t| t[0].embedding(&t[1], padding));
    }
    for (name, mode) in [("sum", Bag::Sum), ("mean", Bag::Mean), ("max", Bag::Max)] {
        let with = |offsets: Option<&Tensor>, padding| EmbeddingBag {
            mode,
            offsets: offsets.cloned(),
            padding,
            ..Default::default()
        };
        let name = format!("embedding_bag.{name}");
        check(&name, &["w", "i"], |t| t[0].embedding_bag(&t[1], &with(None, None)));
        check(&format!("{name}.offsets"), &["w", "i", "o"], |t| t[0].embedding_bag(&t[1], &with(Some(&t[2]), None)));
        check(&format!("{name}.padding"), &["w", "i"], |t| t[0].embedding_bag(&t[1], &with(None, Some(1))));
    }
    check("embedding_bag.weighted", &["w", "i", "s", "o"], |t| {
        let (weights, offsets) = (Some(t[2].clone()), Some(t[3].clone()));
        t[0].embedding_bag(&t[1], &EmbeddingBag { mode: Bag::Sum, offsets, padding: Some(0), weights })
    });
}

#[test]
fn counts() {
    for name in ["line", "grid", "scalar"] {
        check(&format!("one_hot.{name}"), &["x", "i"], |t| &t[0] * t[1].one_hot(5));
    }
    for (n, len) in [(13, 6), (200, 6), (3, 7)] {
        check(&format!("bincount.{n}"), &["x", "i"], |t| &t[0] * t[1].bincount(len).cast(DType::F32));
    }
}

#[test]
fn segments() {
    for (name, n) in [("few", 4), ("many", 17), ("line", 3)] {
        let inputs = ["x", "i"];
        check(&format!("segment_sum.{name}"), &inputs, |t| t[0].segment_sum(&t[1], n));
        check(&format!("segment_mean.{name}"), &inputs, |t| t[0].segment_mean(&t[1], n));
        check(&format!("segment_max.{name}"), &inputs, |t| t[0].segment_max(&t[1], n));
        check(&format!("segment_min.{name}"), &inputs, |t| t[0].segment_min(&t[1], n));
        check(&format!("segment_softmax.{name}"), &inputs, |t| t[0].segment_softmax(&t[1], n));
    }
}

#[test]
fn order() {
    for (name, axis) in [("rows", 1), ("columns", 0), ("long", -1)] {
        for (text, descending) in [("False", false), ("True", true)] {
            check(&format!("sort.{name}.{text}"), &["x"], |t| both(t[0].sort(axis, descending)));
            check(&format!("topk.{name}.{text}"), &["x"], |t| both(t[0].topk(3, axis, descending)));
        }
        check(&format!("kthvalue.{name}"), &["x"], |t| both(t[0].kthvalue(2, axis)));
        check(&format!("median.{name}"), &["x"], |t| both(t[0].median(axis)));
    }
}

#[test]
fn flat_forms() {
    for name in ["line", "grid", "scalar"] {
        check(&format!("take.{name}"), &["x", "i"], |t| t[0].take(&t[1]));
        check(&format!("weighted_bincount.{name}"), &["x", "i"], |t| t[1].weighted_bincount(&t[0], 9));
        check(&format!("argsort.{name}"), &["x"], |t| {
            &t[0] * (t[0].argsort(-1, t[0].shape()[0] == 3).cast(DType::F32) + 1.0)
        });
        check(&format!("nonzero.{name}"), &["x", "m"], |t| {
            let mask = t[1].equal(&Tensor::scalar(1u32));
            &t[0] * mask.nonzero(t[0].count()).cast(DType::F32)
        });
    }
}

#[test]
fn searches() {
    for (text, right) in [("False", false), ("True", true)] {
        let float = |case: &Case, name: &str| Tensor::input(name, case.arrays[name].shape.clone(), DType::F32);
        let case = load(&format!("searchsorted.{text}"));
        let (rows, values) = (float(&case, "a"), float(&case, "v"));
        case.check(Scope::train(), &["x"], |_, t| &t[0] * rows.searchsorted(&values, right).cast(DType::F32));
        let case = load(&format!("bucketize.{text}"));
        let (bounds, values) = (float(&case, "a"), float(&case, "v"));
        case.check(Scope::train(), &["x"], |_, t| &t[0] * values.bucketize(&bounds, right).cast(DType::F32));
    }
}

#[test]
fn masks() {
    let mask = |t: &Tensor| t.equal(&Tensor::scalar(1u32));
    for name in ["whole", "row", "column"] {
        check(&format!("masked_fill.{name}"), &["x", "m"], |t| t[0].masked_fill(&mask(&t[1]), -2.0));
    }
    for name in ["line", "grid", "long"] {
        let inputs = ["x", "s", "m"];
        check(&format!("masked_scatter.{name}"), &inputs, |t| t[0].masked_scatter(&mask(&t[2]), &t[1]));
        let name = format!("masked_select.{name}");
        let size = load(&name).arrays["y"].data.len();
        check(&name, &["x", "m"], |t| t[0].masked_select(&mask(&t[1]), size));
    }
}

#[test]
fn sparse_products() {
    for (name, m) in [("small", 4), ("wide", 3), ("many", 6)] {
        check(&format!("csr_matmul.{name}"), &["starts", "columns", "values", "dense"], |t| {
            Tensor::csr_matmul(&t[0], &t[1], &t[2], &t[3])
        });
        check(&format!("coo_matmul.{name}"), &["rows", "columns", "values", "dense"], |t| {
            Tensor::coo_matmul(&t[0], &t[1], &t[2], m, &t[3])
        });
    }
}
