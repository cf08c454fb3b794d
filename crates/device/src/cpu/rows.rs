//! Reads rows of an operand: a row is chosen by one set of sub-axes and walked along another.

use super::source::copy;
use crate::{Access, Affine};

/// An operand as rows: a function of a row index and a position in the row.
pub(super) struct Rows<'a> {
    access: &'a Access,
    from: *const f32,
    /// The base, then the coordinates: what a row adds to each, and what a run adds.
    row_parts: Vec<i64>,
    runs: Vec<Run>,
    run_parts: Vec<i64>,
    /// For each affine function, its step along the last sub-axis of a row.
    steps: Vec<i64>,
    /// Where runs are short and everything is valid: what each position of a row adds.
    offsets: Vec<isize>,
}

/// Runs shorter than this are read element by element, by a table.
const SHORT: usize = 8;

/// Neighbouring positions of a row that differ in the last sub-axis only.
struct Run {
    at: usize,
    len: usize,
}

impl<'a> Rows<'a> {
    /// Prepares the positions `range` (linear over `extents`) of each row. `first` is the place of the row's positions
    /// among the access's sub-axes; the sub-axes elsewhere are given by [`Rows::select`].
    pub fn new(
        access: &'a Access,
        from: *const f32,
        first: usize,
        extents: &[usize],
        range: std::ops::Range<usize>,
    ) -> Self {
        let affines: Vec<&Affine> = access.affines().collect();
        let rank = extents.len();
        let inner = extents.last().copied().unwrap_or(1);
        let (mut runs, mut run_parts) = (vec![], vec![]);
        let mut index = vec![0; rank];
        let mut p = range.start;
        while p < range.end {
            let mut rest = p;
            for d in (0..rank).rev() {
                index[d] = rest % extents[d];
                rest /= extents[d];
            }
            let len = (inner - index.last().copied().unwrap_or(0)).min(range.end - p);
            runs.push(Run { at: p - range.start, len });
            for a in &affines {
                run_parts.push(dot(&a.strides[first..first + rank], &index));
            }
            p += len;
        }
        let steps: Vec<i64> = affines.iter().map(|a| if rank == 0 { 0 } else { a.strides[first + rank - 1] }).collect();
        let mut offsets = vec![];
        if access.coords.is_empty() && inner < SHORT {
            for (r, part) in runs.iter().zip(&run_parts) {
                offsets.extend((0..r.len as i64).map(|i| (part + steps[0] * i) as isize));
            }
        }
        Rows { access, from, row_parts: vec![0; affines.len()], runs, run_parts, steps, offsets }
    }

    /// Chooses a row: values of the other sub-axes, as (first sub-axis, indices).
    pub fn select(&mut self, fixed: &[(usize, &[usize])]) {
        for (part, a) in self.row_parts.iter_mut().zip(self.access.affines()) {
            *part = a.offset + fixed.iter().map(|(f, index)| dot(&a.strides[*f..f + index.len()], index)).sum::<i64>();
        }
    }

    /// Reads the chosen row's positions.
    #[inline(always)]
    pub fn read(&self, to: &mut [f32]) {
        if !self.offsets.is_empty() {
            // SAFETY: the planner gives accesses that stay inside their buffers.
            let from = unsafe { self.from.offset(self.row_parts[0] as isize) };
            return to.iter_mut().zip(&self.offsets).for_each(|(x, &at)| *x = unsafe { *from.offset(at) });
        }
        let n = self.row_parts.len();
        let coords = &self.access.coords;
        for (r, parts) in self.runs.iter().zip(self.run_parts.chunks_exact(n)) {
            let to = &mut to[r.at..r.at + r.len];
            let mut position = self.row_parts[0] + parts[0];
            let mut step = self.steps[0];
            let (mut lo, mut hi) = (0i64, r.len as i64);
            let mut divided = None;
            let mut slow = false;
            for (c, coord) in coords.iter().enumerate() {
                let v = self.row_parts[c + 1] + parts[c + 1];
                let dv = self.steps[c + 1];
                let len = coord.len as i64;
                if dv == 0 {
                    let d = coord.div as i64;
                    let q = if d == 1 { v } else { v.div_euclid(d) };
                    if v < 0 || q >= len || q * d != v {
                        hi = 0;
                        break;
                    }
                    position += q * coord.stride;
                } else if coord.div == 1 && dv > 0 {
                    // 0 <= v + dv * t < len
                    lo = lo.max((-v + dv - 1).div_euclid(dv));
                    hi = hi.min((len - 1 - v).div_euclid(dv) + 1);
                    position += v * coord.stride;
                    step += dv * coord.stride;
                } else if dv == 1 && divided.is_none() {
                    divided = Some((v, coord));
                } else {
                    slow = true;
                }
            }
            if hi <= lo {
                to.fill(0.0);
                continue;
            }
            if slow {
                self.read_slow(parts, to);
                continue;
            }
            if let Some((v, coord)) = divided {
                // Every div-th element exists: t = first + j * div, at coordinate q + j.
                to.fill(0.0);
                let d = coord.div as i64;
                let first = (-v).rem_euclid(d);
                let q = (v + first) / d;
                let from = (-q).max((lo - first + d - 1).div_euclid(d)).max(0);
                let end = (coord.len as i64 - q).min((hi - first + d - 1).div_euclid(d));
                for j in from..end {
                    let t = first + j * d;
                    let p = position + step * t + (q + j) * coord.stride;
                    // SAFETY: valid here, so inside the buffer.
                    to[t as usize] = unsafe { *self.from.offset(p as isize) };
                }
                continue;
            }
            let lo = lo.clamp(0, r.len as i64) as usize;
            let hi = hi.clamp(lo as i64, r.len as i64) as usize;
            to[..lo].fill(0.0);
            to[hi..].fill(0.0);
            // SAFETY: the planner gives accesses that stay inside their buffers where they are valid.
            unsafe {
                let from = self.from.offset((position + step * lo as i64) as isize);
                if step == 1 {
                    copy(from, &mut to[lo..hi]);
                } else {
                    for (i, x) in to[lo..hi].iter_mut().enumerate() {
                        *x = *from.offset(step as isize * i as isize);
                    }
                }
            }
        }
    }

    /// Element by element: for what no convolution needs.
    fn read_slow(&self, parts: &[i64], to: &mut [f32]) {
        'element: for (i, x) in to.iter_mut().enumerate() {
            let mut p = self.row_parts[0] + parts[0] + self.steps[0] * i as i64;
            for (c, coord) in self.access.coords.iter().enumerate() {
                let v = self.row_parts[c + 1] + parts[c + 1] + self.steps[c + 1] * i as i64;
                let d = coord.div as i64;
                if v < 0 || v % d != 0 || v / d >= coord.len as i64 {
                    *x = 0.0;
                    continue 'element;
                }
                p += v / d * coord.stride;
            }
            // SAFETY: as in `read`.
            *x = unsafe { *self.from.offset(p as isize) };
        }
    }
}

/// What an index adds to a position.
pub(super) fn dot(strides: &[i64], index: &[usize]) -> i64 {
    strides.iter().zip(index).map(|(s, &i)| s * i as i64).sum()
}
