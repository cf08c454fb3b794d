//! Blocks of pixels made channels and back, and channels in another order: reshapes around a permutation.

use crate::{OpCase, Tensor};

impl Tensor {
    /// [N, C*r*r, H, W] to [N, C, H*r, W*r]: the channels of each group of r*r become a block of pixels, row by row (Shi et
    /// al., 2016).
    #[track_caller]
    pub fn pixel_shuffle(&self, r: usize) -> Tensor {
        let [n, c, h, w] = self.blocks_of_channels("pixel_shuffle", r);
        self.reshape([n, c, r, r, h, w]).permute(&[0, 1, 4, 2, 5, 3]).reshape([n, c, h * r, w * r])
    }

    /// [N, C, H*r, W*r] to [N, C*r*r, H, W]: the inverse of [`Tensor::pixel_shuffle`].
    #[track_caller]
    pub fn pixel_unshuffle(&self, r: usize) -> Tensor {
        let [n, c, h, w] = self.blocks_of_pixels("pixel_unshuffle", r);
        self.reshape([n, c, h, r, w, r]).permute(&[0, 1, 3, 5, 2, 4]).reshape([n, c * r * r, h, w])
    }

    /// [N, C, H*r, W*r] to [N, r*r*C, H, W] as TensorFlow orders them (and YOLO's passthrough layer): the place in the block
    /// changes slowest, the channel fastest. [`Tensor::pixel_unshuffle`] has it the other way round.
    #[track_caller]
    pub fn space_to_depth(&self, r: usize) -> Tensor {
        let [n, c, h, w] = self.blocks_of_pixels("space_to_depth", r);
        self.reshape([n, c, h, r, w, r]).permute(&[0, 3, 5, 1, 2, 4]).reshape([n, c * r * r, h, w])
    }

    /// [N, r*r*C, H, W] to [N, C, H*r, W*r]: the inverse of [`Tensor::space_to_depth`].
    #[track_caller]
    pub fn depth_to_space(&self, r: usize) -> Tensor {
        let [n, c, h, w] = self.blocks_of_channels("depth_to_space", r);
        self.reshape([n, r, r, c, h, w]).permute(&[0, 3, 4, 1, 5, 2]).reshape([n, c, h * r, w * r])
    }

    /// The channels (axis 1) of `groups` groups dealt out in turn, the first of each group first (ShuffleNet; Zhang et al.,
    /// 2018).
    #[track_caller]
    pub fn channel_shuffle(&self, groups: usize) -> Tensor {
        let shape = self.shape().to_vec();
        if shape.len() < 2 || groups == 0 || shape[1] % groups != 0 {
            crate::fail("channel_shuffle", format!("{groups} groups do not divide the channels of {shape:?}"));
        }
        let mut split = shape.clone();
        split.splice(1..2, [groups, shape[1] / groups]);
        self.reshape(split).transpose(1, 2).reshape(shape)
    }

    /// [N, C, H, W] of an input [N, C*r*r, H, W].
    #[track_caller]
    fn blocks_of_channels(&self, op: &str, r: usize) -> [usize; 4] {
        match *self.shape() {
            [n, c, h, w] if r > 0 && c % (r * r) == 0 => [n, c / (r * r), h, w],
            _ => crate::fail(op, format!("[N, C * {r} * {r}, H, W] expected, not {:?}", self.shape())),
        }
    }

    /// [N, C, H, W] of an input [N, C, H*r, W*r].
    #[track_caller]
    fn blocks_of_pixels(&self, op: &str, r: usize) -> [usize; 4] {
        match *self.shape() {
            [n, c, h, w] if r > 0 && h % r == 0 && w % r == 0 => [n, c, h / r, w / r],
            _ => crate::fail(op, format!("[N, C, H * {r}, W * {r}] expected, not {:?}", self.shape())),
        }
    }
}

pub(crate) fn cases() -> Vec<OpCase> {
    type Shuffle = fn(&Tensor, usize) -> Tensor;
    let case = |name: &'static str, f: Shuffle, shape: &[usize], r: usize| {
        OpCase::new(name, format!("{name} {shape:?} {r}"), &[shape], move |x| f(&(&x[0] * 2.0), r).exp())
    };
    let mut all = vec![];
    for (name, f) in [("pixel_shuffle", Tensor::pixel_shuffle as Shuffle), ("depth_to_space", Tensor::depth_to_space)] {
        all.extend([case(name, f, &[2, 8, 2, 3], 2), case(name, f, &[1, 9, 1, 2], 3), case(name, f, &[0, 4, 2, 2], 2)]);
    }
    for (name, f) in
        [("pixel_unshuffle", Tensor::pixel_unshuffle as Shuffle), ("space_to_depth", Tensor::space_to_depth)]
    {
        all.extend([case(name, f, &[2, 2, 4, 6], 2), case(name, f, &[1, 1, 3, 6], 3), case(name, f, &[1, 3, 2, 1], 1)]);
    }
    let f = Tensor::channel_shuffle;
    all.extend([
        case("channel_shuffle", f, &[2, 6, 3], 2),
        case("channel_shuffle", f, &[1, 6, 2, 2], 3),
        case("channel_shuffle", f, &[3, 5], 5),
    ]);
    all
}
