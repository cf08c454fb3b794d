//! Pictures that people look at: samples, overlays and boxes that a run writes, and the images of data sets.
//!
//! A [`Picture`] has 8 bits for each of red, green and blue. It is made of a tensor's values or read from a file
//! ([`Picture::load`]: PNG and JPEG), drawn on (boxes, masks, labels), laid out in a grid, and written as PNG
//! ([`Picture::save`]).
//!
//! ```
//! use wgrad_train::picture::{GREEN, Picture};
//!
//! let mut picture = Picture::from_chw(&[0.5; 3 * 16 * 16], [3, 16, 16], [0.0, 1.0]);
//! picture.outline([2.0, 2.0, 13.0, 13.0], GREEN, 1);
//! assert_eq!(picture.pixel(2, 2), GREEN);
//! let sheet = Picture::grid(&[picture.enlarged(4), picture.resized(64, 64)], 2, 3, [255; 3]);
//! assert_eq!((sheet.width(), sheet.height()), (131, 64));
//! ```

mod draw;
mod file;
mod font;
mod heat;

pub use file::MAX_PIXELS;

/// Red, green and blue.
pub type Colour = [u8; 3];

/// (0, 0, 0).
pub const BLACK: Colour = [0, 0, 0];
/// (255, 255, 255).
pub const WHITE: Colour = [255, 255, 255];
/// A red that is told from [`GREEN`] by those who see both alike, too.
pub const RED: Colour = [220, 50, 47];
/// A green for what is true, beside [`RED`].
pub const GREEN: Colour = [0, 200, 120];

/// Colours that are told apart easily, over and over again: for classes, instances, masks.
pub fn colour(index: usize) -> Colour {
    const COLOURS: [Colour; 12] = [
        [31, 119, 180],
        [255, 127, 14],
        [44, 160, 44],
        [214, 39, 40],
        [148, 103, 189],
        [23, 190, 207],
        [227, 119, 194],
        [188, 189, 34],
        [140, 86, 75],
        [0, 90, 50],
        [250, 200, 0],
        [90, 90, 90],
    ];
    COLOURS[index % COLOURS.len()]
}

/// Rows of pixels, from the top left, three bytes each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
}

impl Picture {
    /// A black picture.
    pub fn new(width: usize, height: usize) -> Self {
        Self::filled(width, height, BLACK)
    }

    /// A picture of one colour.
    pub fn filled(width: usize, height: usize, colour: Colour) -> Self {
        Self { width, height, pixels: colour.repeat(width * height) }
    }

    /// A picture of these bytes: rows from the top, three bytes a pixel.
    ///
    /// # Panics
    /// When there are not `width * height * 3` of them.
    pub fn from_pixels(width: usize, height: usize, pixels: Vec<u8>) -> Self {
        assert_eq!(pixels.len(), width * height * 3, "bytes of a picture of {width}x{height}");
        Self { width, height, pixels }
    }

    /// A picture of a tensor's values in the order channels (1 or 3), rows, columns. The values of `range` become 0 and
    /// 255, what lies outside is cut off, and NaN is black.
    ///
    /// # Panics
    /// When `values` are not as many as `shape` says, or the channels are neither 1 nor 3.
    pub fn from_chw(values: &[f32], shape: [usize; 3], range: [f32; 2]) -> Self {
        let [channels, height, width] = shape;
        assert!(channels == 1 || channels == 3, "a picture has 1 or 3 channels, not {channels}");
        assert_eq!(values.len(), channels * height * width, "values of a picture of shape {shape:?}");
        let scale = 255.0 / (range[1] - range[0]);
        let byte = |value: f32| ((value - range[0]) * scale).round() as u8; // saturates; NaN is 0
        let area = height * width;
        let mut pixels = Vec::with_capacity(area * 3);
        for at in 0..area {
            for channel in 0..3 {
                pixels.push(byte(values[channel % channels * area + at]));
            }
        }
        Self { width, height, pixels }
    }

    /// The values as a tensor's, in the order channels (red, green, blue), rows, columns; 0 and 255 become the two
    /// values of `range`.
    pub fn to_chw(&self, range: [f32; 2]) -> Vec<f32> {
        let mut values = vec![0.0; self.pixels.len()];
        self.write_chw(&mut values, range);
        values
    }

    /// As [`to_chw`](Self::to_chw), into values that are there already.
    ///
    /// # Panics
    /// When they are not three for each pixel.
    pub fn write_chw(&self, values: &mut [f32], range: [f32; 2]) {
        assert_eq!(values.len(), self.pixels.len(), "values of a picture of {}x{}", self.width, self.height);
        let table: [f32; 256] = std::array::from_fn(|byte| range[0] + (range[1] - range[0]) * (byte as f32 / 255.0));
        let area = self.width * self.height;
        for (at, pixel) in self.pixels.chunks_exact(3).enumerate() {
            for channel in 0..3 {
                values[channel * area + at] = table[pixel[channel] as usize];
            }
        }
    }

    /// Columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// All bytes: rows from the top, three bytes a pixel.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// All bytes, to be changed.
    pub fn pixels_mut(&mut self) -> &mut [u8] {
        &mut self.pixels
    }

    /// The colour at column `x` of row `y`.
    ///
    /// # Panics
    /// When there is no such pixel.
    pub fn pixel(&self, x: usize, y: usize) -> Colour {
        assert!(x < self.width && y < self.height, "pixel ({x}, {y}) of {}x{}", self.width, self.height);
        let at = (y * self.width + x) * 3;
        [self.pixels[at], self.pixels[at + 1], self.pixels[at + 2]]
    }

    /// Changes the colour at column `x` of row `y`; outside the picture it does nothing.
    pub fn set(&mut self, x: i64, y: i64, colour: Colour) {
        if let (Ok(x), Ok(y)) = (usize::try_from(x), usize::try_from(y))
            && x < self.width
            && y < self.height
        {
            self.pixels[(y * self.width + x) * 3..][..3].copy_from_slice(&colour);
        }
    }

    /// The picture without its colours: each channel is 0.299 red + 0.587 green + 0.114 blue.
    pub fn to_grey(&self) -> Self {
        let grey =
            |p: &[u8]| ((299 * u32::from(p[0]) + 587 * u32::from(p[1]) + 114 * u32::from(p[2]) + 500) / 1000) as u8;
        let pixels = self.pixels.chunks_exact(3).flat_map(|p| [grey(p); 3]).collect();
        Self { pixels, ..*self }
    }

    /// The picture mirrored left to right.
    pub fn mirrored(&self) -> Self {
        let mut pixels = Vec::with_capacity(self.pixels.len());
        for row in self.pixels.chunks_exact((self.width * 3).max(1)) {
            pixels.extend(row.chunks_exact(3).rev().flatten());
        }
        Self { pixels, ..*self }
    }

    /// Each pixel becomes `factor` by `factor` pixels.
    pub fn enlarged(&self, factor: usize) -> Self {
        let (width, height) = (self.width * factor, self.height * factor);
        let mut pixels = Vec::with_capacity(width * height * 3);
        for row in self.pixels.chunks_exact((self.width * 3).max(1)) {
            let wide: Vec<u8> = row.chunks_exact(3).flat_map(|pixel| pixel.repeat(factor)).collect();
            pixels.extend(wide.repeat(factor));
        }
        Self { width, height, pixels }
    }

    /// The picture at another size: between the four nearest pixels by distance (pixel centres at halves, as PyTorch's
    /// `interpolate(mode="bilinear", align_corners=False)`). Nothing is averaged where it gets much smaller.
    pub fn resized(&self, width: usize, height: usize) -> Self {
        let mut out = Self::new(width, height);
        if self.pixels.is_empty() || out.pixels.is_empty() {
            return out;
        }
        let columns = taps(self.width, width);
        let rows = taps(self.height, height);
        for (y, &(y0, y1, down)) in rows.iter().enumerate() {
            for (x, &(x0, x1, right)) in columns.iter().enumerate() {
                for channel in 0..3 {
                    let at = |x: usize, y: usize| f32::from(self.pixels[(y * self.width + x) * 3 + channel]);
                    let top = at(x0, y0) + (at(x1, y0) - at(x0, y0)) * right;
                    let bottom = at(x0, y1) + (at(x1, y1) - at(x0, y1)) * right;
                    out.pixels[(y * width + x) * 3 + channel] = (top + (bottom - top) * down).round() as u8;
                }
            }
        }
        out
    }

    /// The part of `width` by `height` pixels whose top left corner is at (`x`, `y`). What lies outside the picture is
    /// of the colour `outside`.
    pub fn cropped(&self, x: i64, y: i64, width: usize, height: usize, outside: Colour) -> Self {
        let mut out = Self::filled(width, height, outside);
        out.paste(self, -x, -y);
        out
    }

    /// Copies `other` so that its top left corner comes to (`x`, `y`). What lies outside is cut off.
    pub fn paste(&mut self, other: &Self, x: i64, y: i64) {
        let from = (-x).max(0);
        let until = (self.width as i64 - x).min(other.width as i64);
        if from >= until {
            return;
        }
        let bytes = (until - from) as usize * 3;
        for row in (-y).max(0)..(self.height as i64 - y).min(other.height as i64) {
            let to = ((y + row) as usize * self.width + (x + from) as usize) * 3;
            let at = (row as usize * other.width + from as usize) * 3;
            self.pixels[to..to + bytes].copy_from_slice(&other.pixels[at..at + bytes]);
        }
    }

    /// Pictures in rows of `columns`, `gap` pixels of the colour `background` between them. Every place is as large as
    /// the largest picture.
    pub fn grid(pictures: &[Self], columns: usize, gap: usize, background: Colour) -> Self {
        let columns = columns.clamp(1, pictures.len().max(1));
        let rows = pictures.len().div_ceil(columns);
        let cell_width = pictures.iter().map(|p| p.width).max().unwrap_or(0);
        let cell_height = pictures.iter().map(|p| p.height).max().unwrap_or(0);
        let extent = |cells: usize, size: usize| (cells * (size + gap)).saturating_sub(gap);
        let mut sheet = Self::filled(extent(columns, cell_width), extent(rows, cell_height), background);
        for (index, picture) in pictures.iter().enumerate() {
            let (x, y) = (index % columns * (cell_width + gap), index / columns * (cell_height + gap));
            sheet.paste(picture, x as i64, y as i64);
        }
        sheet
    }
}

/// For each of `to` pixels, the two of `from` that it lies between, and how far it is from the first to the second.
fn taps(from: usize, to: usize) -> Vec<(usize, usize, f32)> {
    let scale = from as f64 / to as f64;
    let tap = |i: usize| {
        let centre = ((i as f64 + 0.5) * scale - 0.5).clamp(0.0, (from - 1) as f64);
        let first = centre as usize;
        (first, (first + 1).min(from - 1), (centre - first as f64) as f32)
    };
    (0..to).map(tap).collect()
}

#[cfg(test)]
mod tests;
