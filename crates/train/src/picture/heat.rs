//! Numbers as colours.

use super::{Colour, Picture};

/// From the least to the greatest: black, purple, red, orange, light yellow. Lighter is always more, so that it holds in grey.
const STOPS: [Colour; 5] = [[0, 0, 4], [87, 16, 110], [188, 55, 84], [249, 142, 9], [252, 255, 164]];

impl Picture {
    /// A heat map: a pixel for each of these values, rows from the top. The values of `range` are the darkest and the lightest
    /// colour; what lies outside is cut off, and NaN is darkest.
    ///
    /// # Panics
    /// When there are not `width * height` values.
    pub fn heat(values: &[f32], width: usize, height: usize, range: [f32; 2]) -> Self {
        assert_eq!(values.len(), width * height, "a heat map of {width}x{height}");
        let [least, greatest] = range;
        let pixels = values.iter().flat_map(|&v| colour_of((v - least) / (greatest - least)));
        Self::from_pixels(width, height, pixels.collect())
    }

    /// Mixes `other`, of the same size, into the picture: an `alpha` of 1 leaves nothing of the old one.
    ///
    /// # Panics
    /// When the sizes differ.
    pub fn blend(&mut self, other: &Self, alpha: f32) {
        assert_eq!((self.width(), self.height()), (other.width(), other.height()), "pictures of one size blend");
        for (old, &new) in self.pixels_mut().iter_mut().zip(other.pixels()) {
            *old = (f32::from(*old) * (1.0 - alpha) + f32::from(new) * alpha).round() as u8;
        }
    }
}

fn colour_of(share: f32) -> Colour {
    let last = STOPS.len() - 1;
    // The cast makes 0 of NaN.
    let at = share.clamp(0.0, 1.0) * last as f32;
    let below = (at as usize).min(last - 1);
    let part = if at.is_nan() { 0.0 } else { at - below as f32 };
    let mix = |i: usize| {
        let [a, b] = [STOPS[below][i], STOPS[below + 1][i]].map(f32::from);
        (a + (b - a) * part).round() as u8
    };
    [mix(0), mix(1), mix(2)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_is_lighter() {
        let values: Vec<f32> = (0..64).map(|i| i as f32).collect();
        let picture = Picture::heat(&values, 64, 1, [0.0, 63.0]);
        let light = |i: usize| picture.pixel(i, 0).iter().map(|&c| u32::from(c)).sum::<u32>();
        assert!((1..64).all(|i| light(i) > light(i - 1)));
        assert_eq!([picture.pixel(0, 0), picture.pixel(63, 0)], [STOPS[0], STOPS[4]]);
        let edges = Picture::heat(&[f32::NAN, -9.0, 9.0, 0.5], 2, 2, [0.0, 1.0]);
        let found: Vec<Colour> = [(0, 0), (1, 0), (0, 1), (1, 1)].map(|(x, y)| edges.pixel(x, y)).to_vec();
        assert_eq!(found, [STOPS[0], STOPS[0], STOPS[4], STOPS[2]]);
        // All values equal: nothing to tell apart, and no panic.
        assert_eq!(Picture::heat(&[1.0], 1, 1, [1.0, 1.0]).pixel(0, 0), STOPS[0]);
    }

    #[test]
    fn blending() {
        let mut picture = Picture::filled(1, 1, [100, 0, 50]);
        picture.blend(&Picture::filled(1, 1, [200, 10, 50]), 0.25);
        assert_eq!(picture.pixel(0, 0), [125, 3, 50]);
    }
}
