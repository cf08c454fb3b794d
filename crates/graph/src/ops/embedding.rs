//! Embeddings: rows of a table by number, one by one or a bag at a time.

use crate::ops::gather::index_of;
use crate::ops::order::numbers;
use crate::ops::segments::{NOWHERE, flat_rows, fold_segments};
use crate::{OpCase, Tensor};
use wgrad_device::DType;
use wgrad_device::kernels::SegmentFold;

/// How the rows of a bag become one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Bag {
    /// Their sum, with weights if there are any.
    Sum,
    /// Their mean.
    #[default]
    Mean,
    /// The greatest of each column; the gradient goes to the first of equal ones.
    Max,
}

/// Options of [`Tensor::embedding_bag`].
#[derive(Clone, Debug, Default)]
pub struct EmbeddingBag {
    /// How.
    pub mode: Bag,
    /// Where each bag begins in a flat index: u32 `[bags]`, ascending, the first 0.
    pub offsets: Option<Tensor>,
    /// A number whose row is left out, in means too, and gets no gradient.
    pub padding: Option<usize>,
    /// A weight for each element of the index; for sums only.
    pub weights: Option<Tensor>,
}

/// The index, but [`NOWHERE`] where it is the padding.
#[track_caller]
fn without_padding(op: &'static str, index: &Tensor, padding: Option<usize>, rows: usize) -> Tensor {
    match padding {
        None => index.clone(),
        Some(p) if p < rows => index.equal(&Tensor::scalar(p as u32)).select(&Tensor::scalar(NOWHERE), index),
        Some(p) => crate::fail(op, format!("padding {p}, but there are {rows} rows")),
    }
}

impl Tensor {
    /// Rows of this table [rows, width], by a u32 index of any shape: [..., width]. The row `padding` gets no gradient. As
    /// `torch.nn.functional.embedding`.
    ///
    /// The gradient sorts the index and adds up rows in a fixed order. An index out of range gives zeros and is reported when
    /// outputs are read.
    #[track_caller]
    pub fn embedding(&self, index: &Tensor, padding: Option<usize>) -> Tensor {
        self.table("embedding");
        let index = index_of("embedding", index, self.shape()[0]);
        let counted = without_padding("embedding", &index, padding, self.shape()[0]);
        self.take_rows_as(&index, &counted)
    }

    /// The rows of each bag as one: [bags, width] from this table [rows, width]. The index (u32) is [bags, n], or flat with
    /// offsets. A bag without rows gives zeros. As `torch.nn.functional.embedding_bag`.
    #[track_caller]
    pub fn embedding_bag(&self, index: &Tensor, options: &EmbeddingBag) -> Tensor {
        const OP: &str = "embedding_bag";
        self.table(OP);
        let n = index.count();
        let starts = match &options.offsets {
            None if index.rank() == 2 => {
                Tensor::iota([index.shape()[0] + 1], 0) * Tensor::scalar(index.shape()[1] as u32)
            }
            Some(offsets) if index.rank() == 1 && offsets.rank() == 1 => {
                Tensor::concat(&[&index_of(OP, offsets, n + 1), &Tensor::full([1], n as u32)], 0)
            }
            given => {
                let offsets = given.as_ref().map(|o| o.shape().to_vec());
                crate::fail(OP, format!("an index {:?} with offsets {offsets:?}", index.shape()))
            }
        };
        if let Some(w) = &options.weights
            && (options.mode != Bag::Sum || w.shape() != index.shape() || w.dtype() != self.dtype())
        {
            let (mode, dtype) = (options.mode, w.dtype());
            crate::fail(OP, format!("{mode:?} of an index {:?} with weights {dtype} {:?}", index.shape(), w.shape()));
        }
        let index = index_of(OP, index, self.shape()[0]).reshape([n]);
        let rows = without_padding(OP, &index, options.padding, self.shape()[0]);
        if options.mode == Bag::Max {
            return self.greatest_of_bags(&rows, &starts);
        }
        let weights = options.weights.as_ref().map(|w| w.reshape([n]).cast(DType::F32));
        let table = self.cast(DType::F32);
        let sums = fold_segments(SegmentFold::Sum, &table, &starts, Some(&rows), weights.as_ref());
        if options.mode == Bag::Sum {
            return sums.cast(self.dtype());
        }
        let there = rows.not_equal(&Tensor::scalar(NOWHERE)).cast(DType::F32).reshape([n, 1]);
        let counts = fold_segments(SegmentFold::Sum, &there, &starts, None, None);
        (sums / counts.maximum(&counts.lit(1.0))).cast(self.dtype())
    }

    #[track_caller]
    fn greatest_of_bags(&self, rows: &Tensor, starts: &Tensor) -> Tensor {
        let (n, [count, width]) = (rows.count(), self.dims());
        // Of the rows in use alone: the table may be large.
        let keys = self.stop_gradient().take_rows(rows).sort_keys();
        let nowhere = Tensor::scalar(NOWHERE);
        let there = rows.equal(&nowhere).select(&nowhere, &Tensor::iota([n], 0));
        let best = fold_segments(SegmentFold::ArgMax, &keys, starts, Some(&there), None);
        let row = rows.take_or_nowhere(&best);
        let at = &row * &Tensor::scalar(width as u32) + Tensor::iota(row.shape(), 1);
        self.take(&row.lt(&Tensor::scalar(count as u32)).select(&at, &nowhere))
    }

    /// That this is a table.
    #[track_caller]
    fn table(&self, op: &str) {
        if self.rank() != 2 || !self.dtype().is_float() {
            crate::fail(
                op,
                format!("a table [rows, width] of floats expected, not {} {:?}", self.dtype(), self.shape()),
            );
        }
    }

    /// Rows by an index; the gradient is added up by another.
    #[track_caller]
    fn take_rows_as(&self, index: &Tensor, adjoint: &Tensor) -> Tensor {
        let [rows, width] = self.dims();
        let (n, adjoint) = (index.count(), adjoint.clone());
        let value = self.stop_gradient().take(&flat_rows(index, rows, width));
        value.with_gradient(&[self], move |_, _, g| {
            vec![Some(g.reshape([n, width]).sum_rows(Some(&adjoint.reshape([n])), None, None, rows))]
        })
    }

    /// Rows of this tensor [K, D], chosen by a u32 index of any shape: [..., D]. Rows that do not exist are 0.
    #[track_caller]
    pub(crate) fn take_rows(&self, index: &Tensor) -> Tensor {
        self.take_rows_as(index, index)
    }
}

pub(crate) fn cases() -> Vec<OpCase> {
    let embedding = |table: [usize; 2], index: &[usize], padding: Option<usize>| {
        let name = format!("embedding {index:?} of {table:?}, padding {padding:?}");
        let case = OpCase::new("embedding", name, &[&table, index], move |x| {
            x[0].exp().embedding(&numbers(&x[1], table[0]), padding)
        })
        .domain(0.0, 1.0);
        // The padding's row has a value, but no gradient.
        if padding.is_some() { case.no_difference() } else { case }
    };
    let bag = |text: &str, table: [usize; 2], index: &[usize], options: EmbeddingBag| {
        let name = format!("embedding_bag {:?} {text} {index:?} of {table:?}", options.mode);
        OpCase::new("embedding_bag", name, &[&table, index, index], move |x| {
            let weights = options.weights.is_some().then(|| x[2].clone());
            let options = EmbeddingBag { weights, ..options.clone() };
            x[0].exp().embedding_bag(&numbers(&x[1], table[0]), &options)
        })
        .domain(0.0, 1.0)
    };
    let mut all = vec![
        embedding([7, 3], &[5], None),
        embedding([5, 4], &[2, 3], None),
        embedding([3, 1], &[0], None),
        embedding([64, 32], &[40], None),
        embedding([5, 3], &[4, 2], Some(2)),
        OpCase::new("take", "rows, some past the end", &[&[5, 3], &[2, 4]], |x| {
            x[0].square().take_rows(&numbers(&x[1], 6))
        })
        .domain(0.0, 1.0),
    ];
    // Offsets 0, 3, 3: the second bag is empty.
    let offsets = || Some(Tensor::iota([3], 0).minimum(&Tensor::scalar(1u32)) * Tensor::scalar(3u32));
    let with = |mode| EmbeddingBag { mode, ..Default::default() };
    for mode in [Bag::Sum, Bag::Mean, Bag::Max] {
        all.push(bag("plain", [5, 3], &[2, 4], with(mode)));
        all.push(bag("at offsets", [5, 4], &[7], EmbeddingBag { offsets: offsets(), ..with(mode) }));
        all.push(bag("with padding", [3, 2], &[4, 3], EmbeddingBag { padding: Some(1), ..with(mode) }));
    }
    let weights = Some(Tensor::scalar(1.0f32));
    all.push(bag("weighted", [5, 3], &[2, 4], EmbeddingBag { weights: weights.clone(), ..with(Bag::Sum) }));
    let all_three = EmbeddingBag { weights, offsets: offsets(), padding: Some(0), ..with(Bag::Sum) };
    all.push(bag("weighted, at offsets, with padding", [5, 3], &[7], all_three));
    all
}
