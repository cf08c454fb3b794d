//! Walks a block of a domain in runs along the last dimension, so that index arithmetic is done once a run.

use super::source::fill;
use crate::{Access, Affine, Coord};

/// Consecutive indices that differ only in the last coordinate.
#[derive(Clone, Copy)]
pub(super) struct Run {
    /// Where in the block they start.
    pub start: usize,
    /// How many.
    pub len: usize,
    /// Where in the list of indices the first one's coordinates start.
    pub index: usize,
}

/// What an affine function adds over the last dimensions of a domain whose last one is short.
pub(super) struct Pattern {
    /// How many dimensions come before those.
    outer: usize,
    offsets: Vec<i32>,
}

/// Runs at least this long are not short.
const LONG: usize = 33;
/// Elements that a pattern should have.
const WORTH: usize = 128;

impl Pattern {
    /// `None` where runs are long.
    pub fn new(affine: &Affine, domain: &[usize]) -> Option<Pattern> {
        let (mut outer, mut n) = (domain.len(), 1);
        while outer > 0 && n < WORTH && n * domain[outer - 1] <= 16 * WORTH {
            outer -= 1;
            n *= domain[outer];
        }
        if domain.last().is_none_or(|&last| last >= LONG || outer == domain.len()) || domain.contains(&0) {
            return None;
        }
        let mut offsets = vec![0i64];
        for (&n, &s) in domain[outer..].iter().zip(&affine.strides[outer..]) {
            offsets = offsets.iter().flat_map(|&o| (0..n as i64).map(move |i| o + i * s)).collect();
        }
        let offsets: Option<Vec<i32>> = offsets.into_iter().map(|o| i32::try_from(o).ok()).collect();
        Some(Pattern { outer, offsets: offsets? })
    }

    /// Calls `f(place in the block, base, offsets)` for the pieces of `len` linear indices from `start`: the function's values
    /// there are `base + offsets[i]`.
    #[inline(always)]
    pub fn pieces(
        &self,
        affine: &Affine,
        domain: &[usize],
        start: usize,
        len: usize,
        mut f: impl FnMut(usize, i64, &[i32]),
    ) {
        let (mut at, period) = (0, self.offsets.len());
        while at < len {
            let (mut outer, first) = ((start + at) / period, (start + at) % period);
            let mut base = affine.offset;
            for d in (0..self.outer).rev() {
                base += affine.strides[d] * (outer % domain[d]) as i64;
                outer /= domain[d];
            }
            let n = (period - first).min(len - at);
            f(at, base, &self.offsets[first..first + n]);
            at += n;
        }
    }
}

/// The runs that make up `len` linear indices from `start`.
pub(super) fn runs(domain: &[usize], start: usize, len: usize, index: &mut Vec<usize>, runs: &mut Vec<Run>) {
    let rank = domain.len();
    index.clear();
    index.resize(rank, 0);
    let mut rest = start;
    for d in (0..rank).rev() {
        index[d] = rest % domain[d];
        rest /= domain[d];
    }
    let inner = domain[rank - 1];
    let mut done = 0;
    loop {
        let at = index.len() - rank;
        let n = (inner - index[at + rank - 1]).min(len - done);
        runs.push(Run { start: done, len: n, index: at });
        done += n;
        if done == len {
            return;
        }
        // The next run starts at the next row.
        index.extend_from_within(at..);
        let at = at + rank;
        index[at + rank - 1] = 0;
        for d in (0..rank - 1).rev() {
            index[at + d] += 1;
            if index[at + d] < domain[d] {
                break;
            }
            index[at + d] = 0;
        }
    }
}

/// The indices of a run where all coordinates are valid: `first`, `first + every`, ... below `end`, and how the coordinates
/// move the position: `position` at the first of them, `step` more at each next.
struct Valid {
    first: usize,
    end: usize,
    every: usize,
    position: i64,
    step: i64,
}

/// Finds where `coords` are valid along the last dimension, over `len` indices from `at`. More than one divided coordinate
/// that moves is left to the caller (`None`).
#[inline(always)]
fn valid(coords: &[Coord], at: &[usize], len: usize) -> Option<Valid> {
    let last = at.len() - 1;
    let (mut lo, mut hi) = (0i64, len as i64);
    let mut divided = None;
    for c in coords {
        let (v, dv, d) = (c.affine.at(at), c.affine.strides[last], c.div as i64);
        if dv == 0 {
            // The same for the whole run.
            if v < 0 || v >= c.len as i64 * d || (d > 1 && v % d != 0) {
                hi = 0;
            }
            continue;
        }
        // 0 <= v + dv * t <= greatest
        let greatest = (c.len as i64 - 1) * d;
        if dv == 1 {
            lo = lo.max(-v);
            hi = hi.min(greatest - v + 1);
        } else {
            let (a, b) = if dv > 0 { (-v, greatest - v) } else { (v - greatest, v) };
            let e = dv.abs();
            lo = lo.max((a + e - 1).div_euclid(e));
            hi = hi.min(b.div_euclid(e) + 1);
        }
        if d > 1 && divided.replace((v, dv, d)).is_some() {
            return None;
        }
    }
    let mut every = 1;
    if let Some((v, dv, d)) = divided {
        // The first that divides evenly is among the next d, and then every d / gcd(d, dv)-th does.
        let divides = |t: &i64| (v + dv * t) % d == 0;
        match (lo..hi.min(lo + d)).find(divides) {
            Some(t) => {
                lo = t;
                every = (1..d).find(|e| dv * e % d == 0).unwrap_or(d);
            }
            None => hi = lo,
        }
    }
    if lo >= hi {
        return Some(Valid { first: 0, end: 0, every: 1, position: 0, step: 0 });
    }
    let (mut position, mut step) = (0, 0);
    for c in coords {
        let (v, dv, d) = (c.affine.at(at), c.affine.strides[last], c.div as i64);
        if d == 1 {
            position += (v + dv * lo) * c.stride;
            step += dv * every * c.stride;
        } else {
            position += (v + dv * lo) / d * c.stride;
            step += dv * every / d * c.stride;
        }
    }
    Some(Valid { first: lo as usize, end: hi as usize, every: every as usize, position, step })
}

/// Reads a run: `load(position, step, to, every)` where the access is valid, zeros elsewhere. `load` reads elements
/// `position`, `position + step`, ... into `to[0]`, `to[every]`, ...
#[inline(always)]
pub(super) fn read_run(
    access: &Access,
    at: &[usize],
    to: &mut [u32],
    mut load: impl FnMut(i64, i64, &mut [u32], usize),
) {
    let last = at.len() - 1;
    let (base, step) = (access.base.at(at), access.base.strides[last]);
    if access.coords.is_empty() {
        return load(base, step, to, 1);
    }
    match valid(&access.coords, at, to.len()) {
        Some(v) => {
            if v.every > 1 {
                fill(to, 0);
            } else {
                fill(&mut to[..v.first], 0);
                fill(&mut to[v.end..], 0);
            }
            if v.first < v.end {
                let from = base + step * v.first as i64 + v.position;
                load(from, step * v.every as i64 + v.step, &mut to[v.first..v.end], v.every);
            }
        }
        None => {
            for t in 0..to.len() {
                match sum_coords(&access.coords, at, t) {
                    Some(p) => load(base + step * t as i64 + p, 0, &mut to[t..t + 1], 1),
                    None => to[t] = 0,
                }
            }
        }
    }
}

/// Fills a run with whether all coordinates are valid.
#[inline(always)]
pub(super) fn mask_run(coords: &[Coord], at: &[usize], to: &mut [u32]) {
    match valid(coords, at, to.len()) {
        Some(v) => {
            fill(to, 0);
            if v.every == 1 {
                fill(&mut to[v.first..v.end], 1);
            } else {
                to[v.first..v.end].iter_mut().step_by(v.every).for_each(|x| *x = 1);
            }
        }
        None => {
            for (t, x) in to.iter_mut().enumerate() {
                *x = sum_coords(coords, at, t).is_some() as u32;
            }
        }
    }
}

/// What the coordinates add to the position `t` steps along the last dimension, if all are valid.
#[inline(always)]
fn sum_coords(coords: &[Coord], at: &[usize], t: usize) -> Option<i64> {
    let last = at.len() - 1;
    let mut sum = 0;
    for c in coords {
        let v = c.affine.at(at) + c.affine.strides[last] * t as i64;
        let d = c.div as i64;
        if v < 0 || v % d != 0 || v / d >= c.len as i64 {
            return None;
        }
        sum += v / d * c.stride;
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The split into ranges agrees with the plain definition, for every sign of step and overhang.
    #[test]
    fn runs_agree_with_the_definition() {
        let mut checked = 0;
        for stride in [-3i64, -2, -1, 0, 1, 2, 3] {
            for offset in -7..8 {
                for div in [1usize, 2, 3] {
                    for len in [1usize, 4, 5] {
                        let affine = Affine { strides: vec![2, stride], offset };
                        let access = Access {
                            base: Affine { strides: vec![100, 10], offset: 1000 },
                            coords: vec![Coord { affine, div, len, stride: 7 }],
                        };
                        let (mut index, mut list) = (vec![], vec![]);
                        runs(&[3, 6], 2, 13, &mut index, &mut list);
                        let mut got = [9u32; 13];
                        for r in &list {
                            let at = &index[r.index..r.index + 2];
                            read_run(&access, at, &mut got[r.start..r.start + r.len], |p, s, to, e| {
                                to.iter_mut().step_by(e).enumerate().for_each(|(i, x)| *x = (p + s * i as i64) as u32)
                            });
                        }
                        for (i, &g) in got.iter().enumerate() {
                            let at = [(i + 2) / 6, (i + 2) % 6];
                            assert_eq!(g, access.at(&at).unwrap_or(0) as u32, "{access:?} at {at:?}");
                            checked += 1;
                        }
                    }
                }
            }
        }
        assert!(checked > 10_000);
    }
}
