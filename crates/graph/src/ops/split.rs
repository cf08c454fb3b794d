//! Tensors cut into parts, and put together along a new axis; axes moved.

use crate::{OpCase, Tensor};

impl Tensor {
    /// `len` elements along `axis` from `start`.
    #[track_caller]
    pub fn narrow(&self, axis: isize, start: usize, len: usize) -> Tensor {
        self.slice_step(axis, start, len, 1)
    }

    /// Parts of `size` along `axis`; the last one is smaller where the extent does not divide.
    #[track_caller]
    pub fn split(&self, size: usize, axis: isize) -> Vec<Tensor> {
        let n = self.shape()[self.axis("split", axis)];
        if size == 0 {
            crate::fail("split", format!("parts of 0 elements along axis {axis} of {:?}", self.shape()));
        }
        let mut sizes = vec![size; n / size];
        if n % size != 0 || n == 0 {
            sizes.push(n % size);
        }
        self.split_sizes(&sizes, axis)
    }

    /// Parts of these sizes along `axis`, which must add up to its extent.
    #[track_caller]
    pub fn split_sizes(&self, sizes: &[usize], axis: isize) -> Vec<Tensor> {
        let n = self.shape()[self.axis("split", axis)];
        if sizes.iter().sum::<usize>() != n {
            crate::fail("split", format!("sizes {sizes:?} do not add up to axis {axis} of {:?}", self.shape()));
        }
        let mut start = 0;
        let mut parts = Vec::with_capacity(sizes.len());
        // A loop, because a closure would hide the caller's place.
        for &len in sizes {
            parts.push(self.narrow(axis, start, len));
            start += len;
        }
        parts
    }

    /// At most `count` parts along `axis`, of equal size but for the last: `ceil(extent / count)`, as PyTorch has it, which
    /// may make fewer.
    #[track_caller]
    pub fn chunk(&self, count: usize, axis: isize) -> Vec<Tensor> {
        let n = self.shape()[self.axis("chunk", axis)];
        if count == 0 {
            crate::fail("chunk", format!("0 parts of axis {axis} of {:?}", self.shape()));
        }
        self.split(n.div_ceil(count).max(1), axis)
    }

    /// The slices along `axis`, without that axis.
    #[track_caller]
    pub fn unbind(&self, axis: isize) -> Vec<Tensor> {
        let d = self.axis("unbind", axis);
        let mut slices = Vec::with_capacity(self.shape()[d]);
        for i in 0..self.shape()[d] {
            slices.push(self.narrow(axis, i, 1).squeeze(axis));
        }
        slices
    }

    /// Tensors of one shape joined along a new axis at `axis` (negative: counted from the end of the result).
    #[track_caller]
    pub fn stack(tensors: &[&Tensor], axis: isize) -> Tensor {
        let Some(first) = tensors.first() else { crate::fail("stack", "no tensors given") };
        let rank = first.rank() as isize + 1;
        let d = if axis < 0 { axis + rank } else { axis };
        if d < 0 || d >= rank {
            crate::fail("stack", format!("no place {axis} for a new axis in shape {:?}", first.shape()));
        }
        if let Some(t) = tensors.iter().find(|t| t.shape() != first.shape()) {
            crate::fail("stack", format!("{:?} and {:?} differ", first.shape(), t.shape()));
        }
        let wide: Vec<Tensor> = tensors.iter().map(|t| t.unsqueeze(d as usize)).collect();
        Tensor::concat(&wide.iter().collect::<Vec<_>>(), d)
    }

    /// Axis `from` moved to place `to`, the others keeping their order; negative ones count from the end.
    #[track_caller]
    pub fn movedim(&self, from: isize, to: isize) -> Tensor {
        let (from, to) = (self.axis("movedim", from), self.axis("movedim", to));
        let mut order: Vec<usize> = (0..self.rank()).collect();
        let moved = order.remove(from);
        order.insert(to, moved);
        self.permute(&order)
    }
}

pub(crate) fn cases() -> Vec<OpCase> {
    // Parts used apart, each in its own way.
    fn mix(parts: Vec<Tensor>) -> Tensor {
        let each = parts.iter().enumerate().map(|(i, p)| (p * (i as f32 + 0.5)).sin().sum_all());
        each.reduce(|a, b| a + b).expect("a part")
    }
    let case = |name: &'static str, shape: &[usize], f: fn(&Tensor) -> Tensor| {
        OpCase::new(name, format!("{name} {shape:?}"), &[shape], move |x| f(&x[0]))
    };
    vec![
        case("narrow", &[5, 7], |x| x.narrow(-1, 2, 4).exp()),
        case("narrow", &[5], |x| x.narrow(0, 5, 0).exp()),
        case("narrow", &[3, 2, 2], |x| x.transpose(0, 2).narrow(2, 1, 1).exp()),
        case("split", &[7, 3], |x| mix(x.split(3, 0))),
        case("split", &[2, 6], |x| mix(x.split(2, -1))),
        case("split", &[0, 3], |x| mix(x.split(2, 0))),
        case("split_sizes", &[2, 6], |x| mix(x.split_sizes(&[1, 0, 5], 1))),
        case("chunk", &[7], |x| mix(x.chunk(3, 0))),
        case("chunk", &[2, 5], |x| mix(x.chunk(4, 1))),
        case("chunk", &[3], |x| mix(x.chunk(5, 0))),
        case("unbind", &[3, 4], |x| mix(x.unbind(0))),
        case("unbind", &[3, 4, 2], |x| mix(x.unbind(1))),
        case("unbind", &[1], |x| mix(x.unbind(-1))),
        case("movedim", &[2, 3, 4], |x| x.movedim(0, -1).square()),
        case("movedim", &[2, 3, 4, 5], |x| x.movedim(-1, 1).square()),
        case("movedim", &[5], |x| x.movedim(0, 0).square()),
        OpCase::new("stack", "stack at 0", &[&[2, 3], &[2, 3]], |x| Tensor::stack(&[&x[0], &x[1].exp()], 0).square()),
        OpCase::new("stack", "stack at -1", &[&[3, 2], &[2, 3]], |x| {
            Tensor::stack(&[&x[0], &x[1].transpose(0, 1), &x[0]], -1).square()
        }),
        OpCase::new("stack", "stack of scalars", &[&[], &[]], |x| Tensor::stack(&[&x[0], &x[1]], 0).square()),
    ]
}
