//! Tiles of images for a network: cut at random places and bent for training, or side by side for judging.

use std::sync::Arc;

use super::lattice::Lattice;
use super::{OutlinedSet, WeightMap, separated};
use crate::data::{Example, Field, Source};
use crate::error::DataError;
use crate::rng::Stream;

/// The label of pixels that do not count: what lies outside of an image.
pub const IGNORE: u32 = 255;

/// Random changes to tiles that leave cells cells.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Warp {
    /// Turned by quarters and mirrored: each of the eight ways is as likely.
    pub turn: bool,
    /// Elastic deformation (Ronneberger et al., 2015, section 3.1): the standard deviation, in pixels, of the displacement of
    /// the nodes of a coarse 3x3 grid over the tile; in between, displacements are bicubic. The paper has 10 for tiles of 512.
    pub elastic: f32,
    /// Standard deviation of the logarithm of the factor on the image's contrast.
    pub contrast: f32,
}

impl Warp {
    /// Changes nothing.
    pub const NONE: Warp = Warp { turn: false, elastic: 0.0, contrast: 0.0 };

    /// Turns, contrast, and the paper's deformation in proportion to a tile of `size` pixels.
    pub fn of_tile(size: usize) -> Warp {
        Warp { turn: true, elastic: size as f32 / 51.2, contrast: 0.1 }
    }
}

/// How tiles are laid out in the images.
#[derive(Clone, Debug)]
enum Layout {
    /// So many of each image, at places and with changes that are drawn at random.
    Random(usize, Warp),
    /// Side by side: the image, and the first row and column of what the network gives.
    Grid(Vec<(usize, [usize; 2])>),
}

/// Tiles of images as a loader's examples: "images" [C, input, input], each image's values with mean 0 and standard deviation
/// 1; "labels" (u32, [output, output]), 1 in objects and 0 elsewhere, also between those that touch ([`separated`]); "weights"
/// [output, output] by a [`WeightMap`].
///
/// `output` is smaller than `input` for a network whose result is: labels and weights are then about the middle. What lies
/// outside of an image is the image mirrored at its border.
pub struct Tiles {
    set: Arc<dyn OutlinedSet>,
    input: usize,
    output: usize,
    weights: WeightMap,
    layout: Layout,
}

impl Tiles {
    /// `per_image` tiles of each image in each epoch, at random places within it and changed as `warp` says.
    ///
    /// # Errors
    /// When a side is 0, or the input is not larger by an even number.
    pub fn random(
        set: Arc<dyn OutlinedSet>,
        [input, output]: [usize; 2],
        per_image: usize,
        warp: Warp,
    ) -> Result<Tiles, DataError> {
        Tiles::new(set, [input, output], Layout::Random(per_image, warp))
    }

    /// The tiles that cover each image without overlapping, unchanged. What sticks out of an image is labelled [`IGNORE`].
    ///
    /// # Errors
    /// As [`Tiles::random`].
    pub fn all(set: Arc<dyn OutlinedSet>, [input, output]: [usize; 2]) -> Result<Tiles, DataError> {
        let step = output.max(1);
        let of_image = |i: usize| {
            let [height, width] = set.size(i);
            (0..height).step_by(step).flat_map(move |y| (0..width).step_by(step).map(move |x| (i, [y, x])))
        };
        let places = (0..set.len()).flat_map(of_image).collect();
        Tiles::new(set, [input, output], Layout::Grid(places))
    }

    fn new(set: Arc<dyn OutlinedSet>, [input, output]: [usize; 2], layout: Layout) -> Result<Tiles, DataError> {
        if output == 0 || input < output || !(input - output).is_multiple_of(2) {
            let reason = format!("tiles of {input} pixels with {output} labelled in the middle");
            return Err(DataError::Invalid { name: set.name().into(), reason });
        }
        Ok(Tiles { set, input, output, weights: WeightMap::default(), layout })
    }

    /// How pixels are weighted: as in the paper unless said otherwise.
    pub fn weights(mut self, weights: WeightMap) -> Self {
        self.weights = weights;
        self
    }
}

impl Source for Tiles {
    fn name(&self) -> &str {
        self.set.name()
    }

    fn len(&self) -> usize {
        match &self.layout {
            Layout::Random(per_image, _) => self.set.len() * per_image,
            Layout::Grid(places) => places.len(),
        }
    }

    fn fields(&self) -> Vec<Field> {
        let places = [self.output, self.output];
        vec![
            Field::f32("images", [self.set.channels(), self.input, self.input]),
            Field::u32("labels", places),
            Field::f32("weights", places),
        ]
    }

    fn read(&self, index: usize, stream: &mut Stream, out: &mut Example<'_>) -> Result<(), DataError> {
        let (image, corner, warp) = match &self.layout {
            Layout::Random(per_image, warp) => (index / per_image.max(&1), None, *warp),
            Layout::Grid(places) => (places[index].0, Some(places[index].1), Warp::NONE),
        };
        let outlined = self.set.get(image)?;
        let size = outlined.size;
        let corner = corner.map(|c| c.map(|v| v as f32));
        let corner = corner.unwrap_or_else(|| size.map(|s| self.random_corner(s, stream)));
        let places = sources(self.input, self.output, corner, &warp, stream);

        let contrast = (warp.contrast * stream.normal()).exp();
        let (mean, scale) = outlined.level();
        let pixels = size[0] * size[1];
        for (plane, values) in outlined.image.chunks_exact(pixels).zip(out.f32("images").chunks_exact_mut(places.len()))
        {
            for (value, &place) in values.iter_mut().zip(&places) {
                *value = (between(plane, size, place) - mean) * scale * contrast;
            }
        }

        // Objects of the whole tile, so that those outside of the middle count for the weights.
        let nearest = |&[y, x]: &[f32; 2]| {
            let [y, x] = [fold(y, size[0]), fold(x, size[1])].map(|v| v.round() as usize);
            outlined.objects[y * size[1] + x]
        };
        let objects: Vec<u16> = places.iter().map(nearest).collect();
        let inside = separated(&objects, [self.input; 2]);
        let weights = self.weights.weights(&objects, &inside, [self.input; 2]);
        let is_outside = |[y, x]: [f32; 2]| y >= size[0] as f32 || x >= size[1] as f32;
        let judged = matches!(self.layout, Layout::Grid(_));
        let before = (self.input - self.output) / 2;
        for i in 0..self.output * self.output {
            let place = (before + i / self.output) * self.input + before + i % self.output;
            let counts = !(judged && is_outside(places[place]));
            out.u32("labels")[i] = if counts { u32::from(inside[place]) } else { IGNORE };
            out.f32("weights")[i] = if counts { weights[place] } else { 0.0 };
        }
        Ok(())
    }

    fn describe(&self) -> String {
        format!("tiles of {0}x{0} from {1} images, {2}x{2} labelled", self.input, self.set.len(), self.output)
    }
}

impl Tiles {
    /// Where what the network gives begins, along an axis of `size` pixels: within the image, or about its middle if that is
    /// smaller.
    fn random_corner(&self, size: usize, stream: &mut Stream) -> f32 {
        match size.checked_sub(self.output) {
            Some(room) => stream.below(u32::try_from(room + 1).unwrap_or(u32::MAX)) as f32,
            None => -(((self.output - size) / 2) as f32),
        }
    }
}

/// Where each pixel of the tile comes from: row and column in the image, which may lie outside.
fn sources(input: usize, output: usize, corner: [f32; 2], warp: &Warp, stream: &mut Stream) -> Vec<[f32; 2]> {
    let way = if warp.turn { stream.below(8) } else { 0 };
    let displaced =
        (warp.elastic > 0.0).then(|| [(); 2].map(|()| Lattice::random(3, warp.elastic, stream).field(input, input)));
    let middle = (input - 1) as f32 / 2.0;
    let centre = corner.map(|c| c + (output - 1) as f32 / 2.0);
    let place = |i: usize| {
        let (mut y, mut x) = ((i / input) as f32 - middle, (i % input) as f32 - middle);
        if way & 1 != 0 {
            (y, x) = (x, y);
        }
        if way & 2 != 0 {
            y = -y;
        }
        if way & 4 != 0 {
            x = -x;
        }
        let [dy, dx] = displaced.as_ref().map_or([0.0; 2], |[dy, dx]| [dy[i], dx[i]]);
        [centre[0] + y + dy, centre[1] + x + dx]
    };
    (0..input * input).map(place).collect()
}

/// The coordinate mirrored at the first and the last pixel until it lies between them.
fn fold(v: f32, size: usize) -> f32 {
    let last = (size - 1) as f32;
    if last == 0.0 {
        return 0.0;
    }
    let folded = v.rem_euclid(2.0 * last);
    (if folded > last { 2.0 * last - folded } else { folded }).clamp(0.0, last)
}

/// The value of a plane between four pixels.
fn between(plane: &[u8], [height, width]: [usize; 2], [y, x]: [f32; 2]) -> f32 {
    let (y, x) = (fold(y, height), fold(x, width));
    let (top, left) = (y.floor(), x.floor());
    let (dy, dx) = (y - top, x - left);
    let (top, left) = (top as usize, left as usize);
    let (bottom, right) = ((top + 1).min(height - 1), (left + 1).min(width - 1));
    let at = |y: usize, x: usize| f32::from(plane[y * width + x]);
    let line = |y: usize| at(y, left) * (1.0 - dx) + at(y, right) * dx;
    line(top) * (1.0 - dy) + line(bottom) * dy
}

#[cfg(test)]
mod tests {
    use super::super::{Cells, Outlined};
    use super::*;
    use crate::data::{Batch, Loader, LoaderOptions};

    /// Numbered pixels; the left part is object 1, and below it a row is object 2.
    struct Toy([usize; 2]);

    impl OutlinedSet for Toy {
        fn name(&self) -> &str {
            "toy"
        }

        fn len(&self) -> usize {
            2
        }

        fn channels(&self) -> usize {
            2
        }

        fn size(&self, _: usize) -> [usize; 2] {
            self.0
        }

        fn get(&self, index: usize) -> Result<Outlined, DataError> {
            let [height, width] = self.0;
            let image = (0..2 * height * width).map(|i| (i * 3 + index) as u8).collect();
            let object = |i: usize| if i / width == height - 1 { 2 } else { u16::from(i % width < 2) };
            Ok(Outlined { size: self.0, image, objects: (0..height * width).map(object).collect() })
        }
    }

    fn batch(tiles: Tiles, options: LoaderOptions) -> Batch {
        Loader::new(tiles, options).unwrap().epoch(0, 0).unwrap().next().unwrap().unwrap()
    }

    #[test]
    fn tiles_side_by_side_cover_the_images_once() {
        let size = [5, 7];
        let tiles =
            Tiles::all(Arc::new(Toy(size)), [8, 4]).unwrap().weights(WeightMap { border: 0.0, ..Default::default() });
        assert_eq!(tiles.len(), 2 * 2 * 2);
        let batch = batch(tiles, LoaderOptions::test(8));
        let toy = Toy(size).get(1).unwrap();
        let (mean, scale) = toy.level();
        let expected = |c: usize, y: usize, x: usize| (f32::from(toy.image[(c * 5 + y) * 7 + x]) - mean) * scale;
        // The last tile: its middle begins at row 4, column 4, of which one row and three columns are in the image.
        let labels = &batch.u32("labels")[7 * 16..];
        assert_eq!(labels[..4], [1, 1, 1, IGNORE]);
        assert!(labels[4..].iter().all(|&l| l == IGNORE));
        assert_eq!(batch.f32("weights")[7 * 16..][..5], [1.0, 1.0, 1.0, 0.0, 0.0]);
        // What the network sees begins two pixels before, and is mirrored at row 4 and column 6.
        let image = &batch.f32("images")[7 * 2 * 64..];
        for (c, y, x) in [(0, 0, 0), (1, 2, 4), (1, 3, 5), (0, 5, 7)] {
            let mirrored = |v: usize, last: usize| if v > last { 2 * last - v } else { v };
            let (from_y, from_x) = (mirrored(y + 2, 4), mirrored(x + 2, 6));
            let got = image[(c * 8 + y) * 8 + x];
            assert!((got - expected(c, from_y, from_x)).abs() < 1e-5, "{c} {y} {x}: {got}");
        }
        // The first tile: touching objects are set apart by the one with the greater number.
        assert_eq!(batch.u32("labels")[4 * 16..][..4], [1, 1, 0, 0]);
        assert_eq!(batch.u32("labels")[6 * 16..][..4], [0, 0, 0, 1]);
    }

    #[test]
    fn turns_are_the_eight_symmetries() {
        let warp = Warp { turn: true, ..Warp::NONE };
        let mut seen = std::collections::BTreeSet::new();
        for index in 0..200 {
            let mut stream = Stream::new(1, crate::rng::Purpose::Augment, 0, index);
            let places = sources(4, 4, [0.0; 2], &warp, &mut stream);
            let mut order: Vec<usize> = places.iter().map(|[y, x]| (y * 4.0 + x) as usize).collect();
            seen.insert(order.clone());
            order.sort_unstable();
            assert_eq!(order, (0..16).collect::<Vec<_>>());
        }
        assert_eq!(seen.len(), 8);
    }

    /// Displacements have the deviation asked for at the nodes, are smooth, and images and labels go together.
    #[test]
    fn elastic_deformation_bends() {
        let warp = Warp { elastic: 3.0, ..Warp::NONE };
        let (mut squares, mut count) = (0.0, 0.0);
        for index in 0..200 {
            let mut stream = Stream::new(2, crate::rng::Purpose::Augment, 0, index);
            let places = sources(33, 33, [0.0; 2], &warp, &mut stream);
            for node in [0, 16, 32, 16 * 33, 16 * 33 + 16, 32 * 33 + 32] {
                let [y, x] = places[node];
                squares += (y - (node / 33) as f32).powi(2) + (x - (node % 33) as f32).powi(2);
                count += 2.0;
            }
            assert!(places.windows(2).step_by(33).all(|p| (p[1][1] - p[0][1] - 1.0).abs() < 1.5));
        }
        let deviation = f32::sqrt(squares / count);
        assert!((2.7..3.3).contains(&deviation), "{deviation}");
    }

    #[test]
    fn training_tiles_are_a_function_of_seed_and_epoch() {
        let set = Arc::new(Cells::new(1, 0, 4, 64).unwrap());
        let tiles = || Tiles::random(set.clone(), [48, 32], 2, Warp::of_tile(48)).unwrap();
        assert_eq!(tiles().len(), 8);
        let make = |seed| batch(tiles(), LoaderOptions::train(8, seed));
        let (a, b, c) = (make(1), make(1), make(2));
        assert_eq!(
            (a.f32("images"), a.u32("labels"), a.f32("weights")),
            (b.f32("images"), b.u32("labels"), b.f32("weights"))
        );
        assert_ne!(a.f32("images"), c.f32("images"));
        assert!(a.u32("labels").iter().all(|&l| l < 2));
        assert!(a.f32("weights").iter().all(|w| (1.0..=11.0).contains(w)));
        // Cells are brighter, so the labels are about these images and not others.
        let images = a.f32("images");
        let [mut of_cells, mut of_ground] = [(0.0, 0.0); 2];
        for (i, &label) in a.u32("labels").iter().enumerate() {
            let (n, y, x) = (i / 1024, i / 32 % 32, i % 32);
            let sum = if label == 1 { &mut of_cells } else { &mut of_ground };
            *sum = (sum.0 + images[(n * 48 + y + 8) * 48 + x + 8], sum.1 + 1.0);
        }
        assert!(of_cells.0 / of_cells.1 > of_ground.0 / of_ground.1 + 0.7);
    }

    #[test]
    fn small_images_and_wrong_sizes() {
        let warp = Warp { contrast: 0.0, ..Warp::of_tile(8) };
        let batch = batch(Tiles::random(Arc::new(Toy([1, 3])), [8, 6], 1, warp).unwrap(), LoaderOptions::test(2));
        assert!(batch.f32("images").iter().all(|v| v.is_finite()) && batch.u32("labels").iter().all(|&l| l < 2));
        for sizes in [[8, 5], [4, 6], [4, 0]] {
            assert!(matches!(Tiles::all(Arc::new(Toy([5, 5])), sizes), Err(DataError::Invalid { .. })), "{sizes:?}");
        }
    }
}
