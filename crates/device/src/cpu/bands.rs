//! What a weight gradient adds up: bands of rows of images, so that the copies of large images stay in cache.

use super::contraction::{Block, unravel};
use super::rows::dot;
use super::shifted::Shifted;
use super::work::start;
use crate::kernels::Contraction;
use std::ops::Range;

/// The bands of all images, as a block of C reads them whose columns are the taps of whole planes.
pub(super) struct Bands<'a> {
    c: &'a Contraction,
    shifted: &'a Shifted,
    planes: Range<usize>,
    of_batch: Vec<usize>,
    /// Rows of positions in a band, and bands in an image.
    pub height: usize,
    pub an_image: usize,
    /// Where the block's rows of A begin.
    pub a_rows: Vec<i64>,
}

impl<'a> Bands<'a> {
    pub fn new(c: &'a Contraction, shifted: &'a Shifted, block: &Block) -> Bands<'a> {
        let (b, taps) = (c.batch.len(), shifted.taps());
        let strides = &c.a.base.strides[b..b + c.m.len()];
        Bands {
            c,
            shifted,
            planes: block.columns.start / taps..block.columns.end / taps,
            of_batch: unravel(block.batch, &c.batch),
            height: shifted.band(),
            an_image: shifted.height().div_ceil(shifted.band()),
            a_rows: block.rows.clone().map(|i| dot(strides, &unravel(i, &c.m))).collect(),
        }
    }

    /// Elements of the copies of a band.
    pub fn size(&self) -> usize {
        self.planes.len() * self.shifted.area(self.height)
    }

    /// Where each column of the block is read in the copies of a band.
    pub fn columns(&self) -> Vec<usize> {
        self.shifted.offsets(self.planes.len(), self.height, &self.of_batch)
    }

    /// The rows of positions of a band, in its image.
    pub fn rows(&self, band: usize) -> Range<usize> {
        let first = band % self.an_image * self.height;
        first..(first + self.height).min(self.shifted.height())
    }

    /// Copies what a band reads of B, whose elements begin at `b`, to `to`, which holds zeros or an equal band of another image.
    ///
    /// # Safety
    /// As of [`Shifted::copy`].
    pub unsafe fn copy(&self, b: *const f32, band: usize, to: &mut [f32]) {
        let from = start(&self.c.b.base, &self.of_batch, self.c.batch.len(), &self.image(band));
        // SAFETY: as promised.
        unsafe { self.shifted.copy(b.offset(from as isize), self.planes.clone(), self.rows(band), self.height, to) };
    }

    /// Where the first position of a band lies in A, without what the row adds.
    pub fn in_a(&self, band: usize) -> i64 {
        let image = start(&self.c.a.base, &self.of_batch, self.c.batch.len() + self.c.m.len(), &self.image(band));
        image + (self.rows(band).start * self.shifted.width) as i64
    }

    fn image(&self, band: usize) -> Vec<usize> {
        unravel(band / self.an_image, &self.c.k[..self.c.k.len() - 2])
    }
}
