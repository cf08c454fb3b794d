//! Sparse matrices times dense ones.

use crate::ops::gather::index_of;
use crate::ops::order::numbers;
use crate::ops::segments::fold_segments;
use crate::{OpCase, Tensor};
use wgrad_device::DType;
use wgrad_device::kernels::SegmentFold;

#[track_caller]
fn check(op: &str, columns: &Tensor, values: &Tensor, dense: &Tensor) {
    let same_type = values.dtype().is_float() && values.dtype() == dense.dtype();
    if columns.rank() != 1 || values.shape() != columns.shape() || dense.rank() != 2 || !same_type {
        let (a, b) = (values.dtype(), dense.dtype());
        let text = format!("values {a} {:?} at columns {:?} times", values.shape(), columns.shape());
        crate::fail(op, format!("{text} {b} {:?}", dense.shape()));
    }
}

impl Tensor {
    /// A sparse matrix [m, k] in compressed rows times a dense one [k, n]: [m, n]. Row r has the elements from `starts[r]` to
    /// `starts[r + 1]` (u32 [m + 1], ascending) of `columns` (u32 `[elements]`) and `values` (floats `[elements]`). Gradients flow
    /// to the values and to `dense`. As `torch.sparse.mm` of a CSR matrix.
    ///
    /// Columns out of range count as 0 and are reported when outputs are read, and so are starts.
    #[track_caller]
    pub fn csr_matmul(starts: &Tensor, columns: &Tensor, values: &Tensor, dense: &Tensor) -> Tensor {
        const OP: &str = "csr_matmul";
        check(OP, columns, values, dense);
        if starts.rank() != 1 || starts.count() == 0 {
            crate::fail(OP, format!("starts [m + 1] expected, not {:?}", starts.shape()));
        }
        let starts = index_of(OP, starts, columns.count() + 1);
        let columns = index_of(OP, columns, dense.shape()[0]);
        let (x, weight) = (dense.cast(DType::F32), values.cast(DType::F32));
        fold_segments(SegmentFold::Sum, &x, &starts, Some(&columns), Some(&weight)).cast(dense.dtype())
    }

    /// A sparse matrix [m, k], given by elements in any order, times a dense one [k, n]: [m, n]. Element e, `values[e]`, is in
    /// row `rows[e]` and column `columns[e]` (u32); elements of equal places add up. Gradients flow to the values and to
    /// `dense`. As `torch.sparse.mm` of a COO matrix.
    ///
    /// Elements out of range count as 0 and are reported when outputs are read.
    #[track_caller]
    pub fn coo_matmul(rows: &Tensor, columns: &Tensor, values: &Tensor, m: usize, dense: &Tensor) -> Tensor {
        const OP: &str = "coo_matmul";
        check(OP, columns, values, dense);
        if rows.shape() != columns.shape() {
            crate::fail(OP, format!("rows {:?}, columns {:?}", rows.shape(), columns.shape()));
        }
        let (rows, columns) = (index_of(OP, rows, m), index_of(OP, columns, dense.shape()[0]));
        dense.sum_rows(Some(&rows), Some(&columns), Some(values), m)
    }
}

pub(crate) fn cases() -> Vec<OpCase> {
    let csr = |[m, k, n]: [usize; 3], elements: usize| {
        let name = format!("csr_matmul {m}x{k}x{n}, {elements} elements");
        OpCase::new("csr_matmul", name, &[&[k, n], &[elements], &[elements]], move |x| {
            // Even rows are empty.
            let step = Tensor::iota([m + 1], 0).shr(&Tensor::scalar(1u32)) * Tensor::scalar(elements as u32);
            let starts = (step.cast(DType::F32) * (2.0 / m as f32)).floor().cast(DType::U32);
            let starts = starts.minimum(&Tensor::scalar(elements as u32));
            Tensor::csr_matmul(&starts, &numbers(&x[1], k), &x[2].exp(), &x[0].square())
        })
        .domain(0.0, 1.0)
    };
    let coo = |[m, k, n]: [usize; 3], elements: usize| {
        let name = format!("coo_matmul {m}x{k}x{n}, {elements} elements");
        let list = [elements];
        OpCase::new("coo_matmul", name, &[&[k, n], &list, &list, &list], move |x| {
            let (rows, columns) = (numbers(&x[1], m), numbers(&x[2], k));
            Tensor::coo_matmul(&rows, &columns, &x[3].exp(), m, &x[0].square())
        })
        .domain(0.0, 1.0)
    };
    vec![
        csr([4, 5, 3], 9),
        csr([6, 3, 4], 7),
        csr([2, 7, 1], 13),
        csr([2, 3, 2], 0),
        coo([4, 5, 3], 9),
        coo([3, 2, 4], 11),
        coo([7, 1, 1], 5),
        coo([2, 3, 2], 0),
    ]
}
