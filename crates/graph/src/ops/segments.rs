//! Sums of rows by index, and their adjoints: the machinery under every scatter, segment reduction, embedding gradient and
//! sparse product. Equal indices are brought together by a stable sort of the index alone and then summed in a fixed order,
//! without atomics.

use crate::op::{Array, Lower, Op};
use crate::ops::order::numbers;
use crate::{OpCase, Tensor};
use std::sync::Arc;
use wgrad_device::DType;
use wgrad_device::kernels::{SegmentFold, Segments};

/// Below this many comparisons (length of the result times elements), every result is compared with every index, which is
/// one kernel in place of eight. Measured: on lavapipe both take as long here; the CPU backend would always rather sort.
const COMPARED: usize = 1 << 16;

/// The index of something that does not exist: it reads as 0, and is left out of sums.
pub(crate) const NOWHERE: u32 = u32::MAX;

/// Arguments: source, starts, then rows and weights where there are any.
#[derive(Debug)]
struct FoldSegments(Segments);

impl Op for FoldSegments {
    fn name(&self) -> &'static str {
        "segments"
    }

    fn infer(&self, _: &[&Tensor]) -> Result<(Vec<usize>, DType), String> {
        let is_sum = self.0.fold == SegmentFold::Sum;
        Ok((vec![self.0.segments, self.0.width], if is_sum { DType::F32 } else { DType::U32 }))
    }

    fn gradient(&self, output: &Tensor, grad: &Tensor) -> Result<Vec<Option<Tensor>>, String> {
        let (s, inputs) = (&self.0, output.inputs());
        if s.fold != SegmentFold::Sum {
            return Ok(vec![None; inputs.len()]);
        }
        let rows = if s.indexed { Some(&inputs[2]) } else { None };
        let weight = s.weighted.then(|| &inputs[2 + s.indexed as usize]);
        // The segment that each position is in.
        let position = Tensor::iota([s.positions], 0);
        let count = inputs[1].searchsorted(&position, true);
        let inside = count.gt(&count.lit(0.0)).logical_and(&count.le(&count.lit(s.segments as f64)));
        let segment = inside.select(&(&count - Tensor::scalar(1u32)), &Tensor::scalar(NOWHERE));
        let mut grads = vec![Some(grad.sum_rows(rows, Some(&segment), weight, s.source)), None];
        if s.indexed {
            grads.push(None);
        }
        if s.weighted {
            grads.push(Some(row_products(grad, &segment, &inputs[0], rows)));
        }
        Ok(grads)
    }

    fn reference(&self, inputs: &[&Array], shape: &[usize]) -> Array {
        let s = &self.0;
        let (source, starts) = (&inputs[0].data, &inputs[1].data);
        let mut out = vec![];
        for segment in 0..s.segments {
            let range = starts[segment] as usize..(starts[segment + 1] as usize).min(s.positions);
            for d in 0..s.width {
                let (mut sum, mut best) = (0.0, NOWHERE as f64);
                let at = |p: usize| {
                    let row = if s.indexed { inputs[2].data[p] as usize } else { p };
                    (row < s.source).then(|| source[row * s.width + d])
                };
                for p in range.clone() {
                    let Some(x) = at(p) else { continue };
                    let weight = if s.weighted { inputs[2 + s.indexed as usize].data[p] } else { 1.0 };
                    sum += weight * x;
                    if best == NOWHERE as f64 || x > at(best as usize).expect("was found there") {
                        best = p as f64;
                    }
                }
                out.push(if s.fold == SegmentFold::Sum { sum } else { best });
            }
        }
        Array::new(shape, out)
    }

    fn lower(&self) -> Lower<'_> {
        Lower::Kernel(Arc::new(self.0.clone()))
    }
}

/// A fold over segments of positions; see [`Segments`].
#[track_caller]
pub(crate) fn fold_segments(
    fold: SegmentFold,
    source: &Tensor,
    starts: &Tensor,
    rows: Option<&Tensor>,
    weight: Option<&Tensor>,
) -> Tensor {
    let [count, width] = source.dims();
    let kernel = Segments {
        fold,
        segments: starts.count() - 1,
        width,
        source: count,
        positions: rows.map_or(count, Tensor::count),
        indexed: rows.is_some(),
        weighted: weight.is_some(),
    };
    let inputs: Vec<&Tensor> = [source, starts].into_iter().chain(rows).chain(weight).collect();
    Tensor::apply(FoldSegments(kernel), &inputs)
}

/// For each position, the inner product of a row of `a` and one of `b`: [positions].
#[track_caller]
fn row_products(a: &Tensor, a_rows: &Tensor, b: &Tensor, b_rows: Option<&Tensor>) -> Tensor {
    let b = b_rows.map_or(b.clone(), |rows| b.take_rows(rows));
    (a.take_rows(a_rows) * b).sum(&[1])
}

/// Equal elements of a u32 index [P] brought together.
pub(crate) struct Groups {
    /// Positions, those of equal elements side by side, first ones first: [P].
    pub order: Tensor,
    /// Where in `order` those of each number begin, and the end of the last: [len + 1].
    pub starts: Tensor,
}

impl Groups {
    /// Of the numbers below `len`.
    #[track_caller]
    pub fn new(index: &Tensor, len: usize) -> Groups {
        let order = index.argsort_keys();
        let starts = index.take(&order).searchsorted(&Tensor::iota([len + 1], 0), false);
        Groups { order, starts }
    }
}

impl Tensor {
    /// `result[r] = sum over p with into[p] = r of weight[p] * self[from[p]]` for r below `len`: [len, D] from this tensor
    /// [K, D]. Without `into`, position p is row p of the result; without `from`, row p of this tensor. Rows that do not
    /// exist on either side are left out.
    #[track_caller]
    pub(crate) fn sum_rows(
        &self,
        into: Option<&Tensor>,
        from: Option<&Tensor>,
        weight: Option<&Tensor>,
        len: usize,
    ) -> Tensor {
        let [_, width] = self.dims();
        let positions = into.or(from).map_or(self.shape()[0], Tensor::count);
        self.sum_rows_by(into, from, weight, len, len * positions * width > COMPARED)
    }

    /// [`Tensor::sum_rows`] in one of its two forms.
    #[track_caller]
    fn sum_rows_by(
        &self,
        into: Option<&Tensor>,
        from: Option<&Tensor>,
        weight: Option<&Tensor>,
        len: usize,
        sorted: bool,
    ) -> Tensor {
        let rows_of = |t: &Tensor, rows: Option<&Tensor>| rows.map_or(t.clone(), |r| t.take_rows(r));
        let [count, width] = self.dims();
        let Some(into) = into else {
            let rows = rows_of(self, from);
            let weighted = weight.map_or(rows.clone(), |w| rows * w.unsqueeze(1));
            return fit_rows(&weighted, len);
        };
        let x = self.stop_gradient();
        let value = if sorted {
            let groups = Groups::new(into, len);
            let rows = from.map_or(groups.order.clone(), |f| f.take(&groups.order));
            let weight = weight.map(|w| w.stop_gradient().take(&groups.order).cast(DType::F32));
            let sums =
                fold_segments(SegmentFold::Sum, &x.cast(DType::F32), &groups.starts, Some(&rows), weight.as_ref());
            sums.cast(self.dtype())
        } else {
            let p = into.count();
            let rows = rows_of(&x, from);
            let weighted = weight.map_or(rows.clone(), |w| rows * w.stop_gradient().unsqueeze(1));
            let hit = Tensor::iota([len, p, 1], 0).equal(&into.reshape([1, p, 1]));
            hit.select(&weighted.unsqueeze(0), &self.lit(0.0)).sum(&[1])
        };
        let (into, from) = (into.clone(), from.cloned());
        let mut arguments = vec![self];
        arguments.extend(weight);
        let value = value.reshape([len, width]);
        value.with_gradient(&arguments, move |_, arguments, g| {
            let x = &arguments[0];
            let weight = arguments.get(1);
            let mut grads = vec![Some(g.sum_rows(from.as_ref(), Some(&into), weight, count))];
            if weight.is_some() {
                grads.push(Some(row_products(g, &into, x, from.as_ref())));
            }
            grads
        })
    }
}

/// The first `len` rows, or zeros after them.
#[track_caller]
fn fit_rows(x: &Tensor, len: usize) -> Tensor {
    let n = x.shape()[0];
    x.slice(0, 0..n.min(len)).pad(0, 0, len.saturating_sub(n), 0.0)
}

/// The positions of the elements of rows of a tensor [rows, width]: [..., width].
#[track_caller]
pub(crate) fn flat_rows(index: &Tensor, rows: usize, width: usize) -> Tensor {
    let shape = [index.shape(), &[width]].concat();
    let row = index.unsqueeze(index.rank());
    let column = Tensor::iota(shape, index.rank());
    // A product with a row that does not exist could wrap around to one that does.
    let exists = row.lt(&Tensor::scalar(rows as u32));
    exists.select(&(&row * Tensor::scalar(width as u32) + column), &Tensor::scalar(NOWHERE))
}

pub(crate) fn cases() -> Vec<OpCase> {
    let sums = |text: &'static str, [k, d]: [usize; 2], p: usize, len: usize, [from, weighted]: [bool; 2]| {
        [true, false].map(|sorted| {
            let name = format!("sum of rows {text} [{k}, {d}] at {p} into {len}, sorted {sorted}");
            OpCase::new("segments", name, &[&[k, d], &[p], &[p], &[p]], move |x| {
                // Some rows do not exist.
                let (into, rows) = (numbers(&x[1], len + 1), numbers(&x[2], k + 1));
                let (from, weight) = (from.then_some(&rows), weighted.then_some(&x[3]));
                x[0].exp().sum_rows_by(Some(&into), from, weight, len, sorted)
            })
            .domain(0.0, 1.0)
        })
    };
    let mut all = [
        sums("plain", [7, 3], 7, 5, [false, false]),
        sums("weighted", [7, 4], 7, 5, [false, true]),
        sums("chosen", [3, 2], 11, 4, [true, false]),
        sums("chosen and weighted", [5, 1], 13, 3, [true, true]),
        sums("nothing", [0, 3], 0, 2, [false, false]),
        sums("past a run", [5, 4], 70, 3, [true, true]),
    ]
    .concat();
    all.push(
        OpCase::new("segments", "segments with given starts", &[&[6, 3], &[9], &[9]], |x| {
            // Starts 2, 2, 6, 8: positions 0, 1 and 8 are in no segment.
            let part = |at: usize, value: u32| Tensor::full([1], value).pad(0, at, 3 - at, 0.0);
            let starts = part(0, 2) + part(1, 2) + part(2, 6) + part(3, 8);
            let (source, weight) = (x[0].in_f32(), x[2].in_f32());
            fold_segments(SegmentFold::Sum, &source, &starts, Some(&numbers(&x[1], 7)), Some(&weight))
        })
        .domain(0.0, 1.0),
    );
    all
}
