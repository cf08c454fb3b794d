//! What batch, layer, group, instance and RMS norm have in common. They differ in the axes of the statistics and of the
//! affine parameters, and in whether they subtract the mean.

use crate::Tensor;
use wgrad_device::DType;

/// A tensor normalised by its own statistics.
pub struct Normalised {
    /// The normalised tensor.
    pub output: Tensor,
    /// The mean of each group of elements; f32, of f16 elements too.
    pub mean: Tensor,
    /// The biased variance of each group of elements, as the mean.
    pub variance: Tensor,
    /// Elements that each statistic was taken over.
    pub count: usize,
}

/// A normalisation: `(x - mean) / sqrt(variance + eps) * weight + bias`.
pub(crate) struct Norm<'a> {
    /// Axes of the statistics.
    pub over: Vec<isize>,
    /// Of x's rank, with extents of 1 where it is the same for all.
    pub weight: Option<&'a Tensor>,
    /// As `weight`.
    pub bias: Option<&'a Tensor>,
    pub eps: f32,
    /// Whether the mean is subtracted; else it counts as 0.
    pub centred: bool,
}

impl Norm<'_> {
    /// Statistics keep their axes, with extent 1.
    ///
    /// The variance is the mean squared distance from the mean, found in the same pass, so a large mean does no harm.
    #[track_caller]
    pub fn apply(self, op: &str, x: &Tensor) -> Normalised {
        let count: usize = self.over.iter().map(|&a| x.shape()[a as usize]).product();
        if count == 0 {
            crate::fail(op, format!("{:?} has nothing to take statistics over", x.shape()));
        }
        if !x.dtype().is_float() {
            crate::fail(op, format!("floats expected, not {} {:?}", x.dtype(), x.shape()));
        }
        // Of f16, statistics and the rest are f32, and only the result is rounded.
        let dtype = x.dtype();
        let (x, weight, bias) = (&x.in_f32(), self.weight.map(Tensor::in_f32), self.bias.map(Tensor::in_f32));
        let mean = match self.centred {
            true => x.mean_keepdim(&self.over),
            false => Tensor::zeros(vec![1; x.rank()], x.dtype()),
        };
        let variance = match self.centred {
            true => x.keepdim(x.squared_deviations(&self.over), &self.over) / x.lit(count as f64),
            false => x.square().mean_keepdim(&self.over),
        };
        let rstd = (&variance + self.eps).rsqrt();
        let normal = (x - &mean) * &rstd;
        let mut value = normal.clone();
        let mut arguments = vec![x];
        if let Some(weight) = &weight {
            value = value * weight;
            arguments.push(weight);
        }
        if let Some(bias) = &bias {
            value = value + bias;
            arguments.push(bias);
        }
        let rule = Rule {
            normal,
            rstd,
            weighted: weight.is_some(),
            over: self.over,
            share: 1.0 / count as f32,
            centred: self.centred,
        };
        let output = value.with_gradient(&arguments, move |_, arguments, g| rule.gradients(arguments, g)).cast(dtype);
        Normalised { output, mean: mean.stop_gradient(), variance: variance.stop_gradient(), count }
    }
}

/// The well-known short form of the gradient: one round of sums over the data instead of the two that the chain rule would
/// give.
struct Rule {
    /// The normalised elements, before weight and bias.
    normal: Tensor,
    rstd: Tensor,
    weighted: bool,
    over: Vec<isize>,
    /// One over the number of elements of a statistic.
    share: f32,
    centred: bool,
}

impl Rule {
    /// `arguments` are x, and weight and bias where there are any.
    fn gradients(&self, arguments: &[Tensor], g: &Tensor) -> Vec<Option<Tensor>> {
        let weight = self.weighted.then(|| &arguments[1]);
        // Sums over what statistics and parameters both sum over first. The rest is done with what remains.
        let constant = |t: &Tensor, d: isize| t.shape()[d as usize] == 1;
        let (shared, rest): (Vec<isize>, Vec<isize>) =
            self.over.iter().partition(|&&d| arguments[1..].iter().all(|t| constant(t, d)));
        let sums = g.sum_keepdim(&shared);
        let products = (g * &self.normal).sum_keepdim(&shared);
        let for_parameter = |t: &Tensor, sums: &Tensor| {
            let axes: Vec<isize> = (0..t.rank() as isize).filter(|d| constant(t, *d) && !shared.contains(d)).collect();
            Some(sums.sum_keepdim(&axes))
        };
        let d_x = if rest.is_empty() {
            // The weight is constant wherever a statistic is taken.
            let scale = weight.map_or(self.rstd.clone(), |w| w * &self.rstd);
            let along = &self.normal * &products;
            (g - self.with_mean(&sums, along) * self.share) * scale
        } else {
            let weighted = |t: &Tensor| weight.map_or(t.clone(), |w| t * w);
            let sums = weighted(&sums).sum_keepdim(&rest) * self.share;
            let products = weighted(&products).sum_keepdim(&rest) * self.share;
            let along = &self.normal * &products;
            (weighted(g) - self.with_mean(&sums, along)) * &self.rstd
        };
        let mut all = vec![Some(d_x)];
        if let Some(w) = weight {
            all.push(for_parameter(w, &products));
        }
        if let Some(bias) = arguments.get(1 + self.weighted as usize) {
            all.push(for_parameter(bias, &sums));
        }
        all
    }

    /// What goes through the mean added, if one was subtracted.
    fn with_mean(&self, sums: &Tensor, along: Tensor) -> Tensor {
        if self.centred { sums + along } else { along }
    }
}

/// Checks that affine parameters have the shape that a norm needs; those of f16 tensors may be f32.
#[track_caller]
pub(crate) fn check_affine(op: &str, x: &Tensor, expected: &[usize], parameters: [Option<&Tensor>; 2]) {
    for (name, t) in ["weight", "bias"].into_iter().zip(parameters) {
        if let Some(t) = t
            && (t.shape() != expected || ![x.dtype(), DType::F32].contains(&t.dtype()))
        {
            crate::fail(
                op,
                format!("of {:?}: the {name} is {} {:?}, not {expected:?}", x.shape(), t.dtype(), t.shape()),
            );
        }
    }
}

/// Axis 1 of [N, C, ...] as the only one that is not 1.
pub(crate) fn along_channels(x: &Tensor) -> Vec<usize> {
    let mut shape = vec![1; x.rank()];
    shape[1] = x.shape()[1];
    shape
}
