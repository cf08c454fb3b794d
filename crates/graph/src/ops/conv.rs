//! Convolution (cross-correlation, as in every framework) and its two gradients, in any number of dimensions.
//!
//! Three operations that close under differentiation: with `y = conv(w, x)`, `dx = input_grad(w, dy)` and
//! `dw = weight_grad(dy, x)`, the gradients of each are again among the three. All three are one contraction with other
//! index maps. `input_grad` is also transposed convolution.

use crate::op::{Array, ContractionSpec, Guard, IndexMap, Lower, Op};
use crate::ops::matmul::same_float;
use crate::ops::taps::Window;
use crate::shape::indices;
use crate::{OpCase, Tensor};
use wgrad_device::{Affine, DType};

/// How the kernel moves over the input: one entry for each spatial dimension.
#[derive(Clone, Debug, PartialEq)]
pub struct ConvOptions {
    /// Distance between outputs.
    pub stride: Vec<usize>,
    /// Zeros put before and after.
    pub padding: Vec<(usize, usize)>,
    /// Distance between kernel taps.
    pub dilation: Vec<usize>,
    /// Groups of channels that do not mix; divides both channel counts.
    pub groups: usize,
}

impl ConvOptions {
    /// Stride 1, no padding, no dilation, one group, in `spatial` dimensions.
    pub fn new(spatial: usize) -> ConvOptions {
        ConvOptions { stride: vec![1; spatial], padding: vec![(0, 0); spatial], dilation: vec![1; spatial], groups: 1 }
    }

    /// The same stride in every dimension.
    pub fn stride(mut self, stride: usize) -> Self {
        self.stride.fill(stride);
        self
    }

    /// The same padding on every side.
    pub fn padding(mut self, padding: usize) -> Self {
        self.padding.fill((padding, padding));
        self
    }

    /// The same dilation in every dimension.
    pub fn dilation(mut self, dilation: usize) -> Self {
        self.dilation.fill(dilation);
        self
    }

    /// This many groups.
    pub fn groups(mut self, groups: usize) -> Self {
        self.groups = groups;
        self
    }

    /// The padding that TensorFlow calls SAME, for an input of these spatial extents and a kernel of these sizes, with the
    /// stride and dilation given before: `extent' = ceil(extent / stride)`, and of an odd number of zeros the last one comes
    /// after. With stride 1 that is PyTorch's `padding="same"`.
    ///
    /// # Panics
    /// If there are not as many extents and sizes as the options have dimensions, or one of stride, dilation and kernel is 0.
    #[track_caller]
    pub fn same(mut self, spatial: &[usize], kernel: &[usize]) -> Self {
        let n = self.stride.len();
        let (lengths, zero) =
            ([spatial.len(), kernel.len(), self.dilation.len(), self.padding.len()], |v: &[usize]| v.contains(&0));
        if lengths != [n; 4] || zero(kernel) || zero(&self.stride) || zero(&self.dilation) {
            crate::fail("same", format!("input {spatial:?}, kernel {kernel:?}, {self:?}"));
        }
        for d in 0..n {
            let span = (kernel[d] - 1) * self.dilation[d] + 1;
            let covered = spatial[d].div_ceil(self.stride[d]).saturating_sub(1) * self.stride[d] + span;
            let total = covered.saturating_sub(spatial[d]);
            self.padding[d] = (total / 2, total - total / 2);
        }
        self
    }

    /// What one output reads along each spatial dimension.
    pub(crate) fn windows(&self, kernel: &[usize]) -> Vec<Window> {
        let window = |d: usize| Window {
            size: kernel[d],
            stride: self.stride[d],
            dilation: self.dilation[d],
            padding: self.padding[d],
        };
        (0..kernel.len()).map(window).collect()
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Form {
    /// Arguments w, x; result y.
    Forward,
    /// Arguments w, dy; result dx.
    InputGrad,
    /// Arguments dy, x; result dw.
    WeightGrad,
}

#[derive(Clone, Debug)]
pub(crate) struct Conv {
    form: Form,
    pub(crate) options: ConvOptions,
    pub(crate) x: Vec<usize>,
    pub(crate) w: Vec<usize>,
    pub(crate) y: Vec<usize>,
}

impl Conv {
    pub(crate) fn new(options: &ConvOptions, x: &[usize], w: &[usize]) -> Result<Conv, String> {
        let s = x.len().saturating_sub(2);
        let what = || format!("input {x:?}, weight {w:?}");
        if x.len() < 3 || w.len() != x.len() {
            return Err(format!("{}: [N, C, spatial...] and [K, C/groups, spatial...] expected", what()));
        }
        if options.stride.len() != s || options.padding.len() != s || options.dilation.len() != s {
            return Err(format!("{}: {s} spatial dimensions, but options for {}", what(), options.stride.len()));
        }
        let g = options.groups;
        if g == 0 || x[1] % g != 0 || w[0] % g != 0 {
            return Err(format!("{}: {g} groups do not divide {} and {} channels", what(), x[1], w[0]));
        }
        if w[1] != x[1] / g {
            return Err(format!(
                "{}: the weight reads {} channels in each of {g} groups, but the input has {}",
                what(),
                w[1],
                x[1]
            ));
        }
        let mut y = vec![x[0], w[0]];
        for (d, window) in options.windows(&w[2..]).into_iter().enumerate() {
            y.push(window.count(x[d + 2]).map_err(|e| format!("{}: dimension {d}: {e}", what()))?);
        }
        Ok(Conv { form: Form::Forward, options: options.clone(), x: x.to_vec(), w: w.to_vec(), y })
    }

    fn spatial(&self) -> usize {
        self.x.len() - 2
    }

    /// Whether the input gradient is computed apart for even and odd places along a dimension.
    fn by_halves(&self, d: usize) -> bool {
        let o = &self.options;
        o.stride[d] == 2 && o.dilation[d] == 1 && self.x[d + 2].is_multiple_of(2)
    }

    #[track_caller]
    pub(crate) fn apply(&self, form: Form, a: &Tensor, b: &Tensor) -> Tensor {
        if form == Form::InputGrad
            && (a.shape(), b.shape()) == (&self.w[..], &self.y[..])
            && let Some(same) = b.transposed_single(a, &self.options, &self.x[2..])
        {
            return same;
        }
        Tensor::apply(Conv { form, ..self.clone() }, &[a, b])
    }

    /// Calls `f(y index, x index, w index)` for every product that the convolution sums.
    fn each_product(&self, mut f: impl FnMut(&[usize], &[usize], &[usize])) {
        let (per_in, per_out) = (self.w[1], self.w[0] / self.options.groups);
        for y in indices(&self.y) {
            'tap: for tap in indices(&self.w[1..]) {
                let group = y[1] / per_out;
                let mut x = vec![y[0], group * per_in + tap[0]];
                for d in 0..self.spatial() {
                    let p = (y[d + 2] * self.options.stride[d] + tap[d + 1] * self.options.dilation[d]) as i64
                        - self.options.padding[d].0 as i64;
                    if p < 0 || p as usize >= self.x[d + 2] {
                        continue 'tap;
                    }
                    x.push(p as usize);
                }
                let w = [&[y[1]], &tap[..]].concat();
                f(&y, &x, &w);
            }
        }
    }
}

impl Op for Conv {
    fn name(&self) -> &'static str {
        match self.form {
            Form::Forward => "conv",
            Form::InputGrad => "conv_input_grad",
            Form::WeightGrad => "conv_weight_grad",
        }
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<(Vec<usize>, DType), String> {
        let (a, b, result) = match self.form {
            Form::Forward => (&self.w, &self.x, &self.y),
            Form::InputGrad => (&self.w, &self.y, &self.x),
            Form::WeightGrad => (&self.y, &self.x, &self.w),
        };
        let dtype = same_float(inputs[0], inputs[1])?;
        if inputs[0].shape() != a || inputs[1].shape() != b {
            return Err(format!(
                "{:?} and {:?} expected, not {:?} and {:?}",
                a,
                b,
                inputs[0].shape(),
                inputs[1].shape()
            ));
        }
        Ok((result.clone(), dtype))
    }

    fn gradient(&self, output: &Tensor, grad: &Tensor) -> Result<Vec<Option<Tensor>>, String> {
        let [a, b] = output.inputs() else { unreachable!("two arguments") };
        Ok(match self.form {
            Form::Forward => {
                vec![Some(self.apply(Form::WeightGrad, grad, b)), Some(self.apply(Form::InputGrad, a, grad))]
            }
            Form::InputGrad => {
                vec![Some(self.apply(Form::WeightGrad, b, grad)), Some(self.apply(Form::Forward, a, grad))]
            }
            Form::WeightGrad => {
                vec![Some(self.apply(Form::Forward, grad, b)), Some(self.apply(Form::InputGrad, grad, a))]
            }
        })
    }

    fn reference(&self, inputs: &[&Array], shape: &[usize]) -> Array {
        let mut result = Array::from_fn(shape, |_| 0.0);
        let add = |r: &mut Array, i: &[usize], v: f64| {
            let p = crate::shape::position(shape, i);
            r.data[p] += v;
        };
        self.each_product(|y, x, w| match self.form {
            Form::Forward => add(&mut result, y, inputs[0].at(w) * inputs[1].at(x)),
            Form::InputGrad => add(&mut result, x, inputs[0].at(w) * inputs[1].at(y)),
            Form::WeightGrad => add(&mut result, w, inputs[0].at(y) * inputs[1].at(x)),
        });
        result
    }

    fn lower(&self) -> Lower<'_> {
        let o = &self.options;
        let s = self.spatial();
        let g = o.groups;
        let (cg, kg) = (self.w[1], self.w[0] / g);
        let (n, xs, ys, rs) = (self.x[0], &self.x[2..], &self.y[2..], &self.w[2..]);

        // Sub-axes are named by their place in an operand's list; `sum` adds multiples of them.
        let sum = |rank: usize, terms: &[(usize, usize)], offset: i64| {
            let mut a = Affine::constant(rank, offset);
            terms.iter().for_each(|&(axis, factor)| a.strides[axis] += factor as i64);
            a
        };
        let strided = |shape: &[usize], rank: usize, axes: &[(usize, usize, usize)]| {
            // (dimension of the result, sub-axis, factor)
            let row_major = wgrad_device::row_major_strides(shape);
            let mut a = Affine::constant(rank, 0);
            axes.iter().for_each(|&(d, axis, f)| a.strides[axis] += row_major[d] * f as i64);
            a
        };

        match self.form {
            Form::Forward => {
                // A(g, k | c, r): w. B(g | c, r | n, o): x. C(g, k, n, o): y.
                let ra = 3 + s;
                let mut a = vec![sum(ra, &[(0, kg), (1, 1)], 0).into(), sum(ra, &[(2, 1)], 0).into()];
                a.extend((0..s).map(|d| sum(ra, &[(3 + d, 1)], 0).into()));
                let rb = 3 + 2 * s;
                let image = 2 + s;
                let mut b = vec![sum(rb, &[(image, 1)], 0).into(), sum(rb, &[(0, cg), (1, 1)], 0).into()];
                let mut guards = vec![];
                for d in 0..s {
                    let at = sum(rb, &[(image + 1 + d, o.stride[d]), (2 + d, o.dilation[d])], -(o.padding[d].0 as i64));
                    guards.push(Guard { affine: at.clone(), div: 1, len: xs[d] });
                    b.push(at.into());
                }
                let rc = 3 + s;
                let mut c = vec![(1, 0, kg), (1, 1, 1), (0, 2, 1)];
                c.extend((0..s).map(|d| (2 + d, 3 + d, 1)));
                Lower::Contraction(ContractionSpec {
                    label: "conv",
                    batch: vec![g],
                    m: vec![kg],
                    n: [&[n], ys].concat(),
                    k: [&[cg], rs].concat(),
                    a: IndexMap { dims: a, guards: vec![] },
                    b: IndexMap { dims: b, guards },
                    c: strided(&self.y, rc, &c),
                })
            }
            Form::InputGrad => {
                // A(g, e, c | k, j): w. B(g, e | k, j | n, v): dy. C(g, e, c, n, v): dx.
                // Along a dimension of stride 2, the places h = 2v + e of one remainder e see every other tap, r = 2j + f,
                // where 2 divides e + padding - f; so no product is with one of the zeros between dy's elements. Other
                // dimensions have one remainder: v = h, j = r.
                let two: Vec<bool> = (0..s).map(|d| self.by_halves(d)).collect();
                let halves = |extents: &[usize]| -> Vec<usize> {
                    (0..s).map(|d| if two[d] { extents[d].div_ceil(2) } else { extents[d] }).collect()
                };
                let remainders: Vec<usize> = two.iter().map(|&two| 1 + two as usize).collect();
                // The axes of one remainder, in A, B and C.
                let (e, tap) = (1, 3 + s);
                let (ra, rb, rc) = (3 + 2 * s, 3 + 3 * s, 3 + 2 * s);
                let mut a = vec![sum(ra, &[(0, kg), (2 + s, 1)], 0).into(), sum(ra, &[(1 + s, 1)], 0).into()];
                let image = 2 + 2 * s;
                let mut b = vec![sum(rb, &[(image, 1)], 0).into(), sum(rb, &[(0, kg), (1 + s, 1)], 0).into()];
                let (mut a_guards, mut b_guards) = (vec![], vec![]);
                let mut c = vec![(1, 0, cg), (1, 1 + s, 1), (0, 2 + s, 1)];
                for d in 0..s {
                    let padding = o.padding[d].0 as i64;
                    let mut at = sum(rb, &[(image + 1 + d, 1)], padding);
                    if !two[d] {
                        a.push(sum(ra, &[(tap + d, 1)], 0).into());
                        at.strides[2 + s + d] -= o.dilation[d] as i64;
                        b_guards.push(Guard { affine: at.clone(), div: o.stride[d], len: ys[d] });
                        b.push(crate::op::DimIndex { affine: at, div: o.stride[d] });
                        c.push((2 + d, 3 + s + d, 1));
                        continue;
                    }
                    // f is e, or 1 - e if the padding is odd.
                    let odd = padding % 2;
                    let mut r = sum(ra, &[(tap + d, 2)], odd);
                    r.strides[e + d] = 1 - 2 * odd;
                    if rs[d] % 2 == 1 {
                        a_guards.push(Guard { affine: r.clone(), div: 1, len: rs[d] });
                    }
                    a.push(r.into());
                    // (2v + e + padding - 2j - f) / 2
                    at.offset = (padding - odd) / 2;
                    at.strides[e + d] = odd;
                    at.strides[2 + s + d] = -1;
                    b_guards.push(Guard { affine: at.clone(), div: 1, len: ys[d] });
                    b.push(at.into());
                    c.extend([(2 + d, e + d, 1), (2 + d, 3 + s + d, 2)]);
                }
                Lower::Contraction(ContractionSpec {
                    label: "conv_input_grad",
                    batch: [&[g], &remainders[..]].concat(),
                    m: vec![cg],
                    n: [&[n], &halves(xs)[..]].concat(),
                    k: [&[kg], &halves(rs)[..]].concat(),
                    a: IndexMap { dims: a, guards: a_guards },
                    b: IndexMap { dims: b, guards: b_guards },
                    c: strided(&self.x, rc, &c),
                })
            }
            Form::WeightGrad => {
                // A(g, k | n, o): dy. B(g | n, o | c, r): x. C(g, k, c, r): dw.
                let ra = 3 + s;
                let mut a = vec![sum(ra, &[(2, 1)], 0).into(), sum(ra, &[(0, kg), (1, 1)], 0).into()];
                a.extend((0..s).map(|d| sum(ra, &[(3 + d, 1)], 0).into()));
                let rb = 3 + 2 * s;
                let channel = 2 + s;
                let mut b = vec![sum(rb, &[(1, 1)], 0).into(), sum(rb, &[(0, cg), (channel, 1)], 0).into()];
                let mut guards = vec![];
                for d in 0..s {
                    let at =
                        sum(rb, &[(2 + d, o.stride[d]), (channel + 1 + d, o.dilation[d])], -(o.padding[d].0 as i64));
                    guards.push(Guard { affine: at.clone(), div: 1, len: xs[d] });
                    b.push(at.into());
                }
                let mut c = vec![(0, 0, kg), (0, 1, 1), (1, 2, 1)];
                c.extend((0..s).map(|d| (2 + d, 3 + d, 1)));
                Lower::Contraction(ContractionSpec {
                    label: "conv_weight_grad",
                    batch: vec![g],
                    m: vec![kg],
                    n: [&[cg], rs].concat(),
                    k: [&[n], ys].concat(),
                    a: IndexMap { dims: a, guards: vec![] },
                    b: IndexMap { dims: b, guards },
                    c: strided(&self.w, 3 + s, &c),
                })
            }
        }
    }
}

impl Tensor {
    /// Convolution of [N, C, spatial...] with `weight` [K, C/groups, kernel...]: [N, K, spatial'...], where each
    /// `spatial' = (spatial + padding - dilation * (kernel - 1) - 1) / stride + 1`. The kernel is not flipped.
    ///
    /// # Panics
    /// If shapes and options do not fit: channels that groups do not divide, a kernel larger than the padded input.
    #[track_caller]
    pub fn conv(&self, weight: &Tensor, options: &ConvOptions) -> Tensor {
        match Conv::new(options, self.shape(), weight.shape()) {
            Ok(conv) => Tensor::apply(conv, &[weight, self]),
            Err(reason) => crate::fail("conv", reason),
        }
    }
}

pub(crate) fn cases() -> Vec<OpCase> {
    let mut all = vec![];
    let mut add = |x: &[usize], w: &[usize], o: ConvOptions| {
        let Ok(Conv { y, .. }) = Conv::new(&o, x, w) else { panic!("{x:?} {w:?} {o:?}") };
        let text = |form: &str| {
            format!("{form} x {x:?} w {w:?} s{:?} p{:?} d{:?} g{}", o.stride, o.padding, o.dilation, o.groups)
        };
        let (o1, o2, o3) = (o.clone(), o.clone(), o.clone());
        all.push(OpCase::new("conv", text("conv"), &[w, x], move |t| t[1].conv(&t[0], &o1)));
        let spatial = x[2..].to_vec();
        all.push(OpCase::new("conv_input_grad", text("input grad"), &[w, &y], move |t| {
            t[1].conv_transpose_to(&t[0], &o2, &spatial)
        }));
        let (xs, ws) = (x.to_vec(), w.to_vec());
        all.push(OpCase::new("conv_weight_grad", text("weight grad"), &[&y, x], move |t| {
            let conv = Conv::new(&o3, &xs, &ws).expect("checked above");
            conv.apply(Form::WeightGrad, &t[0], &t[1])
        }));
    };
    let two = ConvOptions::new(2);
    add(&[2, 3, 5, 6], &[4, 3, 3, 3], two.clone().padding(1));
    add(&[1, 2, 7, 6], &[3, 2, 3, 2], two.clone().stride(2).padding(1));
    add(&[2, 4, 5, 5], &[6, 2, 3, 3], two.clone().groups(2).padding(1));
    add(&[1, 3, 6, 6], &[3, 1, 3, 3], two.clone().groups(3).stride(2).padding(1));
    add(&[2, 3, 4, 5], &[5, 3, 1, 1], two.clone());
    add(&[2, 3, 13, 17], &[7, 3, 3, 3], two.clone().padding(1));
    add(&[1, 4, 10, 20], &[6, 2, 3, 2], ConvOptions { padding: vec![(0, 2), (1, 0)], ..two.clone().groups(2) });
    add(&[1, 3, 7, 7], &[2, 3, 1, 1], two.clone().stride(2));
    add(
        &[1, 2, 8, 7],
        &[2, 2, 3, 2],
        ConvOptions { stride: vec![1, 2], padding: vec![(0, 2), (1, 0)], dilation: vec![2, 3], groups: 1 },
    );
    add(&[2, 2, 9], &[3, 2, 4], ConvOptions::new(1).stride(3).padding(2));
    add(&[1, 2, 3, 4, 3], &[2, 2, 2, 2, 2], ConvOptions::new(3).padding(1));
    // Everything at once, in one, two and three dimensions.
    let uneven = |stride: &[usize], padding: &[(usize, usize)], dilation: &[usize]| ConvOptions {
        stride: stride.to_vec(),
        padding: padding.to_vec(),
        dilation: dilation.to_vec(),
        groups: 2,
    };
    add(&[2, 4, 11], &[6, 2, 3], uneven(&[2], &[(0, 3)], &[3]));
    add(&[1, 4, 7, 6], &[2, 2, 2, 3], uneven(&[3, 2], &[(2, 0), (1, 2)], &[2, 1]));
    add(&[1, 4, 5, 4, 3], &[2, 2, 2, 1, 2], uneven(&[2, 1, 3], &[(1, 0), (0, 2), (2, 1)], &[2, 1, 3]));
    add(&[1, 2, 1], &[2, 2, 1], ConvOptions::new(1));
    // Depthwise, and with two outputs for each channel.
    add(&[2, 5, 9], &[5, 1, 4], ConvOptions::new(1).stride(3).padding(2).groups(5));
    add(&[1, 2, 7, 6], &[6, 1, 3, 2], two.clone().stride(2).padding(1).dilation(2).groups(2));
    add(&[1, 3, 3, 4, 3], &[3, 1, 2, 2, 2], ConvOptions::new(3).padding(1).dilation(2).groups(3));
    add(&[3, 2, 7], &[4, 2, 3], ConvOptions::new(1).stride(2).same(&[7], &[3]));
    add(&[1, 2, 5, 8], &[3, 2, 2, 4], two.clone().stride(3).same(&[5, 8], &[2, 4]));
    add(&[0, 2, 4, 4], &[3, 2, 3, 3], two.clone().padding(1));
    all.push(
        OpCase::new(
            "conv",
            "conv with bias, batch-norm constants and relu",
            &[&[4, 3, 3, 3], &[1, 3, 6, 6], &[4]],
            |t| {
                let b = t[2].reshape([1, 4, 1, 1]);
                (t[1].conv(&t[0], &ConvOptions::new(2).padding(1)) * &b + &b).relu()
            },
        )
        .domain(-1.0, 1.0),
    );
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checked;

    #[test]
    fn same_padding_as_tensorflow_has_it() {
        let padding = |n: usize, kernel: usize, stride: usize, dilation: usize| {
            ConvOptions::new(1).stride(stride).dilation(dilation).same(&[n], &[kernel]).padding[0]
        };
        assert_eq!(padding(5, 3, 1, 1), (1, 1));
        assert_eq!(padding(6, 3, 2, 1), (0, 1));
        assert_eq!(padding(7, 3, 2, 1), (1, 1));
        assert_eq!(padding(5, 4, 1, 1), (1, 2));
        assert_eq!(padding(5, 3, 1, 2), (2, 2));
        assert_eq!(padding(9, 1, 4, 1), (0, 0));
    }

    #[test]
    fn bad_arguments() {
        let x = Tensor::input("x", [2, 4, 5, 5], DType::F32);
        let w = Tensor::input("w", [6, 2, 3, 3], DType::F32);
        let two = ConvOptions::new(2).groups(2);
        let error = |x: &Tensor, w: &Tensor, o: &ConvOptions| {
            let e = checked(|| x.conv(w, o)).unwrap_err().to_string();
            assert!(e.starts_with("conv: input [2, 4, ") && e.contains("conv.rs"), "{e}");
            e
        };
        assert!(error(&x, &w, &two.clone().groups(3)).contains("3 groups do not divide 4 and 6 channels"));
        assert!(error(&x, &w, &two.clone().groups(0)).contains("0 groups do not divide"));
        assert!(error(&x, &w, &ConvOptions::new(2)).contains("the weight reads 2 channels in each of 1 groups"));
        assert!(error(&x, &w, &two.clone().dilation(3)).contains("no window of 3 (stride 1, dilation 3)"));
        assert!(error(&x, &w, &two.clone().stride(0)).contains("stride 0"));
        assert!(error(&x, &w.slice(2, 0..0), &two).contains("no window of 0"));
        assert!(error(&x, &w, &ConvOptions::new(3)).contains("2 spatial dimensions, but options for 3"));
        assert!(error(&x, &w.flatten(2), &two).contains("[K, C/groups, spatial...] expected"));
        let e = checked(|| ConvOptions::new(2).same(&[5], &[3, 3])).unwrap_err().to_string();
        assert!(e.starts_with("same: input [5], kernel [3, 3]") && e.contains("conv.rs"), "{e}");
    }
}
