//! Transposed convolution: what convolution does to gradients, as an operation of its own.

use crate::ops::conv::{Conv, ConvOptions, Form};
use crate::{OpCase, Tensor};

impl Tensor {
    /// Transposed convolution of [N, K, spatial...] with `weight` [K, C/groups, kernel...], as PyTorch has it: [N, C,
    /// spatial'...], where each
    /// `spatial' = (spatial - 1) * stride - padding + dilation * (kernel - 1) + output_padding + 1`, `padding` being the sum
    /// of both sides. Each input element adds the kernel, scaled, to the places that a convolution with these options reads
    /// for it; `padding` is cut off, and `output_padding` makes the result longer at the end.
    ///
    /// # Panics
    /// If shapes and options do not fit: channels that groups do not divide, an output padding that is below neither stride
    /// nor dilation, nothing left of an extent.
    #[track_caller]
    pub fn conv_transpose(&self, weight: &Tensor, options: &ConvOptions, output_padding: &[usize]) -> Tensor {
        self.check_transpose("conv_transpose", weight, options);
        let n = self.rank() - 2;
        if [options.stride.len(), options.padding.len(), options.dilation.len(), output_padding.len()] != [n; 4] {
            crate::fail(
                "conv_transpose",
                format!(
                    "{n} spatial dimensions in {:?}, but {options:?}, output padding {output_padding:?}",
                    self.shape()
                ),
            );
        }
        let mut spatial = vec![];
        for (d, (window, &more)) in options.windows(&weight.shape()[2..]).iter().zip(output_padding).enumerate() {
            if more >= window.stride && more >= window.dilation {
                crate::fail(
                    "conv_transpose",
                    format!(
                        "dimension {d}: output padding {more} is below neither stride {} nor dilation {}",
                        window.stride, window.dilation
                    ),
                );
            }
            let (size, before_after) = (self.shape()[d + 2], window.padding.0 + window.padding.1);
            let whole = (size.max(1) - 1) * window.stride + window.dilation * (window.size.max(1) - 1) + more + 1;
            if size == 0 || window.size == 0 || whole <= before_after {
                crate::fail(
                    "conv_transpose",
                    format!(
                        "dimension {d}: input {:?}, weight {:?}, padding {:?}: nothing is left",
                        self.shape(),
                        weight.shape(),
                        window.padding
                    ),
                );
            }
            spatial.push(whole - before_after);
        }
        self.transposed("conv_transpose", weight, options, &spatial, true)
    }

    /// Transposed convolution to given spatial extents, which must be ones that `conv` with these options takes to this
    /// tensor's: the gradient of `conv` with respect to its input.
    ///
    /// # Panics
    /// If they are not, or if shapes and options do not fit.
    #[track_caller]
    pub fn conv_transpose_to(&self, weight: &Tensor, options: &ConvOptions, spatial: &[usize]) -> Tensor {
        self.check_transpose("conv_transpose_to", weight, options);
        self.transposed("conv_transpose_to", weight, options, spatial, false)
    }

    #[track_caller]
    fn check_transpose(&self, op: &str, weight: &Tensor, options: &ConvOptions) {
        let what = || format!("input {:?}, weight {:?}", self.shape(), weight.shape());
        if self.rank() < 3 || weight.rank() != self.rank() {
            crate::fail(op, format!("{}: [N, K, spatial...] and [K, C/groups, kernel...] expected", what()));
        }
        let (channels, groups) = (self.shape()[1], options.groups);
        if channels != weight.shape()[0] {
            crate::fail(op, format!("{}: the weight is for {} channels, not {channels}", what(), weight.shape()[0]));
        }
        if groups == 0 || !channels.is_multiple_of(groups) {
            crate::fail(op, format!("{}: {groups} groups do not divide {channels} channels", what()));
        }
    }

    /// Transposed convolution of an input of one element: a matrix product.
    #[track_caller]
    pub(crate) fn transposed_single(
        &self,
        weight: &Tensor,
        options: &ConvOptions,
        spatial: &[usize],
    ) -> Option<Tensor> {
        let (kernel, outputs) = (&weight.shape()[2..], weight.shape()[1]);
        let single = self.shape()[2..].iter().all(|&s| s == 1);
        let dense = options.groups == 1 && options.dilation.iter().all(|&d| d == 1);
        // An output padding may want more than the kernel reaches.
        let reaches = (0..spatial.len()).all(|d| options.padding[d].0 + spatial[d] <= kernel[d]);
        if !single || !dense || !reaches || self.count() * weight.count() == 0 {
            return None;
        }
        let (batch, inputs) = (self.shape()[0], self.shape()[1]);
        let taps: usize = kernel.iter().product();
        let all = self.reshape([batch, inputs]).matmul(&weight.reshape([inputs, outputs * taps]));
        let full = all.reshape([&[batch, outputs], kernel].concat());
        Some((0..spatial.len()).fold(full, |y, d| {
            let first = options.padding[d].0;
            y.slice(d as isize + 2, first..first + spatial[d])
        }))
    }

    /// `fewer`: whether this may have fewer windows than fit into the result, since the last ones got nothing.
    #[track_caller]
    fn transposed(&self, op: &str, weight: &Tensor, options: &ConvOptions, spatial: &[usize], fewer: bool) -> Tensor {
        let channels = weight.shape()[1] * options.groups;
        let x = [&[self.shape()[0], channels], spatial].concat();
        match Conv::new(options, &x, weight.shape()) {
            Ok(mut conv) => {
                if fewer && conv.y.iter().zip(self.shape()).all(|(fit, n)| n <= fit) {
                    conv.y = self.shape().to_vec();
                }
                conv.apply(Form::InputGrad, weight, self)
            }
            Err(reason) => crate::fail(op, reason),
        }
    }
}

pub(crate) fn cases() -> Vec<OpCase> {
    let case = |y: &[usize], w: &[usize], o: ConvOptions, more: &[usize]| {
        let text = format!("conv_transpose {y:?} w {w:?} {o:?} output padding {more:?}");
        let more = more.to_vec();
        OpCase::new("conv_transpose", text, &[w, y], move |t| t[1].conv_transpose(&t[0], &o, &more))
    };
    vec![
        case(&[2, 3, 4], &[3, 2, 3], ConvOptions::new(1).stride(2).padding(1), &[1]),
        // More output padding than the stride: places that no window reaches.
        case(&[1, 2, 3], &[2, 1, 2], ConvOptions::new(1).dilation(3), &[2]),
        case(&[1, 4, 3, 2], &[4, 3, 3, 2], ConvOptions::new(2).stride(3).padding(1).groups(2), &[2, 0]),
        case(
            &[2, 2, 2, 3],
            &[2, 3, 2, 3],
            ConvOptions { stride: vec![2, 1], padding: vec![(0, 1), (2, 0)], dilation: vec![1, 2], groups: 1 },
            &[1, 1],
        ),
        case(&[1, 4, 2, 1, 3], &[4, 1, 2, 3, 1], ConvOptions::new(3).stride(2).groups(2), &[1, 0, 1]),
        case(&[1, 3, 3, 4], &[3, 1, 3, 3], ConvOptions::new(2).stride(2).padding(1).groups(3), &[1, 1]),
        case(&[1, 3, 4], &[3, 2, 3], ConvOptions::new(1).dilation(2).groups(3), &[1]),
        // A stride that divides the kernel, in one dimension or both, and an input of one element.
        case(&[2, 3, 3, 2], &[3, 2, 4, 4], ConvOptions::new(2).stride(2).padding(1), &[0, 0]),
        case(
            &[1, 2, 3, 4],
            &[2, 3, 6, 2],
            ConvOptions { stride: vec![3, 1], padding: vec![(1, 2), (0, 1)], dilation: vec![1, 1], groups: 1 },
            &[1, 0],
        ),
        case(&[3, 4, 1, 1], &[4, 2, 3, 4], ConvOptions::new(2), &[0, 0]),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checked;
    use wgrad_device::DType;

    #[test]
    fn bad_arguments() {
        let x = Tensor::input("x", [1, 4, 3, 3], DType::F32);
        let w = Tensor::input("w", [4, 2, 2, 2], DType::F32);
        let two = ConvOptions::new(2);
        let error = |x: &Tensor, o: &ConvOptions, more: &[usize]| {
            let e = checked(|| x.conv_transpose(&w, o, more)).unwrap_err().to_string();
            assert!(e.starts_with("conv_transpose: ") && e.contains("conv_transpose.rs"), "{e}");
            e
        };
        assert!(error(&x, &two, &[1, 0]).contains("output padding 1 is below neither stride 1 nor dilation 1"));
        assert!(error(&x, &two, &[0]).contains("2 spatial dimensions"));
        assert!(error(&x, &two.clone().padding(2), &[0, 0]).contains("nothing is left"));
        assert!(error(&x, &two.clone().groups(3), &[0, 0]).contains("3 groups do not divide 4 channels"));
        assert!(error(&x.slice(1, 0..3), &two, &[0, 0]).contains("the weight is for 4 channels, not 3"));
        assert!(error(&x.slice(2, 0..0), &two, &[0, 0]).contains("nothing is left"));
        let e = checked(|| x.conv_transpose_to(&w, &two, &[9, 9])).unwrap_err().to_string();
        assert!(e.starts_with("conv_input_grad: ") && e.contains("conv_transpose.rs"), "{e}");
    }
}
