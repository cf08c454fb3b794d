//! Elements repeated: whole tensors side by side, or each element by itself.

use crate::{OpCase, Tensor};

impl Tensor {
    /// Copies side by side: `repeats[d]` along axis d. With more repeats than axes, axes of 1 are put before, as PyTorch's
    /// `repeat` does; with fewer, the first axes are not repeated, as its `tile` does.
    #[track_caller]
    pub fn repeat(&self, repeats: &[usize]) -> Tensor {
        let rank = self.rank().max(repeats.len());
        let at = |s: &[usize], d: usize| if d + s.len() < rank { 1 } else { s[d + s.len() - rank] };
        let (mut split, mut wide, mut whole) = (vec![], vec![], vec![]);
        for d in 0..rank {
            let (r, n) = (at(repeats, d), at(self.shape(), d));
            split.extend([1, n]);
            wide.extend([r, n]);
            whole.push(r * n);
        }
        self.reshape(split).broadcast_to(wide).reshape(whole)
    }

    /// Each element along `axis` `count` times, one after another.
    #[track_caller]
    pub fn repeat_interleave(&self, count: usize, axis: isize) -> Tensor {
        let d = self.axis("repeat_interleave", axis);
        let (mut wide, mut whole) = (self.shape().to_vec(), self.shape().to_vec());
        wide.insert(d + 1, count);
        whole[d] *= count;
        self.unsqueeze(d + 1).broadcast_to(wide).reshape(whole)
    }
}

pub(crate) fn cases() -> Vec<OpCase> {
    let repeat = |shape: &[usize], repeats: &'static [usize]| {
        OpCase::new("repeat", format!("repeat {shape:?} {repeats:?}"), &[shape], move |x| {
            (&x[0] * 2.0).repeat(repeats).exp()
        })
    };
    let each = |shape: &[usize], count, axis| {
        OpCase::new("repeat_interleave", format!("repeat_interleave {shape:?} {count} {axis}"), &[shape], move |x| {
            (&x[0] * 2.0).repeat_interleave(count, axis).exp()
        })
    };
    vec![
        repeat(&[3], &[4]),
        repeat(&[2, 3], &[2, 3]),
        repeat(&[2, 3], &[3, 1, 2]),
        repeat(&[2, 3], &[2]),
        repeat(&[2, 3], &[0, 2]),
        each(&[5], 3, 0),
        each(&[2, 3], 2, 0),
        each(&[2, 3, 2], 4, -2),
        each(&[3], 0, 0),
    ]
}
