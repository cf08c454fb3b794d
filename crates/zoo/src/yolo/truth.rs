//! Which of the boxes is to become which object.

use super::predictions::{Predictions, table};
use wgrad_graph::{DType, Tensor};

/// The objects of a batch of images, at most M of each.
#[derive(Clone, Debug)]
pub struct Truth {
    /// [N, M, 4]: centre x and y, width and height, as parts of the image's width and height. Where the width is 0 there is
    /// no object.
    pub boxes: Tensor,
    /// [N, M], u32: their classes.
    pub classes: Tensor,
}

/// For every object the box that is responsible for it: that of the cell which its centre is in, and of the anchor, among
/// those of all grids, whose size fits best (IoU of the two laid on one corner). If two objects have the same box, it is the
/// later one's. All [N, M].
#[derive(Clone, Debug)]
pub struct Assigned {
    /// Number of the box, u32; 0 where there is no object.
    pub index: Tensor,
    /// Whether there is an object, and it has a box.
    pub kept: Tensor,
    /// What the sigmoids of the box's x and y should be.
    pub offsets: [Tensor; 2],
    /// What its width and height should be, before the exponential.
    pub sizes: [Tensor; 2],
    /// 2 - width * height: small objects weigh more.
    pub weight: Tensor,
}

impl Truth {
    /// Finds the boxes. Nothing of it depends on what the network predicts.
    #[track_caller]
    pub fn assign(&self, predictions: &Predictions) -> Assigned {
        let column = |i: usize| self.boxes.narrow(2, i, 1).squeeze(2);
        let there = Tensor::scalar(0.0).lt(&column(2)).logical_and(&Tensor::scalar(0.0).lt(&column(3)));
        // What is not there gets a harmless box, so that no infinity is multiplied by 0 later.
        let safe = |i: usize, or: f32| there.select(&column(i), &Tensor::scalar(or));
        let (x, y, w, h) = (safe(0, 0.5), safe(1, 0.5), safe(2, 1.0), safe(3, 1.0));
        let [height, width] = predictions.image.map(|n| n as f32);
        let (wide, high) = (&w * width, &h * height);

        let anchors = &predictions.anchors;
        let count = anchors.len();
        let side = |d: usize| table(&Tensor::iota([count], 0), &anchors.iter().map(|a| a[d]).collect::<Vec<_>>());
        let (w2, h2) = (wide.unsqueeze(2), high.unsqueeze(2));
        let shared = w2.minimum(&side(0)) * h2.minimum(&side(1));
        let best = (&shared / (w2 * h2 + side(0) * side(1) - &shared)).argmax(&[2]);

        // What each anchor's grid is, looked up by the anchor.
        let grid_of = |value: &dyn Fn(usize, usize) -> f32| {
            let mut values = vec![0.0; count];
            for (g, grid) in predictions.grids.iter().enumerate() {
                grid.anchors.iter().enumerate().for_each(|(place, &a)| values[a] = value(g, place));
            }
            table(&best, &values)
        };
        let grids = &predictions.grids;
        let area = |g: usize| grids[g].size[0] * grids[g].size[1];
        let rows = grid_of(&|g, _| grids[g].size[0] as f32);
        let columns = grid_of(&|g, _| grids[g].size[1] as f32);
        let first = grid_of(&|g, place| (grids[g].start + place * area(g)) as f32); // exact: below 2^24
        let cell =
            |at: &Tensor, cells: &Tensor| (at * cells).floor().maximum(&Tensor::scalar(0.0)).minimum(&(cells - 1.0));
        let (i, j) = (cell(&y, &rows), cell(&x, &columns));
        let index = there.select(&(first + &i * &columns + &j), &Tensor::scalar(0.0)).cast(DType::U32);

        // An object whose box is that of a later one gives way.
        let [_, objects] = index.dims();
        let same = index.unsqueeze(2).equal(&index.unsqueeze(1));
        let later = Tensor::iota([objects, objects], 0).lt(&Tensor::iota([objects, objects], 1));
        let lost = same.logical_and(&later).logical_and(&there.unsqueeze(1)).any(&[2]);
        let kept = there.select(&Tensor::scalar(1.0), &Tensor::scalar(0.0))
            * lost.select(&Tensor::scalar(0.0), &Tensor::scalar(1.0));

        let anchor = |d: usize| table(&best, &anchors.iter().map(|a| a[d]).collect::<Vec<_>>());
        Assigned {
            index,
            kept,
            offsets: [&x * columns - j, &y * rows - i],
            sizes: [(wide / anchor(0)).log(), (high / anchor(1)).log()],
            weight: 2.0 - w * h,
        }
    }
}
