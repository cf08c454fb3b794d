//! Pictures with boxes.

use super::boxes::{Detection, Object};
use crate::picture::{Picture, WHITE, colour};

/// The picture, `scale` times as large, with what is on it as thin white boxes, and what was found as boxes in the colours of
/// their classes, with names and scores.
pub fn annotated(
    picture: &Picture,
    scale: usize,
    objects: &[Object],
    found: &[Detection],
    names: &[String],
) -> Picture {
    let mut large = picture.enlarged(scale);
    let times = |corners: [f32; 4]| corners.map(|v| v * scale as f32);
    for object in objects {
        large.outline(times(object.rect.corners()), WHITE, 1);
    }
    for detection in found {
        large.outline(times(detection.rect.corners()), colour(detection.class), 2);
    }
    // The surest is written last, over the others.
    for detection in found.iter().rev() {
        let name = names.get(detection.class).map_or("?", String::as_str);
        let [left, top, ..] = times(detection.rect.corners());
        large.label(left, top, &format!("{name} {:.2}", detection.score), colour(detection.class));
    }
    large
}

#[cfg(test)]
mod tests {
    use super::super::boxes::Rect;
    use super::*;

    #[test]
    fn boxes_lie_where_they_should() {
        let rect = Rect::new(10.0, 20.0, 30.0, 40.0);
        let picture = Picture::new(50, 50);
        let found = Detection { rect: Rect::new(12.0, 22.0, 28.0, 38.0), class: 1, score: 0.5 };
        let drawn = annotated(&picture, 2, &[Object::new(rect, 0)], &[found], &[]);
        assert_eq!((drawn.width(), drawn.pixel(20, 79), drawn.pixel(59, 60)), (100, WHITE, WHITE));
        assert_eq!((drawn.pixel(24, 60), drawn.pixel(55, 75)), (colour(1), colour(1)));
    }
}
