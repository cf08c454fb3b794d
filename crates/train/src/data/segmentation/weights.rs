//! How much each pixel counts: more between objects that nearly touch.

/// The weights of the paper (Ronneberger et al., 2015, equation 2): `w = w_c + w_0 exp(-(d1 + d2)^2 / (2 sigma^2))`, where d1 and
/// d2 are the distances to the nearest and the second nearest object, and w_c evens out the classes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WeightMap {
    /// w_c of the background and of the objects.
    pub classes: [f32; 2],
    /// w_0.
    pub border: f32,
    /// Sigma, in pixels.
    pub sigma: f32,
}

impl Default for WeightMap {
    /// The paper's: w_0 = 10 and sigma = 5, with classes that count alike.
    fn default() -> Self {
        WeightMap { classes: [1.0, 1.0], border: 10.0, sigma: 5.0 }
    }
}

/// Which pixels belong to objects once touching ones are set apart: those of the object with the greater number that touch
/// another object, at a side or at a corner, become background. What remains of two objects touches nowhere.
pub fn separated(objects: &[u16], [height, width]: [usize; 2]) -> Vec<bool> {
    let touches = |y: usize, x: usize, own: u16| {
        let rows = y.saturating_sub(1)..(y + 2).min(height);
        rows.into_iter().any(|y| {
            let line = &objects[y * width + x.saturating_sub(1)..y * width + (x + 2).min(width)];
            line.iter().any(|&other| other != 0 && other < own)
        })
    };
    (0..height * width).map(|i| objects[i] != 0 && !touches(i / width, i % width, objects[i])).collect()
}

impl WeightMap {
    /// The weight of each pixel. The exponential is added where there is no object (`inside` says where there is one: as
    /// [`separated`] gives it), and where it is above 10^-5 of w_0.
    ///
    /// # Panics
    /// When `objects` and `inside` have not one value for each pixel.
    pub fn weights(&self, objects: &[u16], inside: &[bool], size: [usize; 2]) -> Vec<f32> {
        assert_eq!((objects.len(), inside.len()), (size[0] * size[1], size[0] * size[1]), "one value for each pixel");
        let mut weights: Vec<f32> = inside.iter().map(|&inside| self.classes[usize::from(inside)]).collect();
        if self.border == 0.0 || self.sigma <= 0.0 {
            return weights;
        }
        let reach = (5.0 * self.sigma).ceil();
        // Both distances are at most `reach`.
        let nearest = two_nearest(objects, inside, size, reach as usize);
        for ((weight, &inside), [d1, d2]) in weights.iter_mut().zip(inside).zip(nearest) {
            if !inside && d1 + d2 <= reach {
                *weight += self.border * (-((d1 + d2) / self.sigma).powi(2) / 2.0).exp();
            }
        }
        weights
    }
}

/// For each pixel, the distances to the nearest pixels of the two nearest objects, as far as `reach`; infinite beyond.
fn two_nearest(objects: &[u16], inside: &[bool], [height, width]: [usize; 2], reach: usize) -> Vec<[f32; 2]> {
    let mut nearest = vec![[f32::INFINITY; 2]; height * width];
    // The box of each object: top, left, bottom, right, the last two exclusive.
    let mut boxes: Vec<Option<[usize; 4]>> = vec![None; usize::from(objects.iter().copied().max().unwrap_or(0)) + 1];
    for (i, &object) in objects.iter().enumerate().filter(|&(i, _)| inside[i]) {
        let (y, x) = (i / width, i % width);
        let b = boxes[usize::from(object)].get_or_insert([y, x, y + 1, x + 1]);
        *b = [b[0].min(y), b[1].min(x), b[2].max(y + 1), b[3].max(x + 1)];
    }
    for (object, found) in boxes.iter().enumerate() {
        let Some([top, left, bottom, right]) = *found else { continue };
        let (top, left) = (top.saturating_sub(reach), left.saturating_sub(reach));
        let (rows, columns) = ((bottom + reach).min(height) - top, (right + reach).min(width) - left);
        let is_of = |y: usize, x: usize| {
            let i = (top + y) * width + left + x;
            inside[i] && usize::from(objects[i]) == object
        };
        for (i, square) in squared_distances([rows, columns], is_of).into_iter().enumerate() {
            let distance = square.sqrt();
            let [d1, d2] = &mut nearest[(top + i / columns) * width + left + i % columns];
            if distance < *d1 {
                (*d1, *d2) = (distance, *d1);
            } else if distance < *d2 {
                *d2 = distance;
            }
        }
    }
    nearest
}

/// The squared distance of each pixel to the nearest one that `is_of` the set (Felzenszwalb and Huttenlocher, "Distance
/// transforms of sampled functions", 2012): along the columns first, then the lower envelope of parabolas along each row.
fn squared_distances([rows, columns]: [usize; 2], is_of: impl Fn(usize, usize) -> bool) -> Vec<f32> {
    let mut along = vec![f32::INFINITY; rows * columns];
    for x in 0..columns {
        let mut last = None;
        for y in (0..rows).chain((0..rows).rev()) {
            if is_of(y, x) {
                last = Some(y);
            }
            if let Some(last) = last {
                let place = &mut along[y * columns + x];
                *place = place.min((y.abs_diff(last) as f32).powi(2));
            }
        }
    }
    let mut result = vec![f32::INFINITY; rows * columns];
    // The parabolas of the envelope: their lowest places, and from where on they are the lowest.
    let mut hull: Vec<(usize, f32)> = Vec::with_capacity(columns);
    for (line, out) in along.chunks_exact(columns).zip(result.chunks_exact_mut(columns)) {
        hull.clear();
        for x in (0..columns).filter(|&x| line[x].is_finite()) {
            let meets = |other: usize| {
                let ahead = (x * x) as f32 - (other * other) as f32;
                (line[x] - line[other] + ahead) / (2 * (x - other)) as f32
            };
            while hull.last().is_some_and(|&(other, from)| meets(other) <= from) {
                hull.pop();
            }
            let from = hull.last().map_or(f32::NEG_INFINITY, |&(other, _)| meets(other));
            hull.push((x, from));
        }
        let mut k = 0;
        for x in (0..columns).take(if hull.is_empty() { 0 } else { columns }) {
            while hull.get(k + 1).is_some_and(|&(_, from)| from <= x as f32) {
                k += 1;
            }
            out[x] = (x.abs_diff(hull[k].0) as f32).powi(2) + line[hull[k].0];
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Objects as digits.
    fn map(rows: &[&str]) -> (Vec<u16>, [usize; 2]) {
        let digit = |c: char| c.to_digit(10).unwrap_or(0) as u16;
        (rows.iter().flat_map(|r| r.chars().map(digit)).collect(), [rows.len(), rows[0].len()])
    }

    #[test]
    fn touching_objects_are_set_apart() {
        let (objects, size) = map(&["1122.", "1122.", ".332.", "....4"]);
        let inside: String = separated(&objects, size).iter().map(|&i| if i { '#' } else { '.' }).collect();
        assert_eq!(inside, concat!("##.#.", "##.#.", "...#.", "....."));
    }

    /// The formula, with distances by brute force.
    #[test]
    fn weights_follow_the_formula() {
        let size = [40, 33];
        let [height, width] = size;
        // Four discs, two of which nearly touch, one cut by the border.
        let discs = [(8.0f32, 9.0f32, 6.0f32), (9.0, 22.0, 5.5), (30.0, 12.0, 7.0), (36.0, 32.0, 4.0)];
        let is_of = |y: usize, x: usize| {
            let disc = discs.iter().position(|d| (y as f32 - d.0).hypot(x as f32 - d.1) < d.2);
            disc.map_or(0, |d| d as u16 + 1)
        };
        let objects: Vec<u16> = (0..height * width).map(|i| is_of(i / width, i % width)).collect();
        let inside = separated(&objects, size);
        let map = WeightMap { classes: [0.5, 2.0], border: 10.0, sigma: 5.0 };
        let got = map.weights(&objects, &inside, size);
        let mut greatest = 0.0f32;
        for y in 0..height {
            for x in 0..width {
                let distance = |object: u16| -> f32 {
                    let pixels = (0..height * width).filter(|&i| objects[i] == object && inside[i]);
                    pixels
                        .map(|i| (y as f32 - (i / width) as f32).hypot(x as f32 - (i % width) as f32))
                        .fold(1e9, f32::min)
                };
                let mut all: Vec<f32> = (1..=4).map(distance).collect();
                all.sort_by(f32::total_cmp);
                let place = y * width + x;
                let border = 10.0 * (-(all[0] + all[1]).powi(2) / 50.0).exp();
                let expected = if inside[place] { 2.0 } else { 0.5 + border };
                assert!((got[place] - expected).abs() < 1e-4, "at {y}, {x}: {}, not {expected}", got[place]);
                greatest = greatest.max(got[place]);
            }
        }
        assert!(greatest > 8.0, "between the two that nearly touch: {greatest}");
    }

    #[test]
    fn no_objects_or_one() {
        let map = WeightMap::default();
        assert_eq!(map.weights(&[0; 6], &[false; 6], [2, 3]), [1.0; 6]);
        assert_eq!(map.weights(&[0, 7, 0, 0], &[false, true, false, false], [2, 2]), [1.0; 4]);
        assert!(map.weights(&[], &[], [0, 0]).is_empty());
    }
}
