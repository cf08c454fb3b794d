//! COCO's instances: one JSON file with images, categories and annotations.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{DetectionSet, annotation, inside, load_sized, read_limited};
use crate::atomic;
use crate::detection::{Object, Rect};
use crate::error::{DataError, TrainError};
use crate::picture::Picture;

/// The largest file that COCO has published is half of this.
const MAX_BYTES: u64 = 1 << 30;

#[derive(Serialize, Deserialize)]
struct File {
    images: Vec<Image>,
    annotations: Vec<Annotation>,
    categories: Vec<Category>,
}

#[derive(Serialize, Deserialize)]
struct Image {
    id: u64,
    file_name: String,
    width: usize,
    height: usize,
}

#[derive(Serialize, Deserialize)]
struct Annotation {
    #[serde(default)]
    id: u64,
    image_id: u64,
    category_id: u64,
    /// Left, top, width, height.
    bbox: [f64; 4],
    area: Option<f64>,
    #[serde(default)]
    iscrowd: u8,
    /// Corners of polygons, x and y in turn. Only written: masks of crowds have another form.
    #[serde(default, skip_deserializing)]
    segmentation: Vec<Vec<f32>>,
}

#[derive(Serialize, Deserialize)]
struct Category {
    id: u64,
    name: String,
}

/// The pictures of an instances file. Classes are its categories in the order of their ids; boxes are cut at the picture's
/// edges, and those without area (COCO has a few) are left out; crowds are marked as ignored.
#[derive(Clone, Debug)]
pub struct CocoSet {
    name: String,
    dir: PathBuf,
    classes: Vec<String>,
    /// File, size, objects.
    pictures: Vec<(String, [usize; 2], Vec<Object>)>,
}

impl CocoSet {
    /// The file `annotations`, whose pictures are in `dir`.
    ///
    /// # Errors
    /// When the file cannot be read, is no JSON of this kind, or contradicts itself.
    pub fn open(annotations: &Path, dir: &Path) -> Result<Self, DataError> {
        let wrong = |reason: String| annotation(annotations, reason);
        let bytes = read_limited(annotations, MAX_BYTES)?;
        let mut file: File = serde_json::from_slice(&bytes).map_err(|error| wrong(error.to_string()))?;
        drop(bytes);

        file.categories.sort_by_key(|c| c.id);
        let classes: HashMap<u64, usize> = file.categories.iter().enumerate().map(|(i, c)| (c.id, i)).collect();
        if classes.len() != file.categories.len() || classes.is_empty() {
            return Err(wrong("there are no categories, or two of one id".into()));
        }
        let places: HashMap<u64, usize> = file.images.iter().enumerate().map(|(i, image)| (image.id, i)).collect();
        if places.len() != file.images.len() {
            return Err(wrong("two images have one id".into()));
        }
        let mut pictures = Vec::with_capacity(file.images.len());
        for image in file.images {
            inside(dir, &image.file_name, annotations)?;
            if image.width == 0 || image.height == 0 {
                return Err(wrong(format!("image {} has no pixels", image.id)));
            }
            pictures.push((image.file_name, [image.width, image.height], Vec::new()));
        }
        for found in file.annotations {
            let unknown =
                |what: &str, id: u64| wrong(format!("annotation {} is of {what} {id}, which is not there", found.id));
            let place = *places.get(&found.image_id).ok_or_else(|| unknown("image", found.image_id))?;
            let class = *classes.get(&found.category_id).ok_or_else(|| unknown("category", found.category_id))?;
            if !found.bbox.iter().chain(&found.area).all(|v| v.is_finite() && v.abs() < 1e7) {
                return Err(wrong(format!("annotation {} has the box {:?}", found.id, found.bbox)));
            }
            let (_, [width, height], objects) = &mut pictures[place];
            let [left, top, wide, high] = found.bbox;
            let corners = [left, top, left + wide, top + high].map(|v| v as f32);
            let rect = Rect::new(corners[0], corners[1], corners[2], corners[3]).cut(&Rect::new(
                0.0,
                0.0,
                *width as f32,
                *height as f32,
            ));
            if rect.area() > 0.0 {
                let area = found.area.map(|v| v as f32);
                objects.push(Object { rect, class, ignored: found.iscrowd != 0, area });
            }
        }
        let names = file.categories.into_iter().map(|c| c.name).collect();
        Ok(Self { name: "coco".into(), dir: dir.into(), classes: names, pictures })
    }

    /// The part of a directory laid out as COCO's: `annotations/instances_<part>*.json`, of several the last by name, with
    /// the pictures in the directory `<part>*` of the same ending.
    ///
    /// # Errors
    /// When there is no such file, or it is not sound.
    pub fn part(root: &Path, part: &str) -> Result<Self, DataError> {
        let dir = root.join("annotations");
        let entries = std::fs::read_dir(&dir).map_err(|source| DataError::Read { path: dir.clone(), source })?;
        let prefix = format!("instances_{part}");
        let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        let file = names.filter(|name| name.starts_with(&prefix) && name.ends_with(".json")).max();
        let Some(file) = file else {
            let what = format!("file {prefix}*.json");
            return Err(DataError::Missing { what, path: dir, hint: "COCO's annotation files are needed".into() });
        };
        let pictures = file["instances_".len()..].trim_end_matches(".json").to_owned();
        Self::open(&dir.join(&file), &root.join(pictures))
    }
}

impl DetectionSet for CocoSet {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> usize {
        self.pictures.len()
    }

    fn class_names(&self) -> &[String] {
        &self.classes
    }

    fn size(&self, index: usize) -> Result<[usize; 2], DataError> {
        Ok(self.pictures[index].1)
    }

    fn picture(&self, index: usize) -> Result<Picture, DataError> {
        let (name, size, _) = &self.pictures[index];
        load_sized(&self.dir.join(name), *size)
    }

    fn objects(&self, index: usize) -> Result<Vec<Object>, DataError> {
        Ok(self.pictures[index].2.clone())
    }
}

/// Writes a data set in COCO's form into `root`: `annotations/instances_<part>.json`, and the pictures as PNG in `<part>/`.
/// Category ids count from 1, as COCO's do.
///
/// # Errors
/// When a picture cannot be read, or a file not be written.
pub fn write_coco(set: &dyn DetectionSet, root: &Path, part: &str) -> Result<(), TrainError> {
    let category = |(i, name): (usize, &String)| Category { id: i as u64 + 1, name: name.clone() };
    let categories = set.class_names().iter().enumerate().map(category).collect();
    let mut file = File { images: Vec::new(), annotations: Vec::new(), categories };
    for index in 0..set.len() {
        let picture = set.picture(index)?;
        let (id, file_name) = (index as u64 + 1, format!("{index:012}.png"));
        picture.save(root.join(part).join(&file_name))?;
        file.images.push(Image { id, file_name, width: picture.width(), height: picture.height() });
        let outlines = set.outlines(index)?;
        for (place, object) in set.objects(index)?.into_iter().enumerate() {
            let Rect { left, top, .. } = object.rect;
            file.annotations.push(Annotation {
                id: file.annotations.len() as u64 + 1,
                image_id: id,
                category_id: object.class as u64 + 1,
                bbox: [left, top, object.rect.width(), object.rect.height()].map(f64::from),
                area: Some(object.area.map_or_else(|| object.rect.area(), f64::from)),
                iscrowd: object.ignored.into(),
                segmentation: outlines.get(place).map(|o| vec![o.concat()]).unwrap_or_default(),
            });
        }
    }
    let dir = root.join("annotations");
    std::fs::create_dir_all(&dir).map_err(atomic::io("make the directory", &dir))?;
    let path = dir.join(format!("instances_{part}.json"));
    let bytes = serde_json::to_vec(&file).map_err(std::io::Error::other).map_err(atomic::io("write", &path))?;
    atomic::write(&path, &bytes)
}
