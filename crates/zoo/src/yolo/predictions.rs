//! What the network says, and the boxes that it means.

use wgrad_graph::{DType, Tensor};

/// A grid of cells, each with three anchors: where its boxes are among all.
#[derive(Clone, Debug)]
pub(super) struct Grid {
    /// The first box.
    pub start: usize,
    /// Rows and columns.
    pub size: [usize; 2],
    /// Which of the model's anchors.
    pub anchors: [usize; 3],
}

/// The predictions of a batch: B boxes for each image, those of the coarsest grid first; in a grid anchor by anchor, row by
/// row.
#[derive(Clone, Debug)]
pub struct Predictions {
    /// [N, B, 5 + classes], as they leave the network: x, y, width, height, objectness, classes.
    pub raw: Tensor,
    /// [N, B, 4]: centre x and y, width and height, in pixels of the images. With the cell (i, j), its extent s and the
    /// anchor (w, h): s (sigmoid(x) + j), s (sigmoid(y) + i), w e^width, h e^height.
    pub boxes: Tensor,
    pub(super) grids: Vec<Grid>,
    pub(super) anchors: Vec<[f32; 2]>,
    /// Height and width of the images.
    pub(super) image: [usize; 2],
}

impl Predictions {
    /// From the heads' maps [N, 3 (5 + classes), rows, columns].
    #[track_caller]
    pub(super) fn new(maps: &[(Tensor, [usize; 3])], anchors: &[[f32; 2]], classes: usize, image: [usize; 2]) -> Self {
        let (mut raw, mut boxes, mut grids) = (Vec::new(), Vec::new(), Vec::<Grid>::new());
        let mut start = 0;
        for (map, own) in maps {
            let [batch, _, rows, columns] = map.dims();
            let values = map.reshape([batch, 3, 5 + classes, rows, columns]).permute(&[0, 1, 3, 4, 2]);
            let value = |i: usize| values.narrow(4, i, 1);
            let place = |axis: usize| Tensor::iota([1, 3, rows, columns, 1], axis).cast(DType::F32);
            let anchor =
                |side: usize| table(&Tensor::iota([1, 3, rows, columns, 1], 1), &own.map(|a| anchors[a][side]));
            boxes.push(
                Tensor::concat(
                    &[
                        &((value(0).sigmoid() + place(3)) * (image[1] as f32 / columns as f32)),
                        &((value(1).sigmoid() + place(2)) * (image[0] as f32 / rows as f32)),
                        &(value(2).exp() * anchor(0)),
                        &(value(3).exp() * anchor(1)),
                    ],
                    4,
                )
                .reshape([batch, 3 * rows * columns, 4]),
            );
            raw.push(values.reshape([batch, 3 * rows * columns, 5 + classes]));
            grids.push(Grid { start, size: [rows, columns], anchors: *own });
            start += 3 * rows * columns;
        }
        let all = |parts: &[Tensor]| Tensor::concat(&parts.iter().collect::<Vec<_>>(), 1);
        Self { raw: all(&raw), boxes: all(&boxes), grids, anchors: anchors.to_vec(), image }
    }

    /// [N, B, 5 + classes]: the boxes as above, then the probabilities that there is an object, and of each class if so.
    pub fn detections(&self) -> Tensor {
        let classes = self.raw.shape()[2] - 4;
        Tensor::concat(&[&self.boxes, &self.raw.narrow(2, 4, classes).sigmoid()], 2)
    }
}

/// The value at each index (u32); 0 beyond the last.
#[track_caller]
pub(super) fn table(index: &Tensor, values: &[f32]) -> Tensor {
    let mut found = Tensor::zeros(index.shape(), DType::F32);
    for (i, &value) in values.iter().enumerate() {
        found = index.equal(&Tensor::scalar(i as u32)).select(&Tensor::scalar(value), &found);
    }
    found
}
