//! Cells as a microscope shows them, with the truth about them.

use std::f32::consts::{PI, TAU};

use super::lattice::Lattice;
use super::weights::separated;
use super::{Outlined, OutlinedSet};
use crate::error::DataError;
use crate::rng::{Purpose, Stream};

/// Generated images of cells: irregular outlines, many of them touching, of sizes and brightness that vary from image to image
/// and from cell to cell, with nuclei and texture; debris that is no cell; uneven illumination, blur, and the noise of light
/// and camera. Grey, of one size. Image `index` is a function of the seed and the index.
#[derive(Clone, Debug)]
pub struct Cells {
    seed: u64,
    first: usize,
    len: usize,
    size: usize,
}

impl Cells {
    /// `len` images of `size` by `size` pixels, numbered from `first` on: sets of one seed whose numbers differ have no image in
    /// common.
    ///
    /// # Errors
    /// When the size is below 16 or above 4096: a cell is some 20 pixels wide.
    pub fn new(seed: u64, first: usize, len: usize, size: usize) -> Result<Cells, DataError> {
        if !(16..=4096).contains(&size) {
            let reason = format!("images of {size} pixels: choose 16 to 4096");
            return Err(DataError::Invalid { name: "cells".into(), reason });
        }
        Ok(Cells { seed, first, len, size })
    }
}

impl OutlinedSet for Cells {
    fn name(&self) -> &str {
        "cells"
    }

    fn len(&self) -> usize {
        self.len
    }

    fn channels(&self) -> usize {
        1
    }

    fn size(&self, _: usize) -> [usize; 2] {
        [self.size; 2]
    }

    fn get(&self, index: usize) -> Result<Outlined, DataError> {
        let mut stream = Stream::new(self.seed, Purpose::Generate, 0, self.first.wrapping_add(index));
        let mut dish = Dish::new(self.size);
        dish.grow(&mut stream);
        let image = photograph(&dish, &mut stream);
        Ok(Outlined { size: [self.size; 2], image, objects: dish.objects })
    }
}

/// One cell: an ellipse whose outline wavers.
#[derive(Clone, Debug)]
struct Cell {
    centre: [f32; 2],
    radius: f32,
    /// Long axis over short axis, as a share of the radius each way.
    stretch: f32,
    angle: f32,
    /// Amplitude and phase of the waves that go round the outline 2, 3, ... times.
    waves: [(f32, f32); 4],
    brightness: f32,
    nucleus: [f32; 2],
    nucleus_brightness: f32,
}

impl Cell {
    fn random(radius: f32, stream: &mut Stream) -> Cell {
        let radius = radius * stream.uniform(0.75, 1.3);
        Cell {
            centre: [0.0; 2],
            radius,
            stretch: stream.uniform(1.0, 1.35),
            angle: stream.uniform(0.0, PI),
            waves: std::array::from_fn(|k| (0.09 * stream.normal() / (k + 1) as f32, stream.uniform(0.0, TAU))),
            brightness: stream.uniform(0.4, 1.0),
            nucleus: [stream.normal() * 0.12 * radius, stream.normal() * 0.12 * radius],
            nucleus_brightness: stream.uniform(-0.6, 0.5),
        }
    }

    /// How far the outline is from the centre in this direction.
    fn reach(&self, direction: f32) -> f32 {
        let around = direction - self.angle;
        let ellipse =
            self.radius / ((around.cos() / self.stretch).powi(2) + (around.sin() * self.stretch).powi(2)).sqrt();
        let waves = self.waves.iter().enumerate().map(|(k, (a, phase))| a * ((k + 2) as f32 * around + phase).cos());
        ellipse * (1.0 + waves.sum::<f32>()).max(0.4)
    }

    /// 0 at the centre, 1 on the outline.
    fn level(&self, y: f32, x: f32) -> f32 {
        let (dy, dx) = (y - self.centre[0], x - self.centre[1]);
        dy.hypot(dx) / self.reach(dy.atan2(dx))
    }
}

/// Where the cells are.
struct Dish {
    size: usize,
    cells: Vec<Cell>,
    objects: Vec<u16>,
    /// The level of each pixel in its cell.
    levels: Vec<f32>,
}

impl Dish {
    fn new(size: usize) -> Dish {
        Dish { size, cells: vec![], objects: vec![0; size * size], levels: vec![1.0; size * size] }
    }

    fn grow(&mut self, stream: &mut Stream) {
        let radius = stream.uniform(7.0, 11.0);
        // The share of the area that cells cover differs from image to image.
        let share = stream.uniform(0.15, 0.5);
        let cells = (share * (self.size * self.size) as f32 / (PI * radius * radius)).round().max(1.0) as usize;
        let touching = stream.uniform(0.2, 0.8);
        for _ in 0..cells {
            // In a crowded dish some find no place.
            for _ in 0..8 {
                let mut cell = Cell::random(radius, stream);
                let beside = stream.uniform(0.0, 1.0) < touching && !self.cells.is_empty();
                cell.centre = if beside { self.beside(&cell, stream) } else { self.anywhere(stream) };
                if self.place(cell) {
                    break;
                }
            }
        }
    }

    fn anywhere(&self, stream: &mut Stream) -> [f32; 2] {
        std::array::from_fn(|_| stream.uniform(-2.0, self.size as f32 + 2.0))
    }

    /// A place where the cell touches one that is there.
    fn beside(&self, cell: &Cell, stream: &mut Stream) -> [f32; 2] {
        let other = &self.cells[stream.below(self.cells.len() as u32) as usize];
        let direction = stream.uniform(-PI, PI);
        let distance = other.reach(direction) + cell.reach(direction + PI) + stream.uniform(-2.0, 0.5);
        [other.centre[0] + direction.sin() * distance, other.centre[1] + direction.cos() * distance]
    }

    /// Whether there is room for the cell: at most a tenth of it may be where another is. They share that by level.
    fn place(&mut self, cell: Cell) -> bool {
        let Ok(number) = u16::try_from(self.cells.len() + 1) else { return false };
        let around = |centre: f32| {
            let reach = 2.5 * cell.radius;
            (centre - reach).max(0.0) as usize..((centre + reach).max(0.0).ceil() as usize).min(self.size)
        };
        let (mut taken, mut pixels) = (0, vec![]);
        for y in around(cell.centre[0]) {
            for x in around(cell.centre[1]) {
                let level = cell.level(y as f32, x as f32);
                if level < 1.0 {
                    let place = y * self.size + x;
                    taken += usize::from(self.objects[place] != 0);
                    pixels.push((place, level));
                }
            }
        }
        if pixels.len() < 30 || taken * 10 > pixels.len() {
            return false;
        }
        for (place, level) in pixels {
            if level < self.levels[place] {
                (self.objects[place], self.levels[place]) = (number, level);
            }
        }
        self.cells.push(cell);
        true
    }
}

/// What the camera sees of the dish.
fn photograph(dish: &Dish, stream: &mut Stream) -> Vec<u8> {
    let size = dish.size;
    let (ground, contrast) = (stream.uniform(0.15, 0.35), stream.uniform(0.25, 0.45));
    let texture = Lattice::random(size / 4 + 2, 0.12, stream).field(size, size);
    // Where cells touch there is a darker line.
    let inside = separated(&dish.objects, [size, size]);
    let mut light: Vec<f32> = (0..size * size)
        .map(|i| {
            let Some(cell) = dish.cells.get(usize::from(dish.objects[i]).wrapping_sub(1)) else { return ground };
            if !inside[i] {
                return ground + 0.25 * contrast * cell.brightness;
            }
            let thickness = 0.6 + 0.4 * (1.0 - dish.levels[i].powi(2)).max(0.0).sqrt();
            let [y, x] = [i / size, i % size].map(|v| v as f32);
            let from_nucleus = (y - cell.centre[0] - cell.nucleus[0]).hypot(x - cell.centre[1] - cell.nucleus[1]);
            let nucleus = cell.nucleus_brightness * (-(from_nucleus / (0.4 * cell.radius)).powi(4)).exp();
            ground + contrast * cell.brightness * thickness * (1.0 + nucleus + texture[i])
        })
        .collect();
    debris(&mut light, size, contrast, stream);
    // The lamp lights one side more than another, and something out of focus glows.
    let (lamp, glow) = (Lattice::random(3, 0.25, stream), Lattice::random(4, 0.05, stream));
    let (lamp, glow) = (lamp.field(size, size), glow.field(size, size));
    light.iter_mut().zip(lamp.iter().zip(&glow)).for_each(|(l, (u, g))| *l = *l * (1.0 + u).max(0.3) + g.max(-0.1));
    blur(&mut light, size, stream.uniform(0.5, 1.1));
    let (shot, read) = (stream.uniform(0.03, 0.09), stream.uniform(0.01, 0.03));
    let noisy = |l: f32, stream: &mut Stream| l + shot * l.max(0.0).sqrt() * stream.normal() + read * stream.normal();
    light.iter().map(|&l| (noisy(l, stream).clamp(0.0, 1.0) * 255.0).round() as u8).collect()
}

/// Specks, and blobs that are out of focus: neither are cells.
fn debris(light: &mut [f32], size: usize, contrast: f32, stream: &mut Stream) {
    let pieces = stream.below((size * size / 1000) as u32 + 2);
    for _ in 0..pieces {
        let blurred = stream.below(4) == 0;
        let (spread, strength) =
            if blurred { (stream.uniform(5.0, 9.0), 0.2) } else { (stream.uniform(0.8, 2.2), 1.2) };
        let strength = strength * contrast * stream.uniform(0.3, 1.0);
        let centre: [f32; 2] = std::array::from_fn(|_| stream.uniform(0.0, size as f32));
        let around = |c: f32| (c - 4.0 * spread).max(0.0) as usize..((c + 4.0 * spread) as usize + 1).min(size);
        for y in around(centre[0]) {
            for x in around(centre[1]) {
                let square = (y as f32 - centre[0]).powi(2) + (x as f32 - centre[1]).powi(2);
                light[y * size + x] += strength * (-square / (2.0 * spread * spread)).exp();
            }
        }
    }
}

/// Gaussian blur; the border goes on outside.
fn blur(image: &mut Vec<f32>, size: usize, sigma: f32) {
    let reach = (3.0 * sigma).ceil() as isize;
    let kernel: Vec<f32> = (-reach..=reach).map(|i| (-(i as f32 / sigma).powi(2) / 2.0).exp()).collect();
    let sum: f32 = kernel.iter().sum();
    // Along the lines and turned, twice.
    for _ in 0..2 {
        let mut turned = vec![0.0; size * size];
        for (y, line) in image.chunks_exact(size).enumerate() {
            for x in 0..size {
                let at = |k: isize| line[(x as isize + k).clamp(0, size as isize - 1) as usize];
                let value: f32 = kernel.iter().zip(-reach..).map(|(w, k)| w * at(k)).sum();
                turned[x * size + y] = value / sum;
            }
        }
        *image = turned;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_depend_on_seed_and_number_alone() {
        let set = Cells::new(5, 10, 20, 64).unwrap();
        assert_eq!(set.get(3).unwrap(), set.get(3).unwrap());
        assert_eq!(set.get(3).unwrap(), Cells::new(5, 13, 1, 64).unwrap().get(0).unwrap());
        assert_ne!(set.get(3).unwrap(), set.get(4).unwrap());
        assert_ne!(set.get(3).unwrap(), Cells::new(6, 10, 20, 64).unwrap().get(3).unwrap());
        assert!(Cells::new(0, 0, 1, 15).is_err());
    }

    /// The truth is about the image: cells are brighter than what is around them, though not every pixel is; and no threshold
    /// tells them apart well, or there would be nothing to learn.
    #[test]
    fn cells_are_what_the_objects_say() {
        let set = Cells::new(1, 0, 30, 96).unwrap();
        let (mut touching, mut covered, mut best_threshold) = (0, 0.0, 0.0);
        for index in 0..set.len() {
            let Outlined { image, objects, .. } = set.get(index).unwrap();
            let mean = |of_cells: bool| {
                let chosen: Vec<f32> = image
                    .iter()
                    .zip(&objects)
                    .filter(|(_, o)| (**o != 0) == of_cells)
                    .map(|(&v, _)| f32::from(v))
                    .collect();
                chosen.iter().sum::<f32>() / chosen.len() as f32
            };
            assert!(mean(true) > mean(false) + 15.0, "image {index}: {} and {}", mean(true), mean(false));
            let inside = separated(&objects, [96, 96]);
            touching += usize::from(inside.iter().zip(&objects).any(|(&i, &o)| !i && o != 0));
            covered += inside.iter().filter(|&&i| i).count() as f32 / (96.0 * 96.0);
            let iou = |threshold: u8| {
                let both = image.iter().zip(&inside).filter(|(v, i)| **v >= threshold && **i).count();
                let either = image.iter().zip(&inside).filter(|(v, i)| **v >= threshold || **i).count();
                both as f32 / either as f32
            };
            best_threshold += (0..=255).map(iou).fold(0.0, f32::max);
        }
        assert!(touching > 20, "{touching} of 30 images have touching cells");
        assert!((0.15..0.5).contains(&(covered / 30.0)), "{covered}");
        assert!(best_threshold / 30.0 < 0.86, "the best threshold of each image gives {}", best_threshold / 30.0);
    }

    #[test]
    fn blur_keeps_the_mean_and_spreads_a_point() {
        let mut image = vec![0.0; 21 * 21];
        image[10 * 21 + 10] = 1.0;
        blur(&mut image, 21, 1.5);
        assert!((image.iter().sum::<f32>() - 1.0).abs() < 1e-5);
        // The Gaussian's own height, but for its cut-off tails.
        assert!((image[10 * 21 + 10] - 1.0 / (TAU * 2.25)).abs() < 2e-3, "{}", image[10 * 21 + 10]);
        assert!((image[10 * 21 + 12] - image[12 * 21 + 10]).abs() < 1e-7);
    }
}
