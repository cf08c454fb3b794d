//! A detection data set as a loader's examples, and a model's rows as detections.

use std::sync::Arc;

use super::super::source::{Example, Field, Source};
use super::{DetectionAugment, DetectionSet};
use crate::detection::{Detection, Letterbox, Rect, Suppression, suppress};
use crate::error::DataError;
use crate::rng::Stream;

/// A [`DetectionSet`] as a [`Source`]: "images" [3, size, size] from 0 to 1, "boxes" [most, 4] (centre x and y, width and
/// height, as parts of the image; all 0 where there are no more), "classes" `[most]`, and "index" [], the picture's number.
///
/// Objects that are to be ignored are left out. Of more than `most`, the largest are kept.
pub struct DetectionSource {
    set: Arc<dyn DetectionSet>,
    augment: DetectionAugment,
    size: usize,
    most: usize,
}

impl DetectionSource {
    /// The pictures of `set` in square frames, with at most `most` objects of each, changed as `augment` says.
    ///
    /// # Errors
    /// When `size` is 0.
    pub fn new(
        set: Arc<dyn DetectionSet>,
        size: usize,
        most: usize,
        augment: DetectionAugment,
    ) -> Result<Self, DataError> {
        if size == 0 {
            return Err(DataError::Invalid { name: set.name().into(), reason: "frames of 0 pixels".into() });
        }
        Ok(Self { set, augment, size, most: most.max(1) })
    }

    /// Width and height of every object, in pixels of the frame: what anchors are made of.
    ///
    /// # Errors
    /// When the set's annotations cannot be read.
    pub fn sizes(&self) -> Result<Vec<[f32; 2]>, DataError> {
        let mut sizes = Vec::new();
        for index in 0..self.set.len() {
            let letterbox = self.letterbox(index)?;
            for object in self.set.objects(index)?.iter().filter(|o| !o.ignored) {
                let rect = letterbox.rect(&object.rect);
                sizes.push([rect.width(), rect.height()]);
            }
        }
        Ok(sizes)
    }

    /// How picture `index` is fitted into its frame, if nothing is changed at random.
    ///
    /// # Errors
    /// When its size is not known.
    pub fn letterbox(&self, index: usize) -> Result<Letterbox, DataError> {
        let [width, height] = self.set.size(index)?;
        Ok(Letterbox::new(width, height, [self.size; 2]))
    }

    /// What a model's rows (see [`detections`]) say of picture `index`, in the picture's own pixels and cut at its edges, the
    /// surest first: of those of one class that overlap by more than 0.45, one; 100 at most. As Darknet judges.
    ///
    /// # Errors
    /// When the picture's size is not known.
    pub fn found(&self, index: usize, rows: &[f32], least: f32) -> Result<Vec<Detection>, DataError> {
        let ([width, height], letterbox) = (self.set.size(index)?, self.letterbox(index)?);
        let whole = Rect::new(0.0, 0.0, width as f32, height as f32);
        let all = detections(rows, self.set.class_names().len(), least);
        let kept = suppress(&all, 0.45, Suppression::PerClass, 100).into_iter();
        Ok(kept.map(|d| Detection { rect: letterbox.inverse(&d.rect).cut(&whole), ..d }).collect())
    }
}

impl Source for DetectionSource {
    fn name(&self) -> &str {
        self.set.name()
    }

    fn len(&self) -> usize {
        self.set.len()
    }

    fn fields(&self) -> Vec<Field> {
        vec![
            Field::f32("images", [3, self.size, self.size]),
            Field::f32("boxes", [self.most, 4]),
            Field::u32("classes", [self.most]),
            Field::u32("index", []),
        ]
    }

    fn read(&self, index: usize, stream: &mut Stream, out: &mut Example<'_>) -> Result<(), DataError> {
        let (picture, objects) = (self.set.picture(index)?, self.set.objects(index)?);
        let (framed, mut objects) = self.augment.apply(&picture, &objects, [self.size; 2], stream);
        framed.write_chw(out.f32("images"), [0.0, 1.0]);
        objects.retain(|o| !o.ignored && o.rect.width() > 0.0 && o.rect.height() > 0.0);
        objects.sort_by(|a, b| b.rect.area().total_cmp(&a.rect.area()));
        objects.truncate(self.most);
        let scale = 1.0 / self.size as f32;
        for (row, object) in out.f32("boxes").chunks_exact_mut(4).zip(&objects) {
            let [x, y] = object.rect.centre();
            row.copy_from_slice(&[x, y, object.rect.width(), object.rect.height()].map(|v| v * scale));
        }
        for (class, object) in out.u32("classes").iter_mut().zip(&objects) {
            *class = object.class as u32;
        }
        out.u32("index")[0] = index as u32;
        Ok(())
    }

    fn describe(&self) -> String {
        let Self { size, .. } = self;
        format!("3x{size}x{size}, {} classes", self.set.class_names().len())
    }
}

/// The detections in rows of one picture, each centre x and y, width, height, the probability of an object and that of each
/// class if so: one for each class whose product with the object's is at least `least`. Rows with NaN or infinity give none.
pub fn detections(rows: &[f32], classes: usize, least: f32) -> Vec<Detection> {
    let mut found = Vec::new();
    for row in rows.chunks_exact(5 + classes) {
        if row[4] < least || !row.iter().all(|v| v.is_finite()) {
            continue;
        }
        for (class, probability) in row[5..].iter().enumerate() {
            let score = row[4] * probability;
            if score >= least {
                found.push(Detection { rect: Rect::from_centre(row[0], row[1], row[2], row[3]), class, score });
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::ShapeSet;
    use super::*;
    use crate::data::{Loader, LoaderOptions};

    #[test]
    fn examples_have_the_objects_as_parts_of_the_image() {
        let set = Arc::new(ShapeSet::new(6, [60, 40], 1, 0).unwrap());
        let source = DetectionSource::new(set.clone(), 48, 8, DetectionAugment::default()).unwrap();
        let (sizes, letterbox) = (source.sizes().unwrap(), source.letterbox(2).unwrap());
        let loader = Loader::new(source, LoaderOptions::test(6)).unwrap();
        let batch = loader.epoch(0, 0).unwrap().next().unwrap().unwrap();
        assert_eq!(batch.u32("index"), [0, 1, 2, 3, 4, 5]);
        assert_eq!(batch.f32("images").len(), 6 * 3 * 48 * 48);
        assert!(batch.f32("images").iter().all(|v| (0.0..=1.0).contains(v)));
        let mut objects = set.objects(2).unwrap();
        objects.sort_by(|a, b| b.rect.area().total_cmp(&a.rect.area()));
        for (place, object) in objects.iter().enumerate() {
            let row = &batch.f32("boxes")[(2 * 8 + place) * 4..][..4];
            let [x, y] = letterbox.rect(&object.rect).centre();
            assert!((row[0] * 48.0 - x).abs() < 1e-3 && (row[1] * 48.0 - y).abs() < 1e-3);
            assert!((row[2] * 48.0 - 0.8 * object.rect.width()).abs() < 1e-3);
            assert_eq!(batch.u32("classes")[2 * 8 + place], object.class as u32);
        }
        assert!(batch.f32("boxes")[(2 * 8 + objects.len()) * 4..3 * 8 * 4].iter().all(|&v| v == 0.0));
        assert_eq!(sizes.len(), (0..6).map(|i| set.objects(i).unwrap().len()).sum::<usize>());
        assert!(DetectionSource::new(set, 0, 8, DetectionAugment::default()).is_err());
    }

    #[test]
    fn what_is_found_is_in_the_pictures_pixels() {
        // 60 x 40 in a frame of 48: by 0.8, and 8 pixels down.
        let set = Arc::new(ShapeSet::new(1, [60, 40], 1, 0).unwrap());
        let source = DetectionSource::new(set, 48, 8, DetectionAugment::default()).unwrap();
        let row = |x: f32, y: f32, score: f32| [x, y, 8.0, 16.0, score, 0.0, 1.0, 0.0, 0.0, 0.0];
        let rows = [row(24.0, 24.0, 0.8), row(25.0, 24.0, 0.9), row(2.0, 10.0, 0.5), row(40.0, 24.0, 0.1)].concat();
        let found = source.found(0, &rows, 0.2).unwrap();
        let expected = [(Rect::new(26.25, 10.0, 36.25, 30.0), 0.9), (Rect::new(0.0, 0.0, 7.5, 12.5), 0.5)];
        assert_eq!(found.len(), 2);
        for (found, (rect, score)) in found.iter().zip(expected) {
            assert!(found.rect.iou(&rect) > 0.9999 && (found.score, found.class) == (score, 1), "{found:?}");
        }
    }

    #[test]
    fn rows_become_detections() {
        let rows = [
            10.0,
            20.0,
            4.0,
            6.0,
            0.8,
            0.9,
            0.5,
            1.0,
            1.0,
            1.0,
            1.0,
            0.1,
            1.0,
            1.0,
            f32::INFINITY,
            0.0,
            1.0,
            1.0,
            0.9,
            1.0,
            1.0,
        ];
        let found = detections(&rows, 2, 0.3);
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].rect, found[0].class), (Rect::new(8.0, 17.0, 12.0, 23.0), 0));
        assert!((found[1].score - 0.4).abs() < 1e-6 && found[1].class == 1);
        assert_eq!(detections(&rows, 2, 0.5).len(), 1);
    }
}
