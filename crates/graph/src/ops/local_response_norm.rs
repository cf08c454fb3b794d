//! Local response normalisation (Krizhevsky et al., 2012), with PyTorch's constants.

use crate::ops::taps::Window;
use crate::{OpCase, Tensor};

impl Tensor {
    /// Divides each element of [N, C, ...] by what its neighbours in `size` channels have: `x / (k + alpha / size * sum of
    /// x^2 over the window)^beta`. The window reaches `size / 2` channels back and `(size - 1) / 2` ahead, with zeros beyond
    /// the ends.
    ///
    /// As `torch.nn.functional.local_response_norm` (its defaults: alpha 1e-4, beta 0.75, k 1). The paper does not divide
    /// alpha by size.
    ///
    /// # Panics
    /// If there are fewer than three axes (as PyTorch has it), or `size` is 0.
    #[track_caller]
    pub fn local_response_norm(&self, size: usize, alpha: f32, beta: f32, k: f32) -> Tensor {
        if self.rank() < 3 || size == 0 {
            crate::fail(
                "local_response_norm",
                format!("of {:?} with size {size}: [N, C, ...] and 1 or more expected", self.shape()),
            );
        }
        let (back, ahead) = (size / 2, (size - 1) / 2);
        let sums =
            move |x: &Tensor, padding| x.window(1, Window { size, stride: 1, dilation: 1, padding }, 0.0).sum(&[-1]);
        let share = alpha as f64 / size as f64;
        let x = &self.in_f32();
        let base = sums(&x.square(), (back, ahead)).mul_scalar(share) + k;
        let scale = base.pow(&base.lit(-beta as f64));
        let value = x * &scale;
        // One round of sums, over the windows seen from the other side.
        let value = value.with_gradient(&[x], move |y, x, g| {
            let through = sums(&(g * y / &base), (ahead, back));
            vec![Some(g * &scale - &x[0] * through.mul_scalar(2.0 * beta as f64 * share))]
        });
        value.cast(self.dtype())
    }
}

pub(crate) fn cases() -> Vec<OpCase> {
    let case = |shape: &[usize], size, alpha, beta, k| {
        let name = format!("local_response_norm {shape:?} {size} {alpha} {beta} {k}");
        OpCase::new("local_response_norm", name, &[shape], move |x| x[0].local_response_norm(size, alpha, beta, k))
    };
    vec![
        case(&[2, 7, 3], 5, 1.0, 0.75, 1.0),
        case(&[1, 4, 2, 3], 2, 0.5, 0.5, 2.0),
        case(&[3, 1, 5], 3, 2.0, 1.0, 1.0),
        case(&[2, 3, 1], 9, 1.0, 2.0, 0.5),
        case(&[0, 3, 2], 3, 1.0, 0.75, 1.0),
        OpCase::new("local_response_norm", "local_response_norm of a permuted tensor", &[&[2, 3, 5]], |x| {
            x[0].permute(&[0, 2, 1]).local_response_norm(4, 1.0, 0.75, 1.0)
        }),
        OpCase::new("local_response_norm", "local_response_norm of large values", &[&[2, 5, 3]], |x| {
            (&x[0] + 300.0).local_response_norm(3, 1e-4, 0.75, 2.0)
        })
        // The rounding of elements of 300.
        .tolerance(1e-4),
    ]
}
