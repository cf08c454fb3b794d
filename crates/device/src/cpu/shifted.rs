//! Convolutions without packing patches: each kernel tap reads the same padded copy of the image, shifted.
//!
//! The copy's rows are wider than the image's by the padding. Positions are linear over rows of that width; the few past
//! the image's width are thrown away (forward and input gradient) or meet zeros (weight gradient). With a stride, the image
//! is copied as several: one for each remainder of rows and of columns by the stride that some tap reads.

use super::rows::dot;
use super::tile::{COLUMNS, INNER_PAD, copy_row};
use crate::kernels::Contraction;
use crate::{Affine, Coord};
use pulp::{Arch, Simd, WithSimd};
use std::ops::Range;

/// Positions of a band of rows.
const BAND: usize = 1024;
/// The greatest stride: an image copied in more phases than taps would be copied for nothing.
const MAX_STEP: i64 = 4;

/// How a contraction's B is an image seen through shifts. Two of its sub-axes walk over positions, two over taps.
pub(super) struct Shifted {
    /// Rows and columns of positions.
    height: usize,
    pub width: usize,
    /// Row width of a copy, and how many more rows it has than positions.
    pub wide: usize,
    more: usize,
    /// Steps of the convolution, along rows and columns.
    steps: [i64; 2],
    /// The remainders by the steps whose copies are needed, as (row, column).
    phases: Vec<[i64; 2]>,
    /// For each tap its phase, and what it adds to a position in that copy.
    taps: Vec<(usize, usize)>,
    /// Least coordinates that any tap reads, in steps, wherever in the batch.
    low: [i64; 2],
    /// What the batch's sub-axes add to coordinates, and the least of it.
    moved: [Vec<i64>; 2],
    least: [i64; 2],
    /// What each plane (the sub-axes beside the taps) adds to the position in memory.
    planes: Vec<i64>,
    /// The image's extents and strides.
    lens: [usize; 2],
    strides: [i64; 2],
}

impl Shifted {
    /// For products with the columns of B: positions along n, taps along k.
    pub fn along_n(c: &Contraction) -> Option<Shifted> {
        let k = c.batch.len();
        Shifted::of(c, k + c.k.len(), &c.n, k, &c.k)
    }

    /// For products with the rows of B: positions along k, taps along n.
    pub fn along_k(c: &Contraction) -> Option<Shifted> {
        let k = c.batch.len();
        Shifted::of(c, k, &c.k, k + c.k.len(), &c.n)
    }

    /// Recognises `position = base(others) + y * row + x * column` with `y = step * oy + shift(r)`, `x = step * ox +
    /// shift(s)`, where the padding is at most half the width. Positions (oy, ox) are the last of the sub-axes `over`, which
    /// start at `first`; taps (r, s) are the last of `others`, which start at `other`.
    fn of(c: &Contraction, first: usize, over: &[usize], other: usize, others: &[usize]) -> Option<Shifted> {
        if over.len() < 2 || others.len() < 2 || others.contains(&0) {
            return None;
        }
        let ([oy, ox], [r, s]) =
            ([0, 1].map(|i| first + over.len() - 2 + i), [0, 1].map(|i| other + others.len() - 2 + i));
        let [y, x] = coordinates(c, [(oy, r), (ox, s)])?;
        let steps = [y.affine.strides[oy], x.affine.strides[ox]];
        let ([height, width], [th, tw]) = (last_two(over), last_two(others));
        // Each tap's shift as (whole steps, remainder).
        let taps = |a: &Affine, axis: usize, n: usize, step: i64| -> Vec<(i64, i64)> {
            let shift = |t| a.offset + a.strides[axis] * t;
            (0..n as i64).map(|t| (shift(t).div_euclid(step), shift(t).rem_euclid(step))).collect()
        };
        let (ty, tx) = (taps(&y.affine, r, th, steps[0]), taps(&x.affine, s, tw, steps[1]));
        let span = |t: &[(i64, i64)]| {
            let whole = || t.iter().map(|t| t.0);
            (whole().min().expect("taps"), whole().max().expect("taps"))
        };
        let ((y0, y1), (x0, x1)) = (span(&ty), span(&tx));
        // What the batch moves is part of the copies, so that all of it reads the same ones.
        let moved = [&y, &x].map(|a| a.affine.strides[..c.batch.len()].to_vec());
        let least = moved.each_ref().map(|m| m.iter().zip(&c.batch).map(|(s, &n)| (s * (n as i64 - 1)).min(0)).sum());
        let reach: [i64; 2] =
            moved.each_ref().map(|m| m.iter().zip(&c.batch).map(|(s, &n)| (s * (n as i64 - 1)).abs()).sum());
        let [ly, lx]: [i64; 2] = least;
        let (more, wide) = ((y1 - y0 + reach[0]) as usize, width + (x1 - x0 + reach[1]) as usize);
        if wide * 2 > width * 3 {
            return None;
        }
        let mut planes = vec![0i64];
        for (i, &n) in others[..others.len() - 2].iter().enumerate() {
            let stride = c.b.base.strides[other + i];
            planes = planes.iter().flat_map(|&p| (0..n as i64).map(move |j| p + j * stride)).collect();
        }
        let mut phases = vec![];
        let mut place = |phase: [i64; 2]| {
            phases.iter().position(|&p| p == phase).unwrap_or_else(|| {
                phases.push(phase);
                phases.len() - 1
            })
        };
        let mut both = vec![];
        for y in &ty {
            for x in &tx {
                both.push((place([y.1, x.1]), (y.0 - y0) as usize * wide + (x.0 - x0) as usize));
            }
        }
        let (lens, strides) = ([y.len, x.len], [y.stride, x.stride]);
        let (taps, low) = (both, [y0 + ly, x0 + lx]);
        Some(Shifted { height, width, wide, more, steps, phases, taps, low, least, moved, planes, lens, strides })
    }

    /// Whether reading whole vectors of `lanes` positions at once would mostly read what is thrown away: of images of a few
    /// elements.
    pub fn is_small(&self, lanes: usize) -> bool {
        let read = (self.height * self.wide).next_multiple_of(lanes);
        self.height * self.width * 6 < read * 5
    }

    /// Positions in an image.
    pub fn image(&self) -> usize {
        self.height * self.width
    }

    /// Where the positions in some rows of `images` images are in their copies, without what the taps add, if a copy has `size`
    /// elements.
    pub fn positions(&self, images: usize, size: usize, rows: Range<usize>) -> Vec<usize> {
        let row = |start: usize| (0..self.width).map(move |x| start + x);
        let image = |i: usize| rows.clone().flat_map(move |y| row(i * size + y * self.wide));
        (0..images).flat_map(image).collect()
    }

    /// Rows of positions in an image.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Rows of positions that a weight gradient takes at once: of large images not all, so that copies stay in cache.
    pub fn band(&self) -> usize {
        let bands = (self.height * self.wide).div_ceil(BAND).min(self.height);
        self.height.div_ceil(bands)
    }

    /// How many bands make up `k` positions.
    pub fn bands(&self, k: usize) -> usize {
        k / (self.height * self.width) * self.height.div_ceil(self.band())
    }

    /// Whether the positions of an image are dense in A, too.
    pub fn rows_are_dense(&self, c: &Contraction) -> bool {
        let [y, x] = last_two(&c.a.base.strides);
        c.a.coords.is_empty() && x == 1 && y == self.width as i64
    }

    /// Kernel taps of a plane.
    pub fn taps(&self) -> usize {
        self.taps.len()
    }

    /// Elements of the copy of one phase of a plane that serves `rows` rows of positions, and zeros after it for vectors that
    /// overhang.
    fn phase_area(&self, rows: usize) -> usize {
        (rows + self.more) * self.wide + (self.wide - self.width) + INNER_PAD
    }

    /// Elements of the copies of a plane.
    pub fn area(&self, rows: usize) -> usize {
        self.phase_area(rows) * self.phases.len()
    }

    /// Where each of `planes` planes, copied for `rows` rows of positions, is read by each tap, in B's order, at index `batch`
    /// of the batch.
    pub fn offsets(&self, planes: usize, rows: usize, batch: &[usize]) -> Vec<usize> {
        let (area, each) = (self.area(rows), self.phase_area(rows));
        let [y, x]: [usize; 2] = std::array::from_fn(|d| (dot(&self.moved[d], batch) - self.least[d]) as usize);
        let first = y * self.wide + x;
        (0..planes).flat_map(|p| self.taps.iter().map(move |&(phase, t)| first + p * area + phase * each + t)).collect()
    }

    /// Copies what rows `rows` of positions read of the given planes of an image, whose first element is `from`. Only what is
    /// inside the image is written: `to`, which takes `area(room)` elements for each plane, must hold zeros elsewhere, as it
    /// does after the same rows of another image.
    ///
    /// # Safety
    /// The image must lie inside the input.
    pub unsafe fn copy(&self, from: *const f32, planes: Range<usize>, rows: Range<usize>, room: usize, to: &mut [f32]) {
        Arch::new().dispatch(Copying { shifted: self, from, planes, rows, room, to });
    }

    /// The real columns among positions `at..at + COLUMNS`, as pieces: (first column in the image's row of C, place in the
    /// tile, length).
    pub fn pieces(&self, at: usize, pieces: &mut Vec<(usize, usize, usize)>) {
        pieces.clear();
        let end = (at + COLUMNS).min(self.height * self.wide);
        let (mut p, mut y, mut x) = (at, at / self.wide, at % self.wide);
        while p < end {
            let real = self.width.saturating_sub(x).min(end - p);
            if real > 0 {
                pieces.push((y * self.width + x, p - at, real));
            }
            p += self.wide - x;
            (y, x) = (y + 1, 0);
        }
    }
}

/// See [`Shifted::copy`].
struct Copying<'a> {
    shifted: &'a Shifted,
    from: *const f32,
    planes: Range<usize>,
    rows: Range<usize>,
    room: usize,
    to: &'a mut [f32],
}

impl WithSimd for Copying<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Copying { shifted: s, from, planes, rows, room, to } = self;
        let mut areas = to.chunks_exact_mut(s.phase_area(room));
        for &base in &s.planes[planes] {
            for &[py, px] in &s.phases {
                let to = areas.next().expect("room for every phase of every plane");
                // Columns of the copy whose coordinate, steps * (column + low) + px, is inside the image.
                let first = |limit: i64| (limit - px + s.steps[1] - 1).div_euclid(s.steps[1]) - s.low[1];
                let x_from = first(0).clamp(0, s.wide as i64) as usize;
                let x_end = first(s.lens[1] as i64).clamp(x_from as i64, s.wide as i64) as usize;
                let x = (x_from as i64 + s.low[1]) * s.steps[1] + px;
                for row in 0..rows.len() + s.more {
                    let y = ((rows.start + row) as i64 + s.low[0]) * s.steps[0] + py;
                    if y < 0 || y >= s.lens[0] as i64 || x_from == x_end {
                        continue;
                    }
                    let to = &mut to[row * s.wide + x_from..row * s.wide + x_end];
                    // SAFETY: valid coordinates of the image.
                    unsafe {
                        let from = from.offset((base + y * s.strides[0] + x * s.strides[1]) as isize);
                        match s.strides[1] * s.steps[1] {
                            1 => copy_row(simd, from, to.as_mut_ptr(), to.len()),
                            // Steps that the compiler knows become shuffles.
                            2 => to.iter_mut().enumerate().for_each(|(i, x)| *x = *from.add(2 * i)),
                            step => {
                                let at = |i: usize| from.offset(step as isize * i as isize);
                                to.iter_mut().enumerate().for_each(|(i, x)| *x = *at(i));
                            }
                        }
                    }
                }
            }
        }
    }
}

fn gcd(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

fn last_two<T: Copy>(v: &[T]) -> [T; 2] {
    [v[v.len() - 2], v[v.len() - 1]]
}

/// The coordinates of B that walk the given pairs of sub-axes (position, tap). Where nothing is padded there are
/// none in the access, and the base says as much.
fn coordinates(c: &Contraction, axes: [(usize, usize); 2]) -> Option<[Coord; 2]> {
    let (base, batch) = (&c.b.base.strides, c.batch.len());
    let coords: Vec<Coord> = match &c.b.coords[..] {
        [y, x] if axes.iter().all(|&(o, t)| base[o] == 0 && base[t] == 0) => vec![y.clone(), x.clone()],
        [] => axes
            .iter()
            .filter(|&&(o, t)| base[o] > 0 && base[t] >= 0)
            .map(|&(o, t)| {
                let unit = gcd(base[o], base[t]);
                let mut affine = Affine::constant(base.len(), 0);
                (affine.strides[o], affine.strides[t]) = (base[o] / unit, base[t] / unit);
                Coord { affine, div: 1, len: 1 << 40, stride: unit }
            })
            .collect(),
        _ => return None,
    };
    let only = |c: &Coord, (o, t): (usize, usize)| {
        c.div == 1
            && c.affine.strides[o] >= 1
            && c.affine.strides[o] <= MAX_STEP
            && c.affine.strides.iter().enumerate().all(|(i, &s)| {
                let batch = i < batch && c.affine.strides[o] == 1;
                s == 0 || i == o || i == t || batch
            })
    };
    match &coords[..] {
        [y, x] if only(y, axes[0]) && only(x, axes[1]) => Some([y.clone(), x.clone()]),
        _ => None,
    }
}
