//! Random changes of a picture together with its boxes.

use crate::detection::{Letterbox, Object, Rect};
use crate::picture::Picture;
use crate::rng::Stream;

/// Random changes that keep what is to be seen, drawn for each picture and epoch anew. Names and ranges follow Darknet's cfg
/// files and its `load_data_detection`. The default changes nothing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DetectionAugment {
    /// Mirrors left and right, for one picture in two.
    pub flip: bool,
    /// Changes the proportions: each side by up to this part of it.
    pub jitter: f32,
    /// The picture's size, where 1 fits the frame: between these. What is larger is cut, at a random place; what is smaller is
    /// placed at random.
    pub scale: [f32; 2],
    /// Turns the hue by up to this part of the circle.
    pub hue: f32,
    /// Multiplies or divides the saturation by up to this.
    pub saturation: f32,
    /// Multiplies or divides the brightness by up to this.
    pub exposure: f32,
}

impl Default for DetectionAugment {
    fn default() -> Self {
        Self { flip: false, jitter: 0.0, scale: [1.0, 1.0], hue: 0.0, saturation: 1.0, exposure: 1.0 }
    }
}

impl DetectionAugment {
    /// What yolov3.cfg has: flip, jitter 0.3, scale 0.25 to 2, hue 0.1, saturation and exposure 1.5.
    pub fn yolov3() -> Self {
        Self { flip: true, jitter: 0.3, scale: [0.25, 2.0], hue: 0.1, saturation: 1.5, exposure: 1.5 }
    }

    /// A picture and its objects in a frame of `size` (width, height), changed as `stream` decides. Objects that lose more
    /// than three quarters of their box are gone.
    pub fn apply(
        &self,
        picture: &Picture,
        objects: &[Object],
        size: [usize; 2],
        stream: &mut Stream,
    ) -> (Picture, Vec<Object>) {
        // The same number of words for every setting: one option does not change what another draws.
        let mut unit = || stream.uniform(0.0, 1.0);
        let (flip, wide, high, scale, x, y) = (unit() < 0.5, unit(), unit(), unit(), unit(), unit());
        let colours = [unit(), unit(), unit(), unit(), unit()];
        let geometry = Self { hue: 0.0, saturation: 1.0, exposure: 1.0, flip: false, ..*self };
        let (mut framed, mut objects) = if geometry == Self::default() {
            let letterbox = Letterbox::new(picture.width(), picture.height(), size);
            let moved = objects.iter().map(|o| Object { rect: letterbox.rect(&o.rect), ..*o }).collect();
            (letterbox.apply(picture), moved)
        } else {
            self.place(picture, objects, size, [wide, high, scale, x, y])
        };
        if self.flip && flip {
            framed = framed.mirrored();
            for object in &mut objects {
                let (left, right) = (object.rect.left, object.rect.right);
                (object.rect.left, object.rect.right) = (size[0] as f32 - right, size[0] as f32 - left);
            }
        }
        self.recolour(&mut framed, colours);
        (framed, objects)
    }

    /// Resizes and moves; all of `random` is between 0 and 1.
    fn place(
        &self,
        picture: &Picture,
        objects: &[Object],
        size: [usize; 2],
        [wide, high, scale, x, y]: [f32; 5],
    ) -> (Picture, Vec<Object>) {
        let [width, height] = [picture.width().max(1) as f32, picture.height().max(1) as f32];
        let jittered = |side: f32, unit: f32| side * (1.0 + self.jitter * (2.0 * unit - 1.0));
        let (wide, high) = (jittered(width, wide), jittered(height, high));
        let fit = (size[0] as f32 / wide).min(size[1] as f32 / high);
        let scale = fit * (self.scale[0] + (self.scale[1] - self.scale[0]) * scale);
        let new = [wide * scale, high * scale].map(|v| (v.round() as usize).clamp(1, 8192));
        let shift: [f32; 2] = std::array::from_fn(|d| ((size[d] as f32 - new[d] as f32) * [x, y][d]).round());
        let mut framed = Picture::filled(size[0], size[1], Letterbox::BORDER);
        framed.paste(&picture.resized(new[0], new[1]), shift[0] as i64, shift[1] as i64);
        let frame = Rect::new(0.0, 0.0, size[0] as f32, size[1] as f32);
        let scale = [new[0] as f32 / width, new[1] as f32 / height];
        let seen = |object: &Object| {
            let whole = object.rect.mapped(scale, shift);
            let rect = whole.cut(&frame);
            (rect.area() > 0.25 * whole.area()).then_some(Object { rect, area: None, ..*object })
        };
        (framed, objects.iter().filter_map(seen).collect())
    }

    /// Changes hue, saturation and brightness of every pixel alike.
    fn recolour(&self, picture: &mut Picture, [hue, saturation, s_up, exposure, e_up]: [f32; 5]) {
        let factor = |most: f32, unit: f32, up: f32| {
            let by = 1.0 + (most - 1.0) * unit;
            if up < 0.5 { by } else { 1.0 / by }
        };
        let (saturation, exposure) = (factor(self.saturation, saturation, s_up), factor(self.exposure, exposure, e_up));
        let hue = self.hue * (2.0 * hue - 1.0);
        if (hue, saturation, exposure) == (0.0, 1.0, 1.0) {
            return;
        }
        for pixel in picture.pixels_mut().chunks_exact_mut(3) {
            let [h, s, v] = to_hsv([pixel[0], pixel[1], pixel[2]]);
            let colour = to_rgb([h + hue, (s * saturation).min(1.0), (v * exposure).min(1.0)]);
            pixel.copy_from_slice(&colour);
        }
    }
}

/// Hue as a part of the circle, saturation and value, all from 0 to 1.
fn to_hsv(rgb: [u8; 3]) -> [f32; 3] {
    let [r, g, b] = rgb.map(|v| f32::from(v) / 255.0);
    let (most, least) = (r.max(g).max(b), r.min(g).min(b));
    let range = most - least;
    let hue = match range {
        0.0 => 0.0,
        _ if most == r => ((g - b) / range).rem_euclid(6.0),
        _ if most == g => (b - r) / range + 2.0,
        _ => (r - g) / range + 4.0,
    };
    [hue / 6.0, if most > 0.0 { range / most } else { 0.0 }, most]
}

fn to_rgb([hue, saturation, value]: [f32; 3]) -> [u8; 3] {
    let part = |offset: f32| {
        let k = (offset + hue.rem_euclid(1.0) * 6.0) % 6.0;
        let v = value - value * saturation * k.min(4.0 - k).clamp(0.0, 1.0);
        (v * 255.0).round() as u8
    };
    [part(5.0), part(3.0), part(1.0)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Purpose;

    fn stream(index: usize) -> Stream {
        Stream::new(1, Purpose::Augment, 0, index)
    }

    /// A white block on black, and its box.
    fn block() -> (Picture, Vec<Object>) {
        let mut picture = Picture::new(60, 40);
        picture.fill([12, 8, 36, 26], [255; 3]);
        (picture, vec![Object::new(Rect::new(12.0, 8.0, 36.0, 26.0), 3)])
    }

    #[test]
    fn colours_go_there_and_back() {
        for rgb in [[0, 0, 0], [255, 255, 255], [200, 30, 99], [1, 2, 3], [9, 250, 17], [40, 41, 200], [250, 20, 21]] {
            assert_eq!(to_rgb(to_hsv(rgb)), rgb);
        }
        assert_eq!(to_hsv([0, 255, 0]), [1.0 / 3.0, 1.0, 1.0]);
    }

    #[test]
    fn nothing_but_the_frame_by_default() {
        let (picture, objects) = block();
        let (framed, moved) = DetectionAugment::default().apply(&picture, &objects, [60, 60], &mut stream(0));
        assert_eq!(framed, Letterbox::new(60, 40, [60, 60]).apply(&picture));
        assert_eq!(moved[0].rect, Rect::new(12.0, 18.0, 36.0, 36.0));
    }

    #[test]
    fn boxes_move_with_their_pictures() {
        let (picture, objects) = block();
        let augment = DetectionAugment { hue: 0.0, saturation: 1.0, exposure: 1.0, ..DetectionAugment::yolov3() };
        let (mut gone, mut seen) = (0, 0);
        for index in 0..200 {
            let (framed, moved) = augment.apply(&picture, &objects, [64, 48], &mut stream(index));
            assert_eq!((framed.width(), framed.height()), (64, 48));
            let Some(object) = moved.first() else {
                gone += 1;
                continue;
            };
            let bright: Vec<[f32; 2]> = (0..64 * 48)
                .map(|at| (at % 64, at / 64))
                .filter(|&(x, y)| framed.pixel(x, y)[0] > 140)
                .map(|(x, y)| [x as f32 + 0.5, y as f32 + 0.5])
                .collect();
            let edge =
                |d: usize, better: fn(f32, f32) -> f32, from: f32| bright.iter().map(|p| p[d]).fold(from, better);
            let found =
                [edge(0, f32::min, 99.0), edge(1, f32::min, 99.0), edge(0, f32::max, 0.0), edge(1, f32::max, 0.0)];
            let off = found.iter().zip(object.rect.corners()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(off < 1.6, "{found:?} {:?} in picture {index}", object.rect);
            seen += usize::from(object.class == 3);
        }
        assert!(seen > 150 && gone > 0, "{seen} seen, {gone} gone");
    }

    #[test]
    fn the_same_stream_gives_the_same_picture() {
        let (picture, objects) = block();
        let once = |index| DetectionAugment::yolov3().apply(&picture, &objects, [48, 48], &mut stream(index));
        assert_eq!(once(4), once(4));
        assert_ne!(once(4).0, once(5).0);
    }
}
