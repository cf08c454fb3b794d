//! Recurrences along an axis.

use super::CpuIo;
use super::index::input;
use super::interpret::run_tasks;
use crate::kernels::{Recurrence, Step};

/// Neighbouring lines that a task walks together.
const LINES: usize = 256;

pub(crate) fn run(r: &Recurrence, io: &CpuIo) {
    let blocks = r.inner.div_ceil(LINES);
    run_tasks(r.outer * blocks, |tasks| {
        for task in tasks {
            let (outer, block) = (task / blocks, task % blocks);
            let columns = block * LINES..((block + 1) * LINES).min(r.inner);
            let rows = (0..r.n).map(|i| {
                let place = if r.reverse { r.n - 1 - i } else { i };
                (outer * r.n + place) * r.inner + columns.start
            });
            match r.step {
                Step::Greatest => greatest(r, io, rows, columns.len()),
                step => sums(io, rows, columns.len(), step == Step::MulAdd),
            }
        }
    });
}

/// The elements of a row of the output, which no other task writes.
///
/// # Safety
/// The row is within the output, and nobody else has it.
#[allow(clippy::mut_from_ref)] // the output is reached through a pointer
unsafe fn row<T>(io: &CpuIo, at: usize, len: usize) -> &mut [T] {
    unsafe { std::slice::from_raw_parts_mut(io.output::<T>(0).0.add(at), len) }
}

/// In f64: there is one long sum, where a GPU adds up sums of chunks.
fn sums(io: &CpuIo, rows: impl Iterator<Item = usize>, len: usize, scaled: bool) {
    let terms = input::<f32>(io, 0);
    let factors = if scaled { Some(input::<f32>(io, 1)) } else { None };
    let mut state = vec![0f64; len];
    for at in rows {
        // SAFETY: rows are within the tensor, which the output is as large as.
        let out = unsafe { row::<f32>(io, at, len) };
        if let Some(factors) = factors {
            state.iter_mut().zip(&factors[at..]).for_each(|(s, &a)| *s *= a as f64);
        }
        for ((s, &b), out) in state.iter_mut().zip(&terms[at..]).zip(out) {
            *s += b as f64;
            *out = *s as f32;
        }
    }
}

fn greatest(r: &Recurrence, io: &CpuIo, rows: impl Iterator<Item = usize>, len: usize) {
    let keys = input::<u32>(io, 0);
    let mut state: Vec<Option<(u32, u32)>> = vec![None; len];
    for at in rows {
        // SAFETY: as above.
        let out = unsafe { row::<u32>(io, at, len) };
        for (column, (state, out)) in state.iter_mut().zip(out).enumerate() {
            let key = keys[at + column];
            match state {
                Some((best, _)) if *best > key => {}
                _ => *state = Some((key, (at / r.inner % r.n) as u32)),
            }
            *out = state.expect("just set").1;
        }
    }
}
