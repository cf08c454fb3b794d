//! A picture of any shape inside one of a fixed size, with its proportions kept.

use super::boxes::Rect;
use crate::picture::{Colour, Picture};

/// How a picture was fitted: enlarged by `scale`, then moved.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Letterbox {
    /// Pixels of the fitted picture for each of the original.
    scale: [f32; 2],
    /// Where the original's corner comes to.
    shift: [f32; 2],
    /// Size of the fitted picture, without its borders.
    inner: [usize; 2],
    /// Size with them.
    outer: [usize; 2],
}

impl Letterbox {
    /// The colour of the borders: the middle grey that Darknet takes.
    pub const BORDER: Colour = [127; 3];

    /// For pictures of `width` by `height`, so that they touch two sides of `to` (width, height) and lie in its middle.
    pub fn new(width: usize, height: usize, to: [usize; 2]) -> Self {
        let (from, size) = ([width.max(1) as f64, height.max(1) as f64], to.map(|n| n as f64));
        let scale = (size[0] / from[0]).min(size[1] / from[1]);
        let inner = [0, 1].map(|d| ((from[d] * scale).round() as usize).clamp(1, to[d].max(1)));
        Self {
            // By what was rounded, so that boxes fit the picture's edges exactly.
            scale: [0, 1].map(|d| (inner[d] as f64 / from[d]) as f32),
            shift: [0, 1].map(|d| (to[d].saturating_sub(inner[d]) / 2) as f32),
            inner,
            outer: to,
        }
    }

    /// The picture in its frame.
    pub fn apply(&self, picture: &Picture) -> Picture {
        let mut framed = Picture::filled(self.outer[0], self.outer[1], Self::BORDER);
        let [x, y] = self.shift.map(|v| v as i64);
        framed.paste(&picture.resized(self.inner[0], self.inner[1]), x, y);
        framed
    }

    /// A box of the original in the frame.
    pub fn rect(&self, rect: &Rect) -> Rect {
        rect.mapped(self.scale, self.shift)
    }

    /// A box of the frame in the original.
    pub fn inverse(&self, rect: &Rect) -> Rect {
        rect.mapped([1.0, 1.0], self.shift.map(|v| -v)).mapped(self.scale.map(|v| 1.0 / v), [0.0, 0.0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proportions_are_kept_and_boxes_come_back() {
        for (width, height) in [(640, 480), (480, 640), (7, 301), (64, 64), (1, 1)] {
            let letterbox = Letterbox::new(width, height, [96, 64]);
            let whole = letterbox.rect(&Rect::new(0.0, 0.0, width as f32, height as f32));
            let inside = Rect::new(0.0, 0.0, 96.0, 64.0);
            assert!((whole.intersection(&inside) - whole.area()).abs() < 1e-2, "{whole:?}");
            assert!(whole.width() > 95.9 || whole.height() > 63.9, "{whole:?}");
            let rect = Rect::new(0.1, 0.2, 0.7 * width as f32, 0.9 * height as f32);
            let back = letterbox.inverse(&letterbox.rect(&rect));
            let near = back.corners().iter().zip(rect.corners()).all(|(a, b)| (a - b).abs() < 1e-3 * (1.0 + b));
            assert!(near, "{rect:?} {back:?}");
        }
        assert_eq!(
            Letterbox::new(640, 480, [416, 416]).rect(&Rect::new(0.0, 0.0, 640.0, 480.0)).corners(),
            [0.0, 52.0, 416.0, 364.0]
        );
    }

    #[test]
    fn the_picture_lies_in_the_middle() {
        let framed = Letterbox::new(4, 2, [8, 8]).apply(&Picture::filled(4, 2, [9; 3]));
        let rows: Vec<u8> = (0..8).map(|y| framed.pixel(3, y)[0]).collect();
        assert_eq!(rows, [127, 127, 9, 9, 9, 9, 127, 127]);
    }
}
