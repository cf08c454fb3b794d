//! Products of vectors and distances between them.

use crate::{OpCase, Tensor};

impl Tensor {
    /// The outer product of two vectors: `[N]` and `[M]` to [N, M].
    #[track_caller]
    pub fn outer(&self, other: &Tensor) -> Tensor {
        if self.rank() != 1 || other.rank() != 1 {
            crate::fail("outer", format!("{:?} and {:?}: two vectors expected", self.shape(), other.shape()));
        }
        self.unsqueeze(1) * other.unsqueeze(0)
    }

    /// The sum of the products of the elements of two vectors of one length.
    #[track_caller]
    pub fn dot(&self, other: &Tensor) -> Tensor {
        if self.rank() != 1 || self.shape() != other.shape() {
            crate::fail("dot", format!("{:?} and {:?}: two equal vectors expected", self.shape(), other.shape()));
        }
        (self * other).sum(&[0])
    }

    /// `y[..., o] = sum over i, j of self[..., i] * weight[o, i, j] * other[..., j]`: [..., I] and [..., J] by [O, I, J].
    #[track_caller]
    pub fn bilinear(&self, weight: &Tensor, other: &Tensor) -> Tensor {
        let fits = match (self.shape(), weight.shape(), other.shape()) {
            ([batch1 @ .., i], [_, wi, wj], [batch2 @ .., j]) => (batch1, i, j) == (batch2, wi, wj),
            _ => false,
        };
        if !fits {
            crate::fail(
                "bilinear",
                format!(
                    "{:?} by {:?} by {:?}: [..., I], [O, I, J] and [..., J] expected",
                    self.shape(),
                    weight.shape(),
                    other.shape()
                ),
            );
        }
        Tensor::einsum("...i,oij,...j->...o", &[self, weight, other])
    }

    /// `x · y / (max(|x|, eps) * max(|y|, eps))` along `axis`, which is dropped; both broadcast. PyTorch's default eps is
    /// 1e-8. Where a length is below eps no gradient flows through it (PyTorch's passes the limit as if it were not there); that
    /// at a zero vector is finite.
    #[track_caller]
    pub fn cosine_similarity(&self, other: &Tensor, axis: isize, eps: f32) -> Tensor {
        let product = self * other;
        let axis = product.axis("cosine_similarity", axis);
        let (x, y) = (self.broadcast_to(product.shape()), other.broadcast_to(product.shape()));
        let axes = [axis as isize];
        let length = |t: &Tensor| t.norm(2.0, &axes).clamp(eps, f32::MAX);
        product.sum(&axes) / (length(&x) * length(&y))
    }

    /// The p-norm of `x - y + eps` over the last axis, which is dropped; both broadcast. PyTorch's defaults are p = 2 and
    /// eps = 1e-6.
    #[track_caller]
    pub fn pairwise_distance(&self, other: &Tensor, p: f32, eps: f32) -> Tensor {
        (self - other + eps).norm(p, &[-1])
    }

    /// The p-norm of the difference of each row of [..., P, M] and each of [..., R, M]: [..., P, R]. The differences are not
    /// stored, and the gradient of a distance of 0 is 0.
    #[track_caller]
    pub fn cdist(&self, other: &Tensor, p: f32) -> Tensor {
        if self.rank() < 2 || other.rank() < 2 || self.shape().last() != other.shape().last() {
            crate::fail(
                "cdist",
                format!("{:?} and {:?}: [..., P, M] and [..., R, M] expected", self.shape(), other.shape()),
            );
        }
        (self.unsqueeze(self.rank() - 1) - other.unsqueeze(other.rank() - 2)).norm(p, &[-1])
    }

    /// The cross product of vectors of three along `axis`; both have one shape.
    #[track_caller]
    pub fn cross(&self, other: &Tensor, axis: isize) -> Tensor {
        let n = self.shape()[self.axis("cross", axis)];
        if n != 3 || self.shape() != other.shape() {
            crate::fail("cross", format!("{:?} and {:?}: 3 along axis {axis} expected", self.shape(), other.shape()));
        }
        // c[i] = a[i + 1] * b[i + 2] - a[i + 2] * b[i + 1]
        self.roll(axis, -1) * other.roll(axis, -2) - self.roll(axis, -2) * other.roll(axis, -1)
    }
}

pub(crate) fn cases() -> Vec<OpCase> {
    type Function = fn(&[Tensor]) -> Tensor;
    let case = |name: &'static str, text: &str, shapes: &[&[usize]], f: Function| {
        OpCase::new(name, format!("{name} {text}{shapes:?}"), shapes, f)
    };
    let cdist = |p: f32, a: &[usize], b: &[usize]| {
        OpCase::new("cdist", format!("cdist {p} {a:?} {b:?}"), &[a, b], move |x| x[0].cdist(&x[1], p))
    };
    vec![
        case("outer", "", &[&[3], &[5]], |x| x[0].outer(&x[1])),
        case("outer", "", &[&[1], &[0]], |x| x[0].outer(&x[1])),
        case("outer", "of slices ", &[&[9], &[7]], |x| x[0].slice_step(0, 1, 4, 2).outer(&x[1].flip(&[0]))),
        case("dot", "", &[&[37], &[37]], |x| x[0].dot(&x[1])),
        case("dot", "", &[&[1], &[1]], |x| x[0].dot(&x[1])),
        case("dot", "", &[&[0], &[0]], |x| x[0].dot(&x[1])),
        case("bilinear", "", &[&[4, 3], &[2, 3, 5], &[4, 5]], |x| x[0].bilinear(&x[1], &x[2])),
        case("bilinear", "", &[&[3], &[2, 3, 5], &[5]], |x| x[0].bilinear(&x[1], &x[2])),
        case("bilinear", "", &[&[2, 3, 1], &[4, 1, 5], &[2, 3, 5]], |x| x[0].bilinear(&x[1], &x[2])),
        case("cosine_similarity", "", &[&[4, 5], &[4, 5]], |x| x[0].cosine_similarity(&x[1], 1, 1e-8)),
        case("cosine_similarity", "", &[&[3, 1, 4], &[2, 4]], |x| x[0].cosine_similarity(&x[1], -1, 1e-8)),
        case("cosine_similarity", "below eps ", &[&[4, 5], &[4, 5]], |x| x[0].cosine_similarity(&x[1], 0, 10.0)),
        case("cosine_similarity", "of a zero vector ", &[&[2, 3], &[2, 3]], |x| {
            let first = Tensor::iota([2, 3], 0).equal(&Tensor::scalar(0u32));
            first.select(&x[0].lit(0.0), &x[0]).cosine_similarity(&x[1], 1, 0.1)
        }),
        case("pairwise_distance", "", &[&[4, 5], &[4, 5]], |x| x[0].pairwise_distance(&x[1], 2.0, 1e-6)),
        case("pairwise_distance", "1 ", &[&[3, 1, 4], &[2, 4]], |x| x[0].pairwise_distance(&x[1], 1.0, 1e-6)),
        case("pairwise_distance", "3 ", &[&[5], &[5]], |x| x[0].pairwise_distance(&x[1], 3.0, 0.1)),
        cdist(2.0, &[4, 3], &[5, 3]),
        cdist(1.0, &[2, 3, 2], &[2, 1, 2]),
        cdist(3.0, &[2, 1, 3, 2], &[4, 2, 2]),
        cdist(f32::INFINITY, &[2, 3], &[0, 3]),
        case("cdist", "to itself ", &[&[4, 3]], |x| x[0].cdist(&x[0], 2.0)),
        case("cross", "", &[&[4, 3], &[4, 3]], |x| x[0].cross(&x[1], -1)),
        case("cross", "", &[&[3, 2, 5], &[3, 2, 5]], |x| x[0].cross(&x[1], 0)),
        case("cross", "", &[&[3], &[3]], |x| x[0].cross(&x[1], 0)),
    ]
}
