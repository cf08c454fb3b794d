//! Generated pictures of simple shapes: data for detectors, made of nothing.

use std::f32::consts::{PI, TAU};
use std::sync::Arc;

use super::render::{any_colour, background, bounds, clutter, fill, mean_under};
use super::{DetectionSet, DetectionSplit};
use crate::detection::{Object, Rect};
use crate::error::DataError;
use crate::picture::Picture;
use crate::rng::{Purpose, Stream};

/// The classes of [`ShapeSet`].
pub const SHAPES: [&str; 5] = ["circle", "square", "triangle", "star", "cross"];

/// Pictures of one to six shapes: of any size from a ninth to more than half of the picture, turned by any angle, of any
/// colour that differs from what is behind it, on waves, slopes and grain, among strokes that are nothing, some of them
/// partly behind others or cut off by the edge. Each is a function of seed, part and index alone.
#[derive(Clone, Debug)]
pub struct ShapeSet {
    count: usize,
    size: [usize; 2],
    seed: u64,
    part: usize,
    names: Vec<String>,
}

/// One shape of a picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    /// Its box, cut at the picture's edges, and its class.
    pub object: Object,
    /// Its corners; those of a circle are many.
    pub outline: Vec<[f32; 2]>,
    colour: [f32; 3],
    shade: f32,
}

/// A picture with what is on it.
#[derive(Clone, Debug, PartialEq)]
pub struct Scene {
    /// The picture.
    pub picture: Picture,
    /// Its shapes, the hindmost first.
    pub shapes: Vec<Shape>,
}

impl ShapeSet {
    /// `count` pictures of `width` by `height`. Sets of the same seed and different parts have nothing in common: part 0 for
    /// training, 1 for testing.
    ///
    /// # Errors
    /// When a side is below 16 pixels: nothing could be told apart.
    pub fn new(count: usize, [width, height]: [usize; 2], seed: u64, part: usize) -> Result<Self, DataError> {
        if width.min(height) < 16 {
            let reason = format!("pictures of {width}x{height} pixels are too small for shapes: 16 at least");
            return Err(DataError::Invalid { name: "shapes".into(), reason });
        }
        let names = SHAPES.iter().map(|&name| name.into()).collect();
        Ok(Self { count, size: [width, height], seed, part, names })
    }

    fn stream(&self, index: usize) -> Stream {
        Stream::new(self.seed, Purpose::Generate, self.part, index)
    }

    /// Picture `index`, and its shapes.
    pub fn scene(&self, index: usize) -> Scene {
        let [width, height] = self.size;
        // The background has the later numbers of the stream: where shapes are does not depend on it.
        let mut stream = self.stream(index);
        let mut shapes = self.place(&mut stream);
        let mut picture = background(width, height, &mut stream);
        clutter(&mut picture, &mut stream);
        for shape in &mut shapes {
            let behind = mean_under(&picture, shape.object.rect.corners());
            shape.colour = visible(&mut stream, behind);
            fill(&mut picture, &shape.outline, shape.colour, shape.shade);
        }
        Scene { picture, shapes }
    }

    /// Which shapes there are, and where.
    fn place(&self, stream: &mut Stream) -> Vec<Shape> {
        let [width, height] = self.size.map(|n| n as f32);
        let whole = Rect::new(0.0, 0.0, width, height);
        let mut shapes: Vec<Shape> = Vec::new();
        let wanted = 1 + stream.below(6) as usize;
        // Each has a few attempts to find a place; a crowded picture has fewer shapes.
        for _ in 0..4 * wanted {
            if shapes.len() == wanted {
                break;
            }
            let least = width.min(height) / 18.0;
            let radius = least * (6.0f32).powf(stream.uniform(0.0, 1.0));
            let class = stream.below(SHAPES.len() as u32) as usize;
            let (turn, stretch) = (stream.uniform(0.0, TAU), stream.uniform(0.8, 1.25));
            let margin = 0.6 * radius; // so far may the middle come to the edge
            let [x, y] = [stream.uniform(margin, width - margin), stream.uniform(margin, height - margin)];
            let shade = stream.uniform(0.0, 0.35);
            let outline = outline(class, [x, y], radius, turn, stretch);
            let [left, top, right, bottom] = bounds(&outline);
            let rect = Rect::new(left, top, right, bottom).cut(&whole);
            let hidden = |other: &Shape| {
                let shared = other.object.rect.intersection(&rect);
                shared > 0.3 * other.object.rect.area().min(rect.area())
            };
            if !shapes.iter().any(hidden) {
                shapes.push(Shape { object: Object::new(rect, class), outline, colour: [0.0; 3], shade });
            }
        }
        shapes
    }
}

/// `train` pictures of shapes to learn from, and `test` others to be judged by.
///
/// # Errors
/// As [`ShapeSet::new`].
pub fn shapes(train: usize, test: usize, size: [usize; 2], seed: u64) -> Result<DetectionSplit, DataError> {
    let part = |count, part| ShapeSet::new(count, size, seed, part);
    Ok(DetectionSplit { train: Arc::new(part(train, 0)?), test: Arc::new(part(test, 1)?) })
}

/// A colour that is well told from this one.
fn visible(stream: &mut Stream, behind: [f32; 3]) -> [f32; 3] {
    let mut best = ([0.0; 3], 0.0);
    for _ in 0..8 {
        let colour = any_colour(stream, 0.0, 255.0);
        let distance: f32 = (0..3).map(|c| (colour[c] - behind[c]).abs()).sum();
        if distance > best.1 {
            best = (colour, distance);
        }
        if distance > 150.0 {
            break;
        }
    }
    best.0
}

/// The corners of a shape within `radius` of its middle, one axis `stretch` times longer, turned.
fn outline(class: usize, [x, y]: [f32; 2], radius: f32, turn: f32, stretch: f32) -> Vec<[f32; 2]> {
    let round = |corners: usize, radius: &dyn Fn(usize) -> f32| -> Vec<[f32; 2]> {
        let at = |i: usize| (i as f32 / corners as f32 * TAU, radius(i));
        (0..corners).map(at).map(|(angle, r)| [r * angle.cos(), r * angle.sin()]).collect()
    };
    let corners = match class {
        0 => round(32, &|_| 1.0),
        1 => round(4, &|_| 1.0),
        2 => round(3, &|_| 1.0),
        3 => round(10, &|i| if i % 2 == 0 { 1.0 } else { 0.42 }),
        _ => {
            let arm = 0.32;
            let quarter = [[1.0, -arm], [1.0, arm], [arm, arm]];
            let turned = |q: usize, [x, y]: [f32; 2]| {
                let (sin, cos) = (q as f32 * PI / 2.0).sin_cos();
                [x * cos - y * sin, x * sin + y * cos]
            };
            (0..4).flat_map(|q| quarter.map(|corner| turned(q, corner))).collect()
        }
    };
    let (sin, cos) = turn.sin_cos();
    let (wide, high) = (radius * stretch.sqrt(), radius / stretch.sqrt());
    let place = |[a, b]: [f32; 2]| [x + a * wide * cos - b * high * sin, y + a * wide * sin + b * high * cos];
    corners.into_iter().map(place).collect()
}

impl DetectionSet for ShapeSet {
    fn name(&self) -> &str {
        "shapes"
    }

    fn len(&self) -> usize {
        self.count
    }

    fn class_names(&self) -> &[String] {
        &self.names
    }

    fn size(&self, _index: usize) -> Result<[usize; 2], DataError> {
        Ok(self.size)
    }

    fn picture(&self, index: usize) -> Result<Picture, DataError> {
        Ok(self.scene(index).picture)
    }

    fn objects(&self, index: usize) -> Result<Vec<Object>, DataError> {
        Ok(self.place(&mut self.stream(index)).into_iter().map(|shape| shape.object).collect())
    }

    fn outlines(&self, index: usize) -> Result<Vec<Vec<[f32; 2]>>, DataError> {
        Ok(self.place(&mut self.stream(index)).into_iter().map(|shape| shape.outline).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::super::render::tests::contains;
    use super::*;

    fn set() -> ShapeSet {
        ShapeSet::new(200, [96, 80], 3, 0).unwrap()
    }

    #[test]
    fn a_picture_is_a_function_of_seed_part_and_index() {
        let scene = set().scene(7);
        assert_eq!(scene, set().scene(7));
        assert_ne!(scene.picture, set().scene(8).picture);
        assert_ne!(scene.picture, ShapeSet::new(200, [96, 80], 4, 0).unwrap().scene(7).picture);
        assert_ne!(scene.picture, ShapeSet::new(200, [96, 80], 3, 1).unwrap().scene(7).picture);
        let objects: Vec<Object> = scene.shapes.iter().map(|s| s.object).collect();
        assert_eq!(set().objects(7).unwrap(), objects);
        assert!(ShapeSet::new(1, [96, 8], 0, 0).is_err());
    }

    #[test]
    fn boxes_are_tight_and_what_is_in_them_is_seen() {
        let mut classes = [0usize; 5];
        let mut areas = Vec::new();
        for index in 0..200 {
            let scene = set().scene(index);
            assert!((1..=6).contains(&scene.shapes.len()));
            for (place, shape) in scene.shapes.iter().enumerate() {
                let rect = shape.object.rect;
                classes[shape.object.class] += 1;
                areas.push(rect.area());
                assert!(rect.left >= 0.0 && rect.top >= 0.0 && rect.right <= 96.0 && rect.bottom <= 80.0);
                assert!(rect.width() > 3.0 && rect.height() > 3.0, "{rect:?}");
                let inside = Rect::new(rect.left - 0.01, rect.top - 0.01, rect.right + 0.01, rect.bottom + 0.01);
                let touches = |d: usize, v: f32| shape.outline.iter().any(|c| (c[d] - v).abs() < 1e-4);
                let cut = [rect.left == 0.0, rect.top == 0.0, rect.right == 96.0, rect.bottom == 80.0];
                assert!(cut[0] || touches(0, rect.left) && (cut[2] || touches(0, rect.right)));
                assert!(cut[1] || touches(1, rect.top) && (cut[3] || touches(1, rect.bottom)));
                for corner in &shape.outline {
                    let here = Rect::from_centre(corner[0], corner[1], 0.001, 0.001);
                    let beyond = corner[0] < 0.0 || corner[1] < 0.0 || corner[0] > 96.0 || corner[1] > 80.0;
                    assert!(beyond || inside.intersection(&here) > 0.0, "{corner:?} {rect:?}");
                }
                // The middle has the shape's colour, if nothing lies before it.
                let [x, y] = rect.centre();
                let middle = [x.floor() + 0.5, y.floor() + 0.5];
                let whole = cut.iter().all(|c| !c);
                if whole
                    && !scene.shapes[place + 1..].iter().any(|s| contains(&s.outline, middle))
                    && rect.area() > 150.0
                {
                    let pixel = scene.picture.pixel(x as usize, y as usize).map(f32::from);
                    let off =
                        (0..3).all(|c| pixel[c] <= shape.colour[c] + 1.0 && pixel[c] >= 0.6 * shape.colour[c] - 1.0);
                    assert!(off, "{pixel:?} {:?} {middle:?} in picture {index}", shape.colour);
                }
            }
        }
        assert!(classes.iter().all(|&n| n > 70), "{classes:?}");
        areas.sort_by(f64::total_cmp);
        assert!(areas[areas.len() - 1] > 40.0 * areas[0], "sizes differ: {} to {}", areas[0], areas[areas.len() - 1]);
    }
}
