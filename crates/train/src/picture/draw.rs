//! Boxes, masks and letters on a picture.

use super::font::{GLYPH_HEIGHT, GLYPH_WIDTH, glyph};
use super::{BLACK, Colour, Picture, WHITE};

impl Picture {
    /// Fills the rectangle of the corners left, top, right, bottom; the last two are not part of it.
    pub fn fill(&mut self, corners: [i64; 4], colour: Colour) {
        let [left, top, right, bottom] = corners;
        for y in top.max(0)..bottom.min(self.height as i64) {
            for x in left.max(0)..right.min(self.width as i64) {
                self.set(x, y, colour);
            }
        }
    }

    /// Draws the border of a box with the corners left, top, right, bottom, `thickness` pixels wide, inwards.
    /// Pixel `x` covers `x` to `x + 1`. What lies outside the picture is cut off.
    pub fn outline(&mut self, corners: [f32; 4], colour: Colour, thickness: usize) {
        // `as` saturates, and NaN is 0: a model that has gone astray draws nothing worse than nonsense.
        let [left, top, right, bottom] = corners.map(|v| v.round().clamp(-1e9, 1e9) as i64);
        let (right, bottom) = (right.max(left + 1), bottom.max(top + 1));
        let wide = thickness as i64;
        self.fill([left, top, right, (top + wide).min(bottom)], colour);
        self.fill([left, (bottom - wide).max(top), right, bottom], colour);
        self.fill([left, top, (left + wide).min(right), bottom], colour);
        self.fill([(right - wide).max(left), top, right, bottom], colour);
    }

    /// Mixes `colour` into the pixels of a mask (rows from the top): `alpha` 0 leaves them, 1 covers them.
    ///
    /// # Panics
    /// When the mask has not one value for each pixel.
    pub fn overlay(&mut self, mask: &[bool], colour: Colour, alpha: f32) {
        assert_eq!(mask.len(), self.width * self.height, "values of a mask of {}x{}", self.width, self.height);
        for (pixel, _) in self.pixels.chunks_exact_mut(3).zip(mask).filter(|(_, inside)| **inside) {
            for (byte, tint) in pixel.iter_mut().zip(colour) {
                *byte = (f32::from(*byte) + (f32::from(tint) - f32::from(*byte)) * alpha).round() as u8;
            }
        }
    }

    /// Draws the pixels of a mask that touch what is outside it, above, below, left or right. The picture's edge is no
    /// outside.
    ///
    /// # Panics
    /// When the mask has not one value for each pixel.
    pub fn outline_mask(&mut self, mask: &[bool], colour: Colour) {
        let (width, height) = (self.width, self.height);
        assert_eq!(mask.len(), width * height, "values of a mask of {width}x{height}");
        for (at, _) in mask.iter().enumerate().filter(|(_, inside)| **inside) {
            let (x, y) = (at % width, at / width);
            let edge = (x > 0 && !mask[at - 1])
                || (x + 1 < width && !mask[at + 1])
                || (y > 0 && !mask[at - width])
                || (y + 1 < height && !mask[at + width]);
            if edge {
                self.pixels[at * 3..][..3].copy_from_slice(&colour);
            }
        }
    }

    /// Writes `text` with its top left corner at (`x`, `y`). Letters are 5x7 pixels in places of 6x8, times `scale`;
    /// characters outside ASCII become question marks.
    pub fn text(&mut self, x: i64, y: i64, text: &str, colour: Colour, scale: usize) {
        let scale = scale.max(1) as i64;
        for (index, character) in text.chars().enumerate() {
            let left = x + index as i64 * (GLYPH_WIDTH as i64 + 1) * scale;
            for (column, bits) in (0..).zip(glyph(character)) {
                for row in (0..GLYPH_HEIGHT as i64).filter(|row| bits >> row & 1 == 1) {
                    let (x, y) = (left + column * scale, y + row * scale);
                    self.fill([x, y, x + scale, y + scale], colour);
                }
            }
        }
    }

    /// Width and height of a text of this many characters.
    pub fn text_size(characters: usize, scale: usize) -> (usize, usize) {
        ((characters * (GLYPH_WIDTH + 1)).saturating_sub(1) * scale.max(1), GLYPH_HEIGHT * scale.max(1))
    }

    /// Writes `text` in black or white, whichever is read more easily, on a bar of the colour `back`, with the bar's
    /// bottom left corner at (`x`, `y`): above a box. A bar that would leave the picture is moved inside.
    pub fn label(&mut self, x: f32, y: f32, text: &str, back: Colour) {
        let (width, height) = Self::text_size(text.chars().count(), 1);
        let (width, height) = (width as i64 + 2, height as i64 + 2);
        let left = (x.round() as i64).min(self.width as i64 - width).max(0);
        let top = (y.round() as i64).min(self.height as i64).saturating_sub(height).max(0);
        self.fill([left, top, left + width, top + height], back);
        let brightness = 299 * u32::from(back[0]) + 587 * u32::from(back[1]) + 114 * u32::from(back[2]);
        self.text(left + 1, top + 1, text, if brightness > 128_000 { BLACK } else { WHITE }, 1);
    }
}
