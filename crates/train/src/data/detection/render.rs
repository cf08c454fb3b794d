//! Drawing the pictures of [`super::ShapeSet`]: backgrounds, clutter, shapes with soft edges.

use std::f32::consts::TAU;

use crate::picture::{Colour, Picture};
use crate::rng::Stream;

/// A colour, each channel between `lo` and `hi`.
pub(super) fn any_colour(stream: &mut Stream, lo: f32, hi: f32) -> [f32; 3] {
    std::array::from_fn(|_| stream.uniform(lo, hi))
}

/// A slope of colour, waves of several lengths and directions, and grain.
pub(super) fn background(width: usize, height: usize, stream: &mut Stream) -> Picture {
    let (from, to) = (any_colour(stream, 30.0, 225.0), any_colour(stream, 30.0, 225.0));
    let angle = stream.uniform(0.0, TAU);
    let waves: Vec<([f32; 2], f32, [f32; 3])> = (0..3)
        .map(|_| {
            let (direction, length) = (stream.uniform(0.0, TAU), stream.uniform(5.0, 60.0));
            let frequency = [direction.cos() * TAU / length, direction.sin() * TAU / length];
            (frequency, stream.uniform(0.0, TAU), any_colour(stream, -14.0, 14.0))
        })
        .collect();
    let grain = stream.uniform(0.0, 9.0);
    let extent = (width * width + height * height) as f32;
    let mut picture = Picture::new(width, height);
    for (at, pixel) in picture.pixels_mut().chunks_exact_mut(3).enumerate() {
        let (x, y) = ((at % width) as f32, (at / width) as f32);
        let along = ((x * angle.cos() + y * angle.sin()) / extent.sqrt() + 1.0) / 2.0;
        let mut colour: [f32; 3] = std::array::from_fn(|c| from[c] + (to[c] - from[c]) * along);
        for (frequency, phase, tint) in &waves {
            let wave = (x * frequency[0] + y * frequency[1] + phase).sin();
            (0..3).for_each(|c| colour[c] += tint[c] * wave);
        }
        let word = stream.word();
        for (c, byte) in pixel.iter_mut().enumerate() {
            let noise = ((word >> (8 * c)) & 0xFF) as f32 / 127.5 - 1.0;
            *byte = (colour[c] + grain * noise).round() as u8;
        }
    }
    picture
}

/// Thin strokes and small spots that are no objects.
pub(super) fn clutter(picture: &mut Picture, stream: &mut Stream) {
    let (width, height) = (picture.width() as f32, picture.height() as f32);
    for _ in 0..stream.below(5) {
        let colour = any_colour(stream, 20.0, 235.0);
        let [x, y] = [stream.uniform(0.0, width), stream.uniform(0.0, height)];
        let (angle, length) = (stream.uniform(0.0, TAU), stream.uniform(3.0, 0.5 * width));
        let half = stream.uniform(0.4, 1.1);
        let (along, across) = ([angle.cos() * length, angle.sin() * length], [-angle.sin() * half, angle.cos() * half]);
        let corner = |a: f32, b: f32| [x + a * along[0] + b * across[0], y + a * along[1] + b * across[1]];
        fill(picture, &[corner(0.0, 1.0), corner(1.0, 1.0), corner(1.0, -1.0), corner(0.0, -1.0)], colour, 0.0);
    }
}

/// Fills a polygon, a little darker towards its bottom by `shade`. Edges are soft: each pixel is sampled at nine points.
pub(super) fn fill(picture: &mut Picture, corners: &[[f32; 2]], colour: [f32; 3], shade: f32) {
    let [left, top, right, bottom] = bounds(corners);
    let range = |lo: f32, hi: f32, size: usize| (lo.floor().max(0.0) as usize, (hi.ceil().max(0.0) as usize).min(size));
    let (first, last) = range(left, right, picture.width());
    let (upper, lower) = range(top, bottom, picture.height());
    if first >= last {
        return;
    }
    // Samples of a row of pixels that are inside: three lines of points, three for each pixel.
    let mut counts = vec![0u8; last - first];
    let mut crossings = Vec::new();
    for y in upper..lower {
        counts.fill(0);
        for line in 0..3 {
            crossings_at(corners, y as f32 + line as f32 / 3.0 + 1.0 / 6.0, &mut crossings);
            for pair in crossings.chunks_exact(2) {
                // Point i lies at first + i / 3 + 1 / 6.
                let point = |x: f32| (3.0 * (x - first as f32) - 0.5).ceil().max(0.0) as usize;
                (point(pair[0])..point(pair[1]).min(3 * counts.len())).for_each(|i| counts[i / 3] += 1);
            }
        }
        let darker = 1.0 - shade * (y as f32 - top) / (bottom - top).max(1.0);
        for (x, &count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            let (x, covered) = (first + x, f32::from(count) / 9.0);
            let old = picture.pixel(x, y);
            let mixed = |c: usize| f32::from(old[c]) + (colour[c] * darker - f32::from(old[c])) * covered;
            let new: Colour = std::array::from_fn(|c| mixed(c).round() as u8);
            picture.set(x as i64, y as i64, new);
        }
    }
}

/// Where the line at this height crosses a polygon's edges, from the left: between the first and the second it is inside, and
/// so on.
fn crossings_at(corners: &[[f32; 2]], y: f32, found: &mut Vec<f32>) {
    found.clear();
    let mut from = corners[corners.len() - 1];
    for &to in corners {
        if (from[1] > y) != (to[1] > y) {
            found.push((to[0] - from[0]) * (y - from[1]) / (to[1] - from[1]) + from[0]);
        }
        from = to;
    }
    found.sort_by(f32::total_cmp);
}

/// Left, top, right, bottom.
pub(super) fn bounds(corners: &[[f32; 2]]) -> [f32; 4] {
    let (mut lo, mut hi) = ([f32::MAX; 2], [f32::MIN; 2]);
    for corner in corners {
        for d in 0..2 {
            lo[d] = lo[d].min(corner[d]);
            hi[d] = hi[d].max(corner[d]);
        }
    }
    [lo[0], lo[1], hi[0], hi[1]]
}

/// The mean colour of what lies under a box.
pub(super) fn mean_under(picture: &Picture, [left, top, right, bottom]: [f32; 4]) -> [f32; 3] {
    let (mut sum, mut count) = ([0.0f32; 3], 0.0f32);
    for y in (top.max(0.0) as usize..(bottom.max(0.0) as usize).min(picture.height())).step_by(2) {
        for x in (left.max(0.0) as usize..(right.max(0.0) as usize).min(picture.width())).step_by(2) {
            let pixel = picture.pixel(x, y);
            (0..3).for_each(|c| sum[c] += f32::from(pixel[c]));
            count += 1.0;
        }
    }
    sum.map(|s| s / count.max(1.0))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Whether a point is inside a polygon: a ray to the right crosses its edges an odd number of times.
    pub fn contains(corners: &[[f32; 2]], [x, y]: [f32; 2]) -> bool {
        let mut inside = false;
        let mut from = corners[corners.len() - 1];
        for &to in corners {
            if (from[1] > y) != (to[1] > y) && x < (to[0] - from[0]) * (y - from[1]) / (to[1] - from[1]) + from[0] {
                inside = !inside;
            }
            from = to;
        }
        inside
    }

    #[test]
    fn every_pixel_is_covered_as_its_nine_points_say() {
        // A star that leaves the picture on two sides.
        let corner = |i: usize| {
            let (sin, cos) = (i as f32 * TAU / 10.0 + 0.3).sin_cos();
            let radius = if i % 2 == 0 { 19.0 } else { 7.0 };
            [9.0 + radius * cos, 12.0 + radius * sin]
        };
        let star: Vec<[f32; 2]> = (0..10).map(corner).collect();
        let mut picture = Picture::new(30, 25);
        fill(&mut picture, &star, [180.0; 3], 0.0);
        for (x, y) in (0..25).flat_map(|y| (0..30).map(move |x| (x, y))) {
            let point =
                |i: usize| [x as f32 + (i % 3) as f32 / 3.0 + 1.0 / 6.0, y as f32 + (i / 3) as f32 / 3.0 + 1.0 / 6.0];
            let count = (0..9).filter(|&i| contains(&star, point(i))).count();
            assert_eq!(usize::from(picture.pixel(x, y)[0]), 20 * count, "({x}, {y})");
        }
    }
}
