//! Where the elements of a contraction's result go.

use super::CpuIo;
use super::source::copy;
use super::tile::Piece;
use crate::kernels::Contraction;
use std::ops::Range;
use std::sync::Arc;

/// Where C's elements go: `to + base + rows[i] + columns[j]`.
pub(super) struct Target {
    pub to: *mut f32,
    pub rows: Arc<[isize]>,
    pub columns: Arc<[isize]>,
    /// Columns that lie together: so many from each multiple of it on.
    pub run: usize,
}

// SAFETY: tasks write disjoint blocks.
unsafe impl Sync for Target {}

/// Where outputs begin that are laid out as C is.
pub(super) struct Others(pub Vec<*mut f32>);

// SAFETY: as above.
unsafe impl Sync for Others {}

impl Target {
    /// The output of a contraction.
    pub fn of(c: &Contraction, io: &CpuIo) -> Target {
        let n = c.batch.len() + c.m.len();
        let mut run = 1;
        for (&extent, &stride) in c.n.iter().zip(&c.c.strides[n..]).rev() {
            if extent > 1 && stride != run as i64 {
                break;
            }
            run *= extent.max(1);
        }
        Target { to: io.output(0).0, rows: offsets(c, &c.m, c.batch.len()), columns: offsets(c, &c.n, n), run }
    }

    /// Adds the pieces that columns `range` make up, the first at column `at` of a tile.
    pub fn pieces(&self, range: Range<usize>, at: usize, pieces: &mut Vec<Piece>) {
        let columns = &self.columns[range];
        let mut i = 0;
        while i < columns.len() {
            let step = columns.get(i + 1).map_or(1, |next| next - columns[i]);
            let same = columns[i..].windows(2).take_while(|w| w[1] - w[0] == step).count();
            pieces.push(Piece { at: at + i, len: same + 1, to: columns[i], step });
            i += same + 1;
        }
    }

    /// The pieces of columns `j..j + n` that lie together in C: (place of the first, how many).
    fn together(&self, mut j: usize, n: usize) -> impl Iterator<Item = (isize, usize)> {
        let end = j + n;
        std::iter::from_fn(move || {
            let (here, len) = (j, (self.run - j % self.run).min(end - j));
            j += len;
            (len > 0).then(|| (self.columns[here], len))
        })
    }

    /// Reads what is stored in row `i`, columns from `j`.
    pub fn get(&self, base: isize, i: usize, j: usize, mut values: &mut [f32]) {
        for (at, len) in self.together(j, values.len()) {
            let (now, rest) = values.split_at_mut(len);
            // SAFETY: inside this task's block.
            unsafe { copy(self.to.offset(base + self.rows[i] + at), now) };
            values = rest;
        }
    }

    /// Adds `values` to (or, first, stores them at) row `i`, columns from `j`.
    #[inline(always)]
    pub fn put(&self, base: isize, i: usize, j: usize, values: &[f32], first: bool) {
        self.put_at(self.to, base, i, j, values, first);
    }

    /// As `put`, to another matrix that is laid out as this one.
    #[inline(always)]
    pub fn put_at(&self, to: *mut f32, base: isize, i: usize, j: usize, mut values: &[f32], first: bool) {
        if self.run == 1 {
            for (&at, &v) in self.columns[j..].iter().zip(values) {
                // SAFETY: as below.
                unsafe {
                    let to = to.offset(base + self.rows[i] + at);
                    *to = if first { v } else { *to + v };
                }
            }
            return;
        }
        for (at, len) in self.together(j, values.len()) {
            let (now, rest) = values.split_at(len);
            // SAFETY: the writer's range is inside the output, and no other task writes this block.
            let to = unsafe { std::slice::from_raw_parts_mut(to.offset(base + self.rows[i] + at), len) };
            if first {
                // SAFETY: as many elements on both sides.
                unsafe { copy(now.as_ptr(), to) };
            } else {
                to.iter_mut().zip(now).for_each(|(t, v)| *t += v);
            }
            values = rest;
        }
    }
}

/// What C's writer adds for each linear index of some sub-axes.
fn offsets(c: &Contraction, extents: &[usize], first: usize) -> Arc<[isize]> {
    let strides = &c.c.strides[first..first + extents.len()];
    let mut all = vec![0isize];
    for (&n, &s) in extents.iter().zip(strides) {
        all = all.iter().flat_map(|&o| (0..n as isize).map(move |i| o + i * s as isize)).collect();
    }
    all.into()
}
