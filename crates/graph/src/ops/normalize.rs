//! Vectors made as long as wanted: by their own norm, by a weight's norm or by its greatest singular value.

use crate::{OpCase, Tensor};

impl Tensor {
    /// `x / max(norm, eps)` along `axis`, with the p-norm `(sum of |x|^p)^(1/p)`. As `torch.nn.functional.normalize`, whose
    /// defaults are p 2, axis 1 and eps 1e-12.
    ///
    /// # Panics
    /// If there is no such axis, or p is not above 0.
    #[track_caller]
    pub fn normalize(&self, p: f32, axis: isize, eps: f32) -> Tensor {
        let axis = self.axis("normalize", axis) as isize;
        if p.is_nan() || p <= 0.0 {
            crate::fail("normalize", format!("p = {p}, but a number above 0 is needed"));
        }
        let x = self.in_f32();
        let length = x.norm_keepdim(p, &[axis]);
        let least = length.lit(eps as f64);
        (x / length.ge(&least).select(&length, &least)).cast(self.dtype())
    }

    /// All axes but `dim` as one: [dim, rest].
    #[track_caller]
    fn as_matrix(&self, op: &str, dim: isize) -> Tensor {
        let dim = self.axis(op, dim);
        let order: Vec<usize> = std::iter::once(dim).chain((0..self.rank()).filter(|&d| d != dim)).collect();
        let rest = self.count() / self.shape()[dim].max(1);
        self.permute(&order).reshape([self.shape()[dim], rest])
    }

    /// Weight normalisation (Salimans and Kingma, 2016): `g * v / |v|`, where this is v and the norm is over all axes but
    /// `dim`. g has v's rank, and extent 1 everywhere but in `dim`. As `torch.nn.utils.parametrizations.weight_norm`.
    ///
    /// # Panics
    /// If g has another shape.
    #[track_caller]
    pub fn weight_norm(&self, g: &Tensor, dim: isize) -> Tensor {
        let dim = self.axis("weight_norm", dim);
        let mut each = vec![1; self.rank()];
        each[dim] = self.shape()[dim];
        if g.shape() != each {
            crate::fail(
                "weight_norm",
                format!("of {:?} along {dim}: g is {:?}, not {each:?}", self.shape(), g.shape()),
            );
        }
        let others: Vec<isize> = (0..self.rank() as isize).filter(|&d| d != dim as isize).collect();
        let v = self.in_f32();
        let length = v.square().sum_keepdim(&others).sqrt();
        (v * (g.in_f32() / length)).cast(self.dtype())
    }

    /// Spectral normalisation (Miyato et al., 2018): the weight divided by its greatest singular value, `u^T W v`, where W
    /// is the weight seen as [dim, rest], and u `[dim]` and v `[rest]` are that value's singular vectors, as
    /// [`Tensor::singular_vectors`] finds them. No gradient flows through u and v. As
    /// `torch.nn.utils.parametrizations.spectral_norm`.
    ///
    /// # Panics
    /// If u or v has another shape.
    #[track_caller]
    pub fn spectral_norm(&self, u: &Tensor, v: &Tensor, dim: isize) -> Tensor {
        let w = self.as_matrix("spectral_norm", dim);
        check_vectors("spectral_norm", &w, u, v);
        let (u, v) = (u.stop_gradient(), v.stop_gradient());
        let sigma = (w.in_f32() * u.in_f32().unsqueeze(1) * v.in_f32()).sum_all();
        (self.in_f32() / sigma).cast(self.dtype())
    }

    /// `steps` steps of the power method for the greatest singular value of this weight, seen as [dim, rest]: `u = W v /
    /// max(|W v|, eps)`, then `v = W^T u / max(|W^T u|, eps)`. Gives the new u `[dim]` and v `[rest]`, without gradients.
    ///
    /// # Panics
    /// If u or v has another shape.
    #[track_caller]
    pub fn singular_vectors(&self, u: &Tensor, v: &Tensor, dim: isize, steps: usize, eps: f32) -> (Tensor, Tensor) {
        let w = self.as_matrix("singular_vectors", dim).stop_gradient().in_f32();
        check_vectors("singular_vectors", &w, u, v);
        let dtypes = [u.dtype(), v.dtype()];
        let (mut u, mut v) = (u.stop_gradient().in_f32(), v.stop_gradient().in_f32());
        for _ in 0..steps {
            u = (&w * &v).sum(&[1]).normalize(2.0, 0, eps);
            v = (&w * u.unsqueeze(1)).sum(&[0]).normalize(2.0, 0, eps);
        }
        (u.stop_gradient().cast(dtypes[0]), v.stop_gradient().cast(dtypes[1]))
    }
}

#[track_caller]
fn check_vectors(op: &str, w: &Tensor, u: &Tensor, v: &Tensor) {
    if u.shape() != &w.shape()[..1] || v.shape() != &w.shape()[1..] {
        crate::fail(op, format!("for a matrix {:?} the vectors are {:?} and {:?}", w.shape(), u.shape(), v.shape()));
    }
}

pub(crate) fn cases() -> Vec<OpCase> {
    let normalize = |shape: &[usize], p: f32, axis: isize, eps: f32| {
        OpCase::new("normalize", format!("normalize {shape:?} {p} {axis} {eps}"), &[shape], move |x| {
            x[0].normalize(p, axis, eps)
        })
    };
    let weight_norm = |shape: &[usize], dim: usize| {
        let mut g = vec![1; shape.len()];
        g[dim] = shape[dim];
        OpCase::new("weight_norm", format!("weight_norm {shape:?} {dim}"), &[shape, &g], move |x| {
            x[0].weight_norm(&x[1], dim as isize)
        })
        .domain(0.2, 1.0)
    };
    let spectral_norm = |shape: &[usize], dim: usize| {
        let (u, v) = ([shape[dim]], [shape.iter().product::<usize>() / shape[dim]]);
        OpCase::new("spectral_norm", format!("spectral_norm {shape:?} {dim}"), &[shape, &u, &v], move |x| {
            // The vectors have no gradient, which differences could not see.
            x[0].spectral_norm(&x[1].stop_gradient().square(), &(x[2].stop_gradient() + 0.1), dim as isize)
        })
        .domain(0.2, 1.0)
    };
    // Differences with respect to the vectors are not 0, so they are fixed numbers here.
    let power = |shape: &[usize], dim: usize, steps: usize| {
        OpCase::new("singular_vectors", format!("singular_vectors {shape:?} {dim} {steps}"), &[shape], move |x| {
            let count = x[0].count();
            let (n, m) = (x[0].shape()[dim], count / x[0].shape()[dim]);
            let start = |n| Tensor::iota([n], 0).cast(x[0].dtype()) + 1.0;
            let (u, v) = x[0].stop_gradient().singular_vectors(&start(n), &start(m), dim as isize, steps, 1e-12);
            (u.sum_all() + v.sum_all()) * &x[0]
        })
        .domain(0.2, 1.0)
        .no_difference()
        .no_gradient("the vectors count as given, by definition")
    };
    vec![
        normalize(&[5, 7], 2.0, 1, 1e-12),
        normalize(&[2, 3, 4], 2.0, 1, 0.5),
        normalize(&[4, 1], 3.0, 0, 1e-12).domain(0.1, 1.0),
        normalize(&[3, 5], 1.0, -1, 1e-12),
        normalize(&[3, 5], f32::INFINITY, 0, 1e-12),
        normalize(&[0, 3], 2.0, 1, 1e-12),
        OpCase::new("normalize", "normalize of a slice", &[&[4, 9]], |x| x[0].slice(1, 1..6).normalize(2.0, 0, 1e-12)),
        OpCase::new("normalize", "normalize of zeros", &[&[2, 3]], |x| (&x[0] * 0.0).normalize(2.0, 1, 0.1) + &x[0]),
        OpCase::new("normalize", "normalize of large values", &[&[3, 7]], |x| (&x[0] + 300.0).normalize(2.0, 1, 1e-12)),
        weight_norm(&[5, 3], 0),
        weight_norm(&[2, 3, 4], 1),
        weight_norm(&[1, 6], 0),
        weight_norm(&[4, 1, 2], 2),
        spectral_norm(&[3, 5], 0).no_difference(),
        spectral_norm(&[2, 3, 4], 1).no_difference(),
        spectral_norm(&[1, 4], 0).no_difference(),
        OpCase::new("spectral_norm", "spectral_norm with fixed vectors", &[&[4, 3]], |x| {
            let vector = |n| Tensor::iota([n], 0).cast(wgrad_device::DType::F32) * 0.3 + 0.2;
            x[0].spectral_norm(&vector(4), &vector(3), 0)
        })
        .domain(0.2, 1.0),
        power(&[4, 5], 0, 1),
        power(&[3, 2, 2], 1, 3),
        power(&[1, 3], 0, 2),
    ]
}
