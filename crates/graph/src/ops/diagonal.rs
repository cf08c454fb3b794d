//! Diagonals, and matrices that are 0 but on, above or below one.

use crate::op::{Array, DimIndex, IndexMap, Lower, Op, View};
use crate::{OpCase, Tensor};
use wgrad_device::DType;

/// The elements at (i + below, i + right) of the last two axes, `len` of them.
#[derive(Debug)]
struct Diagonal {
    below: usize,
    right: usize,
    len: usize,
}

impl Op for Diagonal {
    fn name(&self) -> &'static str {
        "diagonal"
    }
    fn infer(&self, inputs: &[&Tensor]) -> Result<(Vec<usize>, DType), String> {
        let mut shape = inputs[0].shape()[..inputs[0].rank() - 2].to_vec();
        shape.push(self.len);
        Ok((shape, inputs[0].dtype()))
    }
    fn gradient(&self, output: &Tensor, grad: &Tensor) -> Result<Vec<Option<Tensor>>, String> {
        let x = output.inputs()[0].shape();
        Ok(vec![Some(embed(grad, self.below, self.right, x[x.len() - 2], x[x.len() - 1]))])
    }
    fn reference(&self, inputs: &[&Array], shape: &[usize]) -> Array {
        Array::from_fn(shape, |i| {
            let (&d, batch) = i.split_last().expect("the diagonal");
            inputs[0].at(&[batch, &[d + self.below, d + self.right]].concat())
        })
    }
    fn lower(&self) -> Lower<'_> {
        Lower::View(self)
    }
}

impl View for Diagonal {
    fn map(&self, map: &IndexMap, _: &[usize], _: &[usize]) -> Option<IndexMap> {
        let mut map = map.clone();
        let DimIndex { affine, div } = map.dims.pop().expect("the diagonal");
        for by in [self.below, self.right] {
            map.dims.push(DimIndex { affine: affine.scaled(1, (by * div) as i64), div });
        }
        Some(map)
    }
}

/// [..., L] on a diagonal of [..., rows, columns], from (below, right) on; 0 elsewhere.
fn embed(x: &Tensor, below: usize, right: usize, rows: usize, columns: usize) -> Tensor {
    let len = x.shape()[x.rank() - 1];
    let spread = x.pad(-1, below, rows - below - len, 0.0).unsqueeze(x.rank());
    let (row, column) = (Tensor::iota([rows, columns], 0), Tensor::iota([rows, columns], 1));
    let hit = (row + Tensor::scalar(right as u32)).equal(&(column + Tensor::scalar(below as u32)));
    hit.select(&spread, &x.lit(0.0))
}

/// Rows and columns to skip before a diagonal begins.
fn skip(offset: isize) -> (usize, usize) {
    ((-offset).max(0) as usize, offset.max(0) as usize)
}

impl Tensor {
    /// The diagonal of the matrices that axes `a` and `b` form, as a last axis in their place; `offset` counts to the right
    /// of the main one, negative ones below it. A view.
    #[track_caller]
    pub fn diagonal(&self, offset: isize, a: isize, b: isize) -> Tensor {
        let (d1, d2) = (self.axis("diagonal", a), self.axis("diagonal", b));
        if d1 == d2 {
            crate::fail("diagonal", format!("axis {d1} of {:?} is named twice", self.shape()));
        }
        let (below, right) = skip(offset);
        let (rows, columns) = (self.shape()[d1], self.shape()[d2]);
        if below > rows || right > columns {
            crate::fail("diagonal", format!("offset {offset} is outside {rows} by {columns} of {:?}", self.shape()));
        }
        let mut order: Vec<usize> = (0..self.rank()).filter(|&d| d != d1 && d != d2).collect();
        order.extend([d1, d2]);
        let len = (rows - below).min(columns - right);
        Tensor::apply(Diagonal { below, right, len }, &[&self.permute(&order)])
    }

    /// The last axis on the diagonal of square matrices that stand in two new last axes, 0 elsewhere; `offset` as in
    /// [`Tensor::diagonal`].
    #[track_caller]
    pub fn diag_embed(&self, offset: isize) -> Tensor {
        let Some(&len) = self.shape().last() else {
            crate::fail("diag_embed", "a tensor without axes has no diagonal to give")
        };
        let (below, right) = skip(offset);
        let n = len + below + right;
        embed(self, below, right, n, n)
    }

    /// 0 above the diagonal `offset` of the matrices in the last two axes.
    #[track_caller]
    pub fn tril(&self, offset: isize) -> Tensor {
        self.in_triangle("tril", offset, true)
    }

    /// 0 below the diagonal `offset` of the matrices in the last two axes.
    #[track_caller]
    pub fn triu(&self, offset: isize) -> Tensor {
        self.in_triangle("triu", offset, false)
    }

    #[track_caller]
    fn in_triangle(&self, op: &str, offset: isize, lower: bool) -> Tensor {
        let &[.., rows, columns] = self.shape() else {
            crate::fail(op, format!("matrices of two or more axes expected, not {:?}", self.shape()))
        };
        let place = |axis| Tensor::iota([rows, columns], axis).cast(DType::I32);
        let (row, column) = (place(0) + Tensor::scalar(offset as i32), place(1));
        let kept = if lower { column.le(&row) } else { column.ge(&row) };
        kept.select(self, &self.lit(0.0))
    }

    /// The matrix [rows, columns] with ones on its main diagonal, f32.
    #[track_caller]
    pub fn eye(rows: usize, columns: usize) -> Tensor {
        Tensor::iota([rows, columns], 0).equal(&Tensor::iota([rows, columns], 1)).cast(DType::F32)
    }
}

pub(crate) fn cases() -> Vec<OpCase> {
    let case = |name: &'static str, text: &str, shape: &[usize], f: fn(&Tensor) -> Tensor| {
        OpCase::new(name, format!("{name} {text}{shape:?}"), &[shape], move |x| f(&(&x[0] * 2.0)).exp())
    };
    vec![
        case("diagonal", "", &[4, 4], |x| x.diagonal(0, 0, 1)),
        case("diagonal", "above ", &[3, 5], |x| x.diagonal(1, 0, 1)),
        case("diagonal", "below ", &[2, 5, 3], |x| x.diagonal(-2, -2, -1)),
        case("diagonal", "of the outer axes ", &[4, 2, 3], |x| x.diagonal(0, 2, 0)),
        case("diagonal", "past all ", &[3, 3], |x| x.diagonal(3, 0, 1)),
        case("diagonal", "of a padded ", &[3, 2], |x| x.pad(1, 1, 1, 0.5).flip(&[1]).diagonal(0, 0, 1)),
        case("diag_embed", "", &[3], |x| x.diag_embed(0)),
        case("diag_embed", "above ", &[2, 3], |x| x.diag_embed(2)),
        case("diag_embed", "below ", &[2, 1, 2], |x| x.diag_embed(-1)),
        case("tril", "", &[4, 4], |x| x.tril(0)),
        case("tril", "above ", &[2, 3, 5], |x| x.tril(1)),
        case("tril", "below ", &[5, 3], |x| x.tril(-2)),
        case("triu", "", &[4, 4], |x| x.triu(0)),
        case("triu", "above ", &[2, 3, 5], |x| x.triu(2)),
        case("triu", "below ", &[0, 3], |x| x.triu(-1)),
        case("eye", "", &[3, 5], |x| x * Tensor::eye(3, 5).cast(x.dtype())),
        case("eye", "", &[4, 2], |x| x + Tensor::eye(4, 2).cast(x.dtype())),
        case("eye", "", &[1, 1], |x| x * Tensor::eye(1, 1).cast(x.dtype())),
    ]
}
