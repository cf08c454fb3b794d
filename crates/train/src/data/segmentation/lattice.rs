//! Smooth random fields: a few random numbers on a coarse grid, and cubic curves through them.

use crate::rng::Stream;

/// Numbers of a normal distribution on a square grid of `side` by `side` nodes.
#[derive(Clone, Debug)]
pub(super) struct Lattice {
    side: usize,
    nodes: Vec<f32>,
}

impl Lattice {
    pub fn random(side: usize, deviation: f32, stream: &mut Stream) -> Lattice {
        Lattice { side, nodes: (0..side * side).map(|_| deviation * stream.normal()).collect() }
    }

    /// The field over `height` by `width` pixels, the outer nodes on the outer pixels: bicubic (Catmull and Rom), through all
    /// nodes. Beyond the grid the nodes at its border go on.
    pub fn field(&self, height: usize, width: usize) -> Vec<f32> {
        let columns: Vec<_> = (0..width).map(|x| taps(x, width, self.side)).collect();
        let mut field = Vec::with_capacity(height * width);
        for y in 0..height {
            let (rows, weights) = taps(y, height, self.side);
            let node = |row: usize, column: usize| self.nodes[row * self.side + column];
            // The curve along y first: it is shared by the whole line.
            let line: Vec<f32> = (0..self.side)
                .map(|column| rows.iter().zip(&weights).map(|(&row, w)| w * node(row, column)).sum())
                .collect();
            field
                .extend(columns.iter().map(|(places, w)| places.iter().zip(w).map(|(&c, w)| w * line[c]).sum::<f32>()));
        }
        field
    }
}

/// The four nodes about pixel `i` of `pixels`, and their weights.
fn taps(i: usize, pixels: usize, side: usize) -> ([usize; 4], [f32; 4]) {
    let place = i as f32 * (side - 1) as f32 / (pixels.max(2) - 1) as f32;
    let first = place.floor();
    let t = place - first;
    let weights = [
        ((2.0 - t) * t - 1.0) * t / 2.0,
        ((3.0 * t - 5.0) * t * t + 2.0) / 2.0,
        ((4.0 - 3.0 * t) * t + 1.0) * t / 2.0,
        (t - 1.0) * t * t / 2.0,
    ];
    (std::array::from_fn(|k| (first as usize + k).saturating_sub(1).min(side - 1)), weights)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Purpose;

    #[test]
    fn curves_go_through_the_nodes_and_keep_planes() {
        let lattice = Lattice::random(3, 2.0, &mut Stream::new(1, Purpose::Augment, 0, 0));
        let field = lattice.field(11, 21);
        for (node, value) in lattice.nodes.iter().enumerate() {
            assert!((field[node / 3 * 5 * 21 + node % 3 * 10] - value).abs() < 1e-5);
        }
        // Between the inner nodes of a plane all is the plane.
        let plane = Lattice { side: 4, nodes: (0..16).map(|i| (i / 4) as f32 * 3.0 - (i % 4) as f32).collect() };
        let field = plane.field(31, 31);
        for y in 10..=20 {
            for x in 10..=20 {
                assert!((field[y * 31 + x] - (y as f32 * 0.3 - x as f32 * 0.1)).abs() < 1e-4);
            }
        }
    }

    #[test]
    fn neighbouring_pixels_differ_little() {
        let field = Lattice::random(3, 10.0, &mut Stream::new(2, Purpose::Augment, 0, 0)).field(96, 96);
        let steps = field.chunks(96).flat_map(|line| line.windows(2).map(|w| (w[1] - w[0]).abs()));
        let greatest = steps.fold(0.0, f32::max);
        assert!(greatest > 0.01 && greatest < 1.5, "{greatest}");
        assert_eq!(Lattice { side: 1, nodes: vec![3.0] }.field(1, 2), [3.0, 3.0]);
    }
}
