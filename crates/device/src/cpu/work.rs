//! The products of one block of C: how its operands are packed, or copied, and multiplied by register tiles.

use super::bands::Bands;
use super::broadcast;
use super::contraction::{Block, Form, INNER_K, Operand, Scratch, unravel, unravel_into};
use super::interpret::run_tasks;
use super::rows::{Rows, dot};
use super::shifted::Shifted;
use super::source::copy;
use super::target::Target;
use super::tile::{COLUMNS, INNER_COLUMNS, INNER_PAD, INNER_ROWS, InnerTiles, OuterTiles, Piece, ROWS};
use crate::Affine;
use crate::kernels::Contraction;
use std::ops::Range;

/// Inner extent of a packed block: a strip of B (32 columns) and one of A stay in the second-level cache.
const K_BLOCK: usize = 512;
/// Elements of a block's images, copied for shifted reads, that stay in the second-level cache.
const COPIED: usize = 1 << 16;

/// A contraction under way.
pub(super) struct Work<'a> {
    pub c: &'a Contraction,
    /// A's and B's elements.
    pub operands: &'a [Operand; 2],
    pub form: Form,
    pub k: usize,
    /// For outer products that use A more than once: A as strips of rows, for each batch and block of k.
    pub packed_a: Option<Vec<f32>>,
}

impl Work<'_> {
    /// Inner extent of a packed block.
    fn k_block(&self) -> usize {
        if matches!(self.form, Form::Broadcast(..)) { broadcast::K_BLOCK } else { K_BLOCK }
    }

    /// Rows of A, filled up to whole strips.
    fn padded_rows<const STRIP: usize>(&self) -> usize {
        self.c.sizes().1.next_multiple_of(STRIP)
    }

    /// Packs all of A for outer products: [batch][block of k][strip][k][row].
    pub fn pack_a<const STRIP: usize>(&self) -> Vec<f32> {
        let (batch, m, _, k) = self.c.sizes();
        let strips = m.div_ceil(STRIP);
        let mut packed = vec![0f32; batch * strips * STRIP * k];
        let to = Target { to: packed.as_mut_ptr(), rows: [].into(), columns: [].into(), run: 1 };
        run_tasks(batch * strips, |tasks| {
            let mut rows = vec![];
            // Capture the whole target: its pointer alone may not cross threads.
            let to = &to;
            for t in tasks {
                let (batch, strip) = (t / strips, t % strips);
                for k0 in (0..k).step_by(self.k_block()) {
                    let len = self.k_block().min(k - k0);
                    let at = self.place_a::<STRIP>(batch, k0) + strip * STRIP * len;
                    // SAFETY: strips are disjoint.
                    let to = unsafe { std::slice::from_raw_parts_mut(to.to.add(at), len * STRIP) };
                    let of = strip * STRIP..m.min((strip + 1) * STRIP);
                    self.pack_strips::<STRIP>(batch, of, k0..k0 + len, &mut rows, to);
                }
            }
        });
        packed
    }

    /// Packs some rows of A, at some k: [strip][k][row]. Rows past the last are left as they are. `row` is scratch.
    fn pack_strips<const STRIP: usize>(
        &self,
        batch: usize,
        of: Range<usize>,
        k: Range<usize>,
        row: &mut Vec<f32>,
        to: &mut [f32],
    ) {
        let (c, b, len) = (self.c, self.c.batch.len(), k.len());
        let of_batch = unravel(batch, &c.batch);
        let mut rows = Rows::new(&c.a, self.operands[0].from, b + c.m.len(), &c.k, k);
        row.resize(STRIP * len, 0.0);
        for (first, to) in of.clone().step_by(STRIP).zip(to.chunks_exact_mut(STRIP * len)) {
            let real = STRIP.min(of.end - first);
            for (i, row) in (first..first + real).zip(row.chunks_exact_mut(len)) {
                rows.select(&[(0, &of_batch), (b, &unravel(i, &c.m))]);
                rows.read(row);
            }
            for (j, to) in to.chunks_exact_mut(STRIP).enumerate() {
                for (i, to) in to[..real].iter_mut().enumerate() {
                    *to = row[i * len + j];
                }
            }
        }
    }

    /// The strips of a block's rows at some k: from all of A packed, or packed now into `scratch`.
    pub fn strips_of<'s, const STRIP: usize>(
        &'s self,
        block: &Block,
        k: Range<usize>,
        row: &mut Vec<f32>,
        scratch: &'s mut Vec<f32>,
    ) -> &'s [f32] {
        let size = block.rows.len().next_multiple_of(STRIP) * k.len();
        match &self.packed_a {
            Some(all) => {
                let at = self.place_a::<STRIP>(block.batch, k.start) + block.rows.start * k.len();
                &all[at..at + size]
            }
            None => {
                scratch.resize(size, 0.0);
                self.pack_strips::<STRIP>(block.batch, block.rows.clone(), k, row, scratch);
                &scratch[..size]
            }
        }
    }

    /// Where the strips of a batch and of the block of k from `k0` start.
    fn place_a<const STRIP: usize>(&self, batch: usize, k0: usize) -> usize {
        (batch * self.k + k0) * self.padded_rows::<STRIP>()
    }

    /// Block of C = sum over `range` of k.
    pub fn block(&self, block: &Block, range: Range<usize>, target: &Target, base: isize, scratch: &mut Scratch) {
        if range.is_empty() {
            let zeros = vec![0.0; block.columns.len()];
            block.rows.clone().for_each(|i| target.put(base, i, block.columns.start, &zeros, true));
            return;
        }
        match &self.form {
            Form::Plain(strides) => self.plain(block, *strides, target, base),
            Form::Outer => self.outer(block, target, base, scratch),
            Form::Inner => self.inner(block, range, target, base, scratch),
            Form::Shifted(shifted) => self.shifted(shifted, block, target, base, scratch),
            Form::Broadcast(shifted, along) => self.broadcast((shifted, *along), block, range, target, base, scratch),
            Form::InnerShifted(shifted) => self.inner_shifted(shifted, block, range, target, base, scratch),
        }
    }

    fn shifted(&self, shifted: &Shifted, block: &Block, target: &Target, base: isize, scratch: &mut Scratch) {
        let (c, b, kl) = (self.c, self.c.batch.len(), self.c.k.len());
        // Which image: the sub-axes of n before its rows and columns.
        let outer = &c.n[..c.n.len() - 2];
        let image = unravel(block.columns.start / block.columns.len(), outer);
        let of_batch = unravel(block.batch, &c.batch);
        let from = start(&c.b.base, &of_batch, b + kl, &image);
        let (planes, height) = (self.k / shifted.taps(), shifted.height());
        let area = shifted.area(height);
        if scratch.copied != Some(from) {
            // The last tile reads past the last position.
            scratch.b.resize(planes * area + COLUMNS, 0.0);
            // SAFETY: the reader's range is inside the input.
            unsafe {
                let from = self.operands[1].from.offset(from as isize);
                shifted.copy(from, 0..planes, 0..height, height, &mut scratch.b);
            }
            scratch.copied = Some(from);
        }
        let offsets = shifted.offsets(planes, height, &of_batch);
        let (mut row, mut real) = (vec![], vec![]);
        for k0 in (0..self.k).step_by(K_BLOCK) {
            let len = K_BLOCK.min(self.k - k0);
            pulp::Arch::new().dispatch(OuterTiles {
                a: self.strips_of::<ROWS>(block, k0..k0 + len, &mut row, &mut scratch.a),
                b: &scratch.b,
                offsets: &offsets[k0..k0 + len],
                strips: (height * shifted.wide).div_ceil(COLUMNS),
                stride: COLUMNS,
                to: target.to.wrapping_offset(base),
                rows: &target.rows[block.rows.clone()],
                pieces: |j: usize, pieces: &mut Vec<Piece>| {
                    pieces.clear();
                    shifted.pieces(j * COLUMNS, &mut real);
                    for &(column, at, len) in &real {
                        let column = block.columns.start + column;
                        target.pieces(column..column + len, at, pieces);
                    }
                },
                first: k0 == 0,
            });
        }
    }

    /// Outer products by blocks of k, whose part of B `pack(k0, len, to)` packs into strips [strip][k][column].
    fn outer_blocks(
        &self,
        block: &Block,
        target: &Target,
        base: isize,
        scratch: &mut Scratch,
        mut pack: impl FnMut(usize, usize, &mut [f32]),
    ) {
        let strips = block.columns.len().div_ceil(COLUMNS);
        let offsets: Vec<usize> = (0..K_BLOCK.min(self.k)).map(|k| k * COLUMNS).collect();
        let mut row = vec![];
        for k0 in (0..self.k).step_by(K_BLOCK) {
            let len = K_BLOCK.min(self.k - k0);
            scratch.b.resize(strips * COLUMNS * len, 0.0);
            pack(k0, len, &mut scratch.b);
            pulp::Arch::new().dispatch(OuterTiles {
                a: self.strips_of::<ROWS>(block, k0..k0 + len, &mut row, &mut scratch.a),
                b: &scratch.b,
                offsets: &offsets[..len],
                strips,
                stride: len * COLUMNS,
                to: target.to.wrapping_offset(base),
                rows: &target.rows[block.rows.clone()],
                pieces: |j: usize, pieces: &mut Vec<Piece>| {
                    pieces.clear();
                    let column = block.columns.start + j * COLUMNS;
                    target.pieces(column..(column + COLUMNS).min(block.columns.end), 0, pieces);
                },
                first: k0 == 0,
            });
        }
    }

    fn plain(&self, block: &Block, [am, ak, bk, bn]: [i64; 4], target: &Target, base: isize) {
        let c = self.c;
        let of_batch = unravel(block.batch, &c.batch);
        let a = start(&c.a.base, &of_batch, 0, &[]) + am * block.rows.start as i64;
        let b = start(&c.b.base, &of_batch, 0, &[]) + bn * block.columns.start as i64;
        let step = |t: &[isize]| if t.len() > 1 { t[1] - t[0] } else { 0 };
        // SAFETY: readers and writer stay inside their buffers; no other task writes this block.
        unsafe {
            gemm::gemm(
                block.rows.len(),
                block.columns.len(),
                self.k,
                target.to.offset(base + target.rows[block.rows.start] + target.columns[block.columns.start]),
                step(&target.columns),
                step(&target.rows),
                false,
                self.operands[0].from.offset(a as isize),
                ak as isize,
                am as isize,
                self.operands[1].from.offset(b as isize),
                bn as isize,
                bk as isize,
                1.0f32,
                1.0f32,
                false,
                false,
                false,
                gemm::Parallelism::None,
            )
        }
    }

    fn outer(&self, block: &Block, target: &Target, base: isize, scratch: &mut Scratch) {
        let (c, b, kl) = (self.c, self.c.batch.len(), self.c.k.len());
        let of_batch = unravel(block.batch, &c.batch);
        let mut rows = Rows::new(&c.b, self.operands[1].from, b + kl, &c.n, block.columns.clone());
        let columns = block.columns.len();
        let mut row = std::mem::take(&mut scratch.row);
        row.clear();
        row.resize(columns.next_multiple_of(COLUMNS), 0.0);
        let mut index = vec![0; kl];
        self.outer_blocks(block, target, base, scratch, |k0, len, packed| {
            for k in 0..len {
                unravel_into(k0 + k, &c.k, &mut index);
                rows.select(&[(0, &of_batch), (b, &index)]);
                rows.read(&mut row[..columns]);
                for (s, x) in row.chunks_exact(COLUMNS).enumerate() {
                    let at = (s * len + k) * COLUMNS;
                    packed[at..at + COLUMNS].copy_from_slice(x);
                }
            }
        });
        scratch.row = row;
    }

    fn inner(&self, block: &Block, range: Range<usize>, target: &Target, base: isize, scratch: &mut Scratch) {
        let (c, b) = (self.c, self.c.batch.len());
        let of_batch = unravel(block.batch, &c.batch);
        for k0 in range.clone().step_by(INNER_K) {
            let span = k0..(k0 + INNER_K).min(range.end);
            let len = span.len().next_multiple_of(INNER_PAD);
            // Rows of both, padded with zeros: to whole vectors, and to whole tiles.
            let pack =
                |to: &mut Vec<f32>, rows: &mut Rows, of: &Range<usize>, extents: &[usize], first, tile: usize| {
                    to.clear();
                    to.resize(of.len().next_multiple_of(tile) * len, 0.0);
                    for (i, to) in of.clone().zip(to.chunks_exact_mut(len)) {
                        rows.select(&[(0, &of_batch), (first, &unravel(i, extents))]);
                        rows.read(&mut to[..span.len()]);
                    }
                };
            let mut a_rows = Rows::new(&c.a, self.operands[0].from, b + c.m.len(), &c.k, span.clone());
            pack(&mut scratch.a, &mut a_rows, &block.rows, &c.m, b, INNER_ROWS);
            let mut b_rows = Rows::new(&c.b, self.operands[1].from, b, &c.k, span.clone());
            pack(&mut scratch.b, &mut b_rows, &block.columns, &c.n, b + c.k.len(), 1);
            let offsets: Vec<usize> = (0..block.columns.len()).map(|j| j * len).collect();
            let (first, parts) = (k0 == range.start, 1);
            self.inner_tiles(block, [len, parts, 0], &offsets, target, base, first, scratch);
        }
    }

    /// Adds the products of the rows in `scratch` to a block of C: of `k` elements in each of `parts` pieces, those of B
    /// `stride` apart.
    fn inner_tiles(
        &self,
        block: &Block,
        [k, parts, stride]: [usize; 3],
        offsets: &[usize],
        target: &Target,
        base: isize,
        first: bool,
        scratch: &Scratch,
    ) {
        pulp::Arch::new().dispatch(InnerTiles {
            k,
            parts,
            a: &scratch.a,
            b: &scratch.b,
            offsets,
            stride,
            store: |i: usize, j: usize, tile: &[[f32; INNER_COLUMNS]; INNER_ROWS]| {
                let column = block.columns.start + j;
                let width = INNER_COLUMNS.min(block.columns.end - column);
                for (r, row) in (block.rows.start + i..block.rows.end).zip(tile) {
                    target.put(base, r, column, &row[..width], first);
                }
            },
        });
    }

    /// `range` counts bands of images.
    fn inner_shifted(
        &self,
        shifted: &Shifted,
        block: &Block,
        range: Range<usize>,
        target: &Target,
        base: isize,
        scratch: &mut Scratch,
    ) {
        let bands = Bands::new(self.c, shifted, block);
        let (size, offsets) = (bands.size(), bands.columns());
        // Positions of a band, those past the width of the image zero in A.
        let k = (bands.height * shifted.wide).next_multiple_of(INNER_PAD);
        let at_once = (COPIED / size.max(block.rows.len() * k)).min(INNER_K / k).max(1);
        let mut done = range.start;
        while done < range.end {
            let parts = at_once.min(range.end - done);
            if bands.an_image > 1 {
                // Zeros lie elsewhere in the last band.
                scratch.a.clear();
                scratch.b.clear();
            }
            scratch.a.resize(block.rows.len().next_multiple_of(INNER_ROWS) * parts * k, 0.0);
            scratch.b.resize(parts * size, 0.0);
            for (part, to) in scratch.b.chunks_exact_mut(size).enumerate() {
                let (rows, in_a) = (bands.rows(done + part), bands.in_a(done + part));
                // SAFETY: readers stay inside their inputs.
                unsafe {
                    bands.copy(self.operands[1].from, done + part, to);
                    for (i, row) in bands.a_rows.iter().enumerate() {
                        let from = self.operands[0].from.offset((in_a + row) as isize);
                        let to = &mut scratch.a[(i * parts + part) * k..(i * parts + part + 1) * k];
                        for (y, to) in to.chunks_mut(shifted.wide).take(rows.len()).enumerate() {
                            copy(from.add(y * shifted.width), &mut to[..shifted.width]);
                        }
                    }
                }
            }
            let first = done == range.start;
            self.inner_tiles(block, [k, parts, size], &offsets, target, base, first, scratch);
            done += parts;
        }
    }
}

/// The position at index `of_batch` of the batch and `index` of the sub-axes from `first` on.
pub(super) fn start(a: &Affine, of_batch: &[usize], first: usize, index: &[usize]) -> i64 {
    a.offset + dot(&a.strides[..of_batch.len()], of_batch) + dot(&a.strides[first..first + index.len()], index)
}
