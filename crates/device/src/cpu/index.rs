//! Sorting, searching, and folds over segments.

use super::CpuIo;
use super::interpret::run_tasks;
use crate::kernels::segments::CHUNK;
use crate::kernels::{Search, SegmentFold, Segments, Sort};
use rayon::prelude::*;
use std::ops::Range;

/// Elements of work that make a task worth its start.
const TASK: usize = 4096;

/// An input that no output aliases.
pub(super) fn input<T>(io: &CpuIo, i: usize) -> &[T] {
    let (start, len) = io.input(i);
    // SAFETY: these kernels allow no aliases, so nothing writes here while they run.
    unsafe { std::slice::from_raw_parts(start, len) }
}

/// Runs `body` on ranges of `n` rows with their part of the output, which has `width` elements a row.
fn run_rows<T: Send>(io: &CpuIo, n: usize, width: usize, work: usize, body: impl Fn(Range<usize>, &mut [T]) + Sync) {
    let each = TASK.div_ceil(work.max(1));
    run_tasks(n.div_ceil(each), |tasks| {
        let rows = tasks.start * each..(tasks.end * each).min(n);
        // SAFETY: the ranges are disjoint, and within the output, which has n rows.
        let out =
            unsafe { std::slice::from_raw_parts_mut(io.output::<T>(0).0.add(rows.start * width), rows.len() * width) };
        body(rows, out)
    });
}

pub(crate) fn sort(sort: &Sort, io: &CpuIo) {
    let (n, keys) = (sort.n, input::<u32>(io, 0));
    // With its place beside it no key equals another, so any sort is stable.
    let pairs = |row: usize| -> Vec<u64> {
        keys[row * n..(row + 1) * n].iter().enumerate().map(|(i, &k)| (k as u64) << 32 | i as u64).collect()
    };
    if sort.rows == 1 {
        let mut pairs = pairs(0);
        pairs.par_sort_unstable();
        run_rows(io, n, 1, 1, |range, out| out.iter_mut().zip(&pairs[range]).for_each(|(o, &p)| *o = p as u32));
        return;
    }
    run_rows(io, sort.rows, n, n, |rows, out: &mut [u32]| {
        for (row, out) in rows.zip(out.chunks_mut(n.max(1))) {
            let mut pairs = pairs(row);
            pairs.sort_unstable();
            out.iter_mut().zip(pairs).for_each(|(o, p)| *o = p as u32);
        }
    });
}

pub(crate) fn search(search: &Search, io: &CpuIo) {
    let (sorted, values) = (input::<u32>(io, 0), input::<u32>(io, 1));
    run_rows(io, search.rows * search.values, 1, 8, |range, out| {
        for (i, out) in range.zip(out) {
            let row = &sorted[i / search.values * search.len..][..search.len];
            let v = values[i];
            *out = row.partition_point(|&x| x < v || (search.after_equals && x == v)) as u32;
        }
    });
}

pub(crate) fn segments(s: &Segments, io: &CpuIo) {
    let starts = input::<u32>(io, 1);
    let rows = if s.indexed { Some(input::<u32>(io, 2)) } else { None };
    let range = |segment: usize| {
        let end = (starts[segment + 1] as usize).min(s.positions);
        (starts[segment] as usize).min(end)..end
    };
    // Where the row of a position starts, if it exists.
    let row = |p: usize| {
        let row = rows.map_or(p, |r| r[p] as usize);
        (row < s.source).then_some(row * s.width)
    };
    let work = s.width * (1 + s.positions / s.segments.max(1));
    match s.fold {
        SegmentFold::Sum => {
            let source = input::<f32>(io, 0);
            let weight = if s.weighted { Some(input::<f32>(io, 2 + s.indexed as usize)) } else { None };
            let add = |out: &mut [f32], positions: Range<usize>| {
                for p in positions {
                    let Some(at) = row(p) else { continue };
                    let w = weight.map_or(1.0, |w| w[p]);
                    out.iter_mut().zip(&source[at..]).for_each(|(o, x)| *o += w * x);
                }
            };
            run_rows(io, s.segments, s.width, work, |segments, out: &mut [f32]| {
                let mut part = vec![0.0; s.width];
                for (segment, out) in segments.zip(out.chunks_mut(s.width.max(1))) {
                    let positions = range(segment);
                    out.fill(0.0);
                    if positions.len() <= CHUNK {
                        add(out, positions);
                        continue;
                    }
                    // Sums of sums, as on a GPU: one long sum would lose digits.
                    for first in positions.clone().step_by(CHUNK) {
                        part.fill(0.0);
                        add(&mut part, first..(first + CHUNK).min(positions.end));
                        out.iter_mut().zip(&part).for_each(|(o, x)| *o += x);
                    }
                }
            });
        }
        SegmentFold::ArgMax => {
            let source = input::<u32>(io, 0);
            run_rows(io, s.segments, s.width, work, |segments, out: &mut [u32]| {
                let mut best = vec![0; s.width];
                for (segment, out) in segments.zip(out.chunks_mut(s.width.max(1))) {
                    out.fill(u32::MAX);
                    for p in range(segment) {
                        let Some(at) = row(p) else { continue };
                        for ((o, best), &x) in out.iter_mut().zip(&mut best).zip(&source[at..]) {
                            if *o == u32::MAX || x > *best {
                                (*o, *best) = (p as u32, x);
                            }
                        }
                    }
                }
            });
        }
    }
}
