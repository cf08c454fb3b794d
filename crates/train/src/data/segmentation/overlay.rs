//! What is true and what is predicted, drawn on the image.

use super::IGNORE;
use crate::picture::{BLACK, GREEN, Picture, RED};

/// The middle of an image, twice as large, with the outlines of each class but 0: those of `labels` green, of `answers` red;
/// what is labelled [`IGNORE`] is black. The image is [channels, height, width] with mean 0 and deviation 1, `place` the height
/// and width of the other two. Of channels other than 3, the first is shown.
///
/// # Panics
/// When the numbers of values do not fit the sizes, or `place` is larger than the image.
pub fn overlay(
    values: &[f32],
    [channels, height, width]: [usize; 3],
    labels: &[u32],
    answers: &[u32],
    place: [usize; 2],
) -> Picture {
    let shown = if channels == 3 { values } else { &values[..height * width] };
    let shape = [if channels == 3 { 3 } else { 1 }, height, width];
    let picture = Picture::from_chw(shown, shape, [-2.0, 3.5]);
    let corner = [(width - place[1]) / 2, (height - place[0]) / 2].map(|v| v as i64);
    let mut picture = picture.cropped(corner[0], corner[1], place[1], place[0], BLACK).enlarged(2);
    let at = |i: usize| i / 2 / (2 * place[1]) * place[1] + i % (2 * place[1]) / 2;
    let outside: Vec<bool> = (0..4 * place[0] * place[1]).map(|i| labels[at(i)] == IGNORE).collect();
    picture.overlay(&outside, BLACK, 1.0);
    let classes = labels.iter().chain(answers).filter(|&&c| c != IGNORE).max().map_or(0, |&c| c);
    for class in 1..=classes {
        for (numbers, colour) in [(labels, GREEN), (answers, RED)] {
            let mask: Vec<bool> = (0..outside.len()).map(|i| !outside[i] && numbers[at(i)] == class).collect();
            picture.outline_mask(&mask, colour);
        }
    }
    picture
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outlines_lie_about_the_middle() {
        // A 4x4 image whose middle 2x2 is labelled: one pixel true, none predicted.
        let picture = overlay(&[0.0; 16], [1, 4, 4], &[0, 1, 0, 0], &[0, 0, 0, 0], [2, 2]);
        let green: Vec<usize> = (0..16).filter(|&i| picture.pixel(i % 4, i / 4) == GREEN).collect();
        assert_eq!(green, [2, 6, 7], "the corner of the two by two pixels is the picture's own");
    }
}
