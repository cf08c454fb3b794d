//! Images of any size, tile by tile (the paper's figure 2).

use super::UNet;
use wgrad_graph::{DType, Data, Device, Error, Program, ShapeError, State, Tensor, Updates, checked};
use wgrad_nn::{Layer, Scope};

/// Why an image cannot be segmented by tiles.
#[derive(Debug, thiserror::Error)]
pub enum TileError {
    /// The model does not take tiles of this size.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// Compiling or running the program.
    #[error(transparent)]
    Graph(#[from] Error),
    /// Nothing is left of a tile without its margins.
    #[error(
        "of a tile with a side of {size}, {margin} on each side are only context, so that fewer than {step} pixels are left"
    )]
    NoRoom {
        /// The tile's side.
        size: usize,
        /// What is lost on each side.
        margin: usize,
        /// The least that a tile can give.
        step: usize,
    },
    /// The image has another number of values than its size says.
    #[error("an image of {channels} x {height} x {width} is expected, with at least one pixel, not {found} values")]
    Image {
        /// The model's channels.
        channels: usize,
        /// The height given.
        height: usize,
        /// The width given.
        width: usize,
        /// The values given.
        found: usize,
    },
}

/// The overlap-tile strategy: an image of any size is cut into overlapping tiles, each is segmented, and the middles are put
/// together. What lies outside of the image is the image mirrored at its border.
///
/// Of a network with valid convolutions the result is, pixel by pixel, that of one pass over the whole mirrored image: tiles
/// are a multiple of [`UNet::step`] apart, since in between the pooling windows would fall otherwise. (So the paper's tile of
/// 572 gives 384 of its 388 pixels.) Of the padded form it is near to that, the nearer the greater the overlap.
pub struct OverlapTile {
    program: Program,
    channels: usize,
    classes: usize,
    batch: usize,
    /// Height and width.
    axes: [Axis; 2],
}

/// Sizes along one axis.
#[derive(Clone, Copy, Debug)]
struct Axis {
    /// What the network sees of a tile.
    input: usize,
    /// What it gives.
    output: usize,
    /// What of that is dropped at either end.
    overlap: usize,
    /// What is kept: the distance between tiles.
    keep: usize,
    /// From the start of what is seen to the start of what is kept.
    before: usize,
}

impl Axis {
    fn new(model: &UNet, input: usize, overlap: usize) -> Result<Axis, TileError> {
        let step = model.step();
        // Where tiles are laid out evenly, all see the same phase of the pooling windows.
        let overlap = if model.margin() > 0 { overlap } else { overlap.next_multiple_of(step) };
        let output = model.output_size(input).unwrap_or(0);
        let keep = output.saturating_sub(overlap.saturating_mul(2)) / step * step;
        let margin = overlap.saturating_add(model.margin());
        if keep == 0 {
            return Err(TileError::NoRoom { size: input, margin, step });
        }
        Ok(Axis { input, output, overlap, keep, before: margin })
    }

    /// Where pixel `i` of tile `tile` is taken from in an image of `size`.
    fn source(&self, tile: usize, i: usize, size: usize) -> usize {
        mirror((tile * self.keep + i) as isize - self.before as isize, size)
    }
}

/// The place within 0..size that `i` falls on when the axis is folded at its ends, which are not repeated.
fn mirror(i: isize, size: usize) -> usize {
    let last = size as isize - 1;
    if last == 0 {
        return 0;
    }
    let folded = i.rem_euclid(2 * last);
    (if folded > last { 2 * last - folded } else { folded }) as usize
}

impl OverlapTile {
    /// Compiles the program for batches of `batch` tiles whose height and width, as the network sees them, are `tile`. Of each
    /// result, `overlap` more pixels are dropped on each side (in the padded form, rounded up to a multiple of
    /// [`UNet::step`]): what the padding's zeros have reached. 0 is enough for the original form.
    ///
    /// # Errors
    /// If the model does not take such tiles, nothing is left of them, or the program does not fit the device.
    pub fn new(
        device: &Device,
        model: &UNet,
        tile: [usize; 2],
        overlap: usize,
        batch: usize,
    ) -> Result<OverlapTile, TileError> {
        let batch = batch.max(1);
        let shape = [batch, model.in_channels(), tile[0], tile[1]];
        let scope = Scope::eval();
        let logits = checked(|| model.forward(&scope, &Tensor::input("images", shape, DType::F32)))?;
        let axes = [Axis::new(model, tile[0], overlap)?, Axis::new(model, tile[1], overlap)?];
        let program = Program::compile(device, &[&logits], &Updates::new())?;
        Ok(OverlapTile { program, channels: shape[1], classes: model.classes(), batch, axes })
    }

    /// The program, of which `State::init` makes a state.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// How much of the image a tile gives: height and width.
    pub fn kept(&self) -> [usize; 2] {
        self.axes.map(|a| a.keep)
    }

    /// The logits [classes, H, W] of an image [channels, H, W], with `size` its height and width and the model's tensors in
    /// `state`.
    ///
    /// # Errors
    /// If the image has no pixels or another number of values, or the device fails.
    pub fn run(&self, state: &mut State, image: &[f32], size: [usize; 2]) -> Result<Vec<f32>, TileError> {
        let [height, width] = size;
        let pixels = height.checked_mul(width).filter(|&n| n > 0);
        if pixels.and_then(|n| n.checked_mul(self.channels)) != Some(image.len()) {
            return Err(TileError::Image { channels: self.channels, height, width, found: image.len() });
        }
        state.add(&self.program)?;
        let [y, x] = self.axes;
        let (down, across) = (height.div_ceil(y.keep), width.div_ceil(x.keep));
        let mut result = vec![0.0; self.classes * height * width];
        let mut tiles = vec![0.0; self.batch * self.channels * y.input * x.input];
        for first in (0..down * across).step_by(self.batch) {
            let chosen = || (first..down * across).take(self.batch).map(|tile| (tile / across, tile % across));
            for ((down, across), out) in chosen().zip(tiles.chunks_exact_mut(self.channels * y.input * x.input)) {
                self.cut(image, size, [down, across], out);
            }
            let logits = self.program.run(state, &[("images", Data::from(&tiles))])?.f32(0)?;
            for ((down, across), logits) in chosen().zip(logits.chunks_exact(self.classes * y.output * x.output)) {
                self.paste(logits, size, [down, across], &mut result);
            }
        }
        Ok(result)
    }

    /// Writes what the network sees of a tile.
    fn cut(&self, image: &[f32], [height, width]: [usize; 2], tile: [usize; 2], out: &mut [f32]) {
        let [y, x] = self.axes;
        let columns: Vec<usize> = (0..x.input).map(|i| x.source(tile[1], i, width)).collect();
        for (row, out) in out.chunks_exact_mut(x.input).enumerate() {
            let (channel, row) = (row / y.input, row % y.input);
            let line = &image[(channel * height + y.source(tile[0], row, height)) * width..][..width];
            for (out, &column) in out.iter_mut().zip(&columns) {
                *out = line[column];
            }
        }
    }

    /// Puts the middle of a tile's logits where it belongs, as far as that is in the image.
    fn paste(&self, logits: &[f32], [height, width]: [usize; 2], tile: [usize; 2], result: &mut [f32]) {
        let [y, x] = self.axes;
        let (top, left) = (tile[0] * y.keep, tile[1] * x.keep);
        let (rows, columns) = (y.keep.min(height - top), x.keep.min(width - left));
        for class in 0..self.classes {
            for row in 0..rows {
                let from = &logits[(class * y.output + y.overlap + row) * x.output + x.overlap..][..columns];
                result[(class * height + top + row) * width + left..][..columns].copy_from_slice(from);
            }
        }
    }
}

/// The class with the greatest of the logits [classes, pixels], for each pixel; the first of equal ones.
pub fn labels_of(logits: &[f32], classes: usize) -> Vec<u32> {
    let pixels = logits.len() / classes.max(1);
    let best =
        |i: usize| (1..classes).fold(0, |b, c| if logits[c * pixels + i] > logits[b * pixels + i] { c } else { b });
    (0..pixels).map(|i| best(i) as u32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrors_without_repeating_the_edge() {
        let line: Vec<usize> = (-5..9).map(|i| mirror(i, 4)).collect();
        assert_eq!(line, [1, 2, 3, 2, 1, 0, 1, 2, 3, 2, 1, 0, 1, 2]);
        assert!((-3..3).all(|i| mirror(i, 1) == 0));
    }

    #[test]
    fn the_papers_tiles() {
        let axis = Axis::new(&UNet::original(1, 2), 572, 0).unwrap();
        assert_eq!((axis.output, axis.keep, axis.before), (388, 384, 92));
        let axis = Axis::new(&UNet::padded(1, 2), 256, 20).unwrap();
        assert_eq!((axis.output, axis.overlap, axis.keep, axis.before), (256, 32, 192, 32));
    }

    #[test]
    fn the_class_of_the_greatest_logit() {
        assert_eq!(labels_of(&[0.0, 2.0, 1.0, 1.0, 2.0, -1.0], 2), [1, 0, 0]);
        assert_eq!(labels_of(&[], 2), []);
    }
}
