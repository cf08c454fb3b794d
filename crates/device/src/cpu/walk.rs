//! Walks a block of a domain in runs along the last dimension, so that index arithmetic is done once a run.

use crate::{Access, Coord};

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

/// Splits `len` indices along the last dimension into the part where all `coords` are valid, as a range, and says how the
/// position moves there: (first valid, end, position at index 0 of the run, step). Coordinates with divisors are left to
/// the caller (`None`).
#[inline(always)]
fn valid_range(coords: &[Coord], at: &[usize], len: usize) -> Option<(usize, usize, i64, i64)> {
    let last = at.len() - 1;
    let (mut lo, mut hi, mut position, mut step) = (0i64, len as i64, 0i64, 0i64);
    for c in coords {
        let v = c.affine.at(at);
        let dv = c.affine.strides[last];
        if dv == 0 {
            // The same for the whole run.
            let d = c.div as i64;
            if v < 0 || v % d != 0 || v / d >= c.len as i64 {
                return Some((0, 0, 0, 0));
            }
            position += v / d * c.stride;
            continue;
        }
        if c.div != 1 {
            return None;
        }
        // 0 <= v + dv * t < len
        let (a, b) = if dv > 0 {
            ((-v).div_euclid(dv) + ((-v).rem_euclid(dv) != 0) as i64, (c.len as i64 - 1 - v).div_euclid(dv) + 1)
        } else {
            let e = -dv;
            let first = v - (c.len as i64 - 1);
            (first.div_euclid(e) + (first.rem_euclid(e) != 0) as i64, v.div_euclid(e) + 1)
        };
        lo = lo.max(a);
        hi = hi.min(b);
        position += v * c.stride;
        step += dv * c.stride;
    }
    let lo = lo.clamp(0, len as i64);
    Some((lo as usize, hi.clamp(lo, len as i64) as usize, position, step))
}

/// Reads a run: `load(position, step, to)` where the access is valid, zeros elsewhere.
#[inline(always)]
pub(super) fn read_run(access: &Access, at: &[usize], to: &mut [u32], mut load: impl FnMut(i64, i64, &mut [u32])) {
    let last = at.len() - 1;
    let (base, step) = (access.base.at(at), access.base.strides[last]);
    if access.coords.is_empty() {
        return load(base, step, to);
    }
    match valid_range(&access.coords, at, to.len()) {
        Some((lo, hi, position, more)) => {
            to[..lo].fill(0);
            to[hi..].fill(0);
            let step = step + more;
            load(base + position + step * lo as i64, step, &mut to[lo..hi]);
        }
        None => {
            for t in 0..to.len() {
                match sum_coords(&access.coords, at, t) {
                    Some(p) => load(base + step * t as i64 + p, 0, &mut to[t..t + 1]),
                    None => to[t] = 0,
                }
            }
        }
    }
}

/// Fills a run with whether all coordinates are valid.
#[inline(always)]
pub(super) fn mask_run(coords: &[Coord], at: &[usize], to: &mut [u32]) {
    match valid_range(coords, at, to.len()) {
        Some((lo, hi, ..)) => {
            to[..lo].fill(0);
            to[lo..hi].fill(1);
            to[hi..].fill(0);
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
    use crate::Affine;

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
                            read_run(&access, at, &mut got[r.start..r.start + r.len], |p, s, to| {
                                to.iter_mut().enumerate().for_each(|(i, x)| *x = (p + s * i as i64) as u32)
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
