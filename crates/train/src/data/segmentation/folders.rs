//! Pictures with masks, in folders.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::{Outlined, OutlinedImages};
use crate::error::DataError;
use crate::picture::Picture;
use crate::rng::{Purpose, Stream};

/// All images of a data set together may have so many pixels: they are kept in memory, at 3 or 5 bytes a pixel.
const MAX_PIXELS: usize = 1 << 28;

/// The names that the folders of images and masks go by.
const PAIRS: &[(&str, &str)] = &[("images", "masks"), ("images", "labels"), ("image", "label"), ("image", "mask")];

/// Reads images whose objects are outlined by masks, into a part to learn from and one to be judged by: the folders `train` and
/// `test` in `dir` where there are both, else every fifth image, drawn at random but always the same, is for judging. Images are
/// PNG or JPEG, masks PNG of the image's size. Two layouts are known:
///
/// - a folder for each image with `images`, which has one, and `masks`, which has one for each object, bright on black: that of
///   the 2018 Data Science Bowl (`stage1_train`);
/// - a folder of `images` and one of `masks` (or `image` and `label`, as the ISBI challenge's are often called), whose files have
///   equal names but for the ending. In such a mask, every connected region of one colour is an object, and black is none: so it
///   may be black and white, or have a colour for each object.
///
/// `channels` is 1 (colours are turned into grey) or 3.
///
/// # Errors
/// When files are missing, unsound or do not go together, or are too much for memory.
pub fn open_masks(dir: &Path, channels: usize) -> Result<(OutlinedImages, OutlinedImages), DataError> {
    if channels != 1 && channels != 3 {
        return Err(invalid(dir, format!("{channels} channels: choose 1 or 3")));
    }
    let parts = [dir.join("train"), dir.join("test")];
    if parts.iter().all(|p| p.is_dir()) {
        let mut room = MAX_PIXELS;
        let [learn, judge] = parts.map(|p| read_part(&p, channels, &mut room));
        return Ok((named(dir, channels, learn?), named(dir, channels, judge?)));
    }
    let mut images = read_part(dir, channels, &mut MAX_PIXELS.clone())?;
    Stream::new(0, Purpose::Split, 0, 0).shuffle(&mut images);
    let judged = images.len().div_ceil(5);
    if images.len() < 2 {
        return Err(invalid(
            dir,
            "one image alone cannot be split into a part to learn from and one to be judged by".into(),
        ));
    }
    let learn = images.split_off(judged);
    Ok((named(dir, channels, learn), named(dir, channels, images)))
}

fn named(dir: &Path, channels: usize, images: Vec<Outlined>) -> OutlinedImages {
    let name = dir.file_name().map_or_else(|| dir.display().to_string(), |n| n.to_string_lossy().into_owned());
    OutlinedImages { name, channels, images }
}

fn invalid(path: &Path, reason: String) -> DataError {
    DataError::Invalid { name: path.display().to_string(), reason }
}

/// The images of one folder, in the order of their names.
fn read_part(dir: &Path, channels: usize, room: &mut usize) -> Result<Vec<Outlined>, DataError> {
    let hint =
        "give the directory of images with masks, in one of the layouts that the documentation of open_masks has";
    let missing = |what: &str| DataError::Missing { what: what.into(), path: dir.into(), hint: hint.into() };
    if !dir.is_dir() {
        return Err(missing("data directory"));
    }
    let mut outlined = vec![];
    let pair = PAIRS.iter().map(|(i, m)| (dir.join(i), dir.join(m))).find(|(i, m)| i.is_dir() && m.is_dir());
    if let Some((images, masks)) = pair {
        let masks = pictures(&masks)?;
        for (stem, image) in pictures(&images)? {
            let mask = masks.get(&stem).ok_or_else(|| DataError::Missing {
                what: "mask".into(),
                path: image.clone(),
                hint: "each image needs a PNG mask of the same name in the folder beside".into(),
            })?;
            outlined.push(read(&image, channels, room, |size| regions(mask, size))?);
        }
    } else {
        for folder in entries(dir)? {
            let (images, masks) = (folder.join("images"), folder.join("masks"));
            if !images.is_dir() || !masks.is_dir() {
                continue;
            }
            let images = pictures(&images)?;
            let Some(image) = images.values().next().filter(|_| images.len() == 1) else {
                return Err(invalid(
                    &folder,
                    format!("{} pictures in its folder of images; one expected", images.len()),
                ));
            };
            let masks = pictures(&masks)?;
            outlined.push(read(image, channels, room, |size| one_by_one(masks.values(), size))?);
        }
    }
    if outlined.is_empty() { Err(missing("images with masks")) } else { Ok(outlined) }
}

/// What is in a folder, by name; hidden files apart.
fn entries(dir: &Path) -> Result<Vec<PathBuf>, DataError> {
    let failed = |source| DataError::Read { path: dir.into(), source };
    let mut paths = vec![];
    for entry in fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if !entry.file_name().to_string_lossy().starts_with('.') {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

/// The PNG and JPEG files of a folder by their names without the ending.
fn pictures(dir: &Path) -> Result<BTreeMap<String, PathBuf>, DataError> {
    let mut found = BTreeMap::new();
    for path in entries(dir)? {
        let ending = path.extension().map(|e| e.to_string_lossy().to_lowercase()).unwrap_or_default();
        if let ("png" | "jpg" | "jpeg", Some(stem)) = (ending.as_str(), path.file_stem()) {
            let stem = stem.to_string_lossy().into_owned();
            if let Some(other) = found.insert(stem, path.clone()) {
                return Err(invalid(&path, format!("{} has the same name but for its ending", other.display())));
            }
        }
    }
    Ok(found)
}

/// An image with the objects that `objects` finds for its height and width.
fn read(
    path: &Path,
    channels: usize,
    room: &mut usize,
    objects: impl FnOnce([usize; 2]) -> Result<Vec<u16>, DataError>,
) -> Result<Outlined, DataError> {
    let picture = Picture::load(path)?;
    let size = [picture.height(), picture.width()];
    let pixels = size[0] * size[1];
    *room = room.checked_sub(pixels).ok_or_else(|| {
        invalid(path, format!("with this image there are more than {MAX_PIXELS} pixels: give a part of the data set"))
    })?;
    let picture = if channels == 1 { picture.to_grey() } else { picture };
    let values = picture.pixels().chunks_exact(3);
    let image = (0..channels).flat_map(|c| values.clone().map(move |p| p[c])).collect();
    Ok(Outlined { size, image, objects: objects(size)? })
}

/// A mask of the image's size.
fn mask(path: &Path, [height, width]: [usize; 2]) -> Result<Picture, DataError> {
    let picture = Picture::load(path)?;
    if (picture.height(), picture.width()) != (height, width) {
        let found = format!("{}x{}", picture.width(), picture.height());
        return Err(invalid(path, format!("the mask has {found} pixels, its image {width}x{height}")));
    }
    Ok(picture)
}

fn number(path: &Path, objects: usize) -> Result<u16, DataError> {
    u16::try_from(objects).map_err(|_| invalid(path, format!("more than {} objects in one image", u16::MAX)))
}

/// Every mask is an object.
fn one_by_one<'a>(masks: impl Iterator<Item = &'a PathBuf>, size: [usize; 2]) -> Result<Vec<u16>, DataError> {
    let mut objects = vec![0; size[0] * size[1]];
    for (i, path) in masks.enumerate() {
        let object = number(path, i + 1)?;
        for (place, pixel) in objects.iter_mut().zip(mask(path, size)?.pixels().chunks_exact(3)) {
            // Black is 0; what is dark but not black is a softened edge.
            if pixel.iter().any(|&v| v >= 128) {
                *place = object;
            }
        }
    }
    Ok(objects)
}

/// Every connected region of one colour is an object.
fn regions(path: &Path, size: [usize; 2]) -> Result<Vec<u16>, DataError> {
    let picture = mask(path, size)?;
    let colour = |i: usize| &picture.pixels()[3 * i..3 * i + 3];
    let [height, width] = size;
    let mut objects = vec![0u16; height * width];
    let (mut count, mut open) = (0, vec![]);
    for start in 0..height * width {
        if objects[start] != 0 || colour(start) == [0; 3] {
            continue;
        }
        count += 1;
        let object = number(path, count)?;
        objects[start] = object;
        open.push(start);
        while let Some(i) = open.pop() {
            let (y, x) = (i / width, i % width);
            let beside = [
                (y > 0).then(|| i - width),
                (y + 1 < height).then_some(i + width),
                (x > 0).then(|| i - 1),
                (x + 1 < width).then_some(i + 1),
            ];
            for next in beside.into_iter().flatten() {
                if objects[next] == 0 && colour(next) == colour(start) {
                    objects[next] = object;
                    open.push(next);
                }
            }
        }
    }
    Ok(objects)
}

#[cfg(test)]
mod tests {
    use super::super::OutlinedSet;
    use super::*;
    use crate::picture::{BLACK, Colour, WHITE};
    use crate::testing::TempDir;

    fn save(path: PathBuf, rows: &[&str]) {
        let colour = |c: char| -> Colour {
            match c {
                '.' => BLACK,
                '#' => WHITE,
                digit => [digit as u8, 7, 9],
            }
        };
        let pixels = rows.iter().flat_map(|r| r.chars().flat_map(colour)).collect();
        Picture::from_pixels(rows[0].len(), rows.len(), pixels).save(path).unwrap();
    }

    #[test]
    fn a_mask_for_each_image() {
        let dir = TempDir::new("masks");
        for name in ["a", "b", "c", "d", "e", "f"] {
            save(dir.path().join(format!("image/{name}.png")), &["#....", "....."]);
            save(dir.path().join(format!("label/{name}.png")), &["##.1#", "...12"]);
        }
        let (learn, judge) = open_masks(dir.path(), 1).unwrap();
        assert_eq!((learn.len(), judge.len(), learn.channels(), learn.size(3)), (4, 2, 1, [2, 5]));
        let Outlined { image, objects, .. } = judge.get(1).unwrap();
        assert_eq!(image, [255, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(objects, [1, 1, 0, 2, 3, 0, 0, 0, 2, 4]);
        // Without its mask an image is of no use; of another size it is not its mask.
        save(dir.path().join("image/g.png"), &["#"]);
        assert!(matches!(open_masks(dir.path(), 1), Err(DataError::Missing { what, .. }) if what == "mask"));
        save(dir.path().join("label/g.png"), &["##"]);
        let error = open_masks(dir.path(), 1).unwrap_err().to_string();
        assert!(error.contains("the mask has 2x1 pixels, its image 1x1"), "{error}");
    }

    #[test]
    fn a_mask_for_each_object() {
        let dir = TempDir::new("bowl");
        for (part, name) in [("train", "x"), ("train", "y"), ("test", "z")] {
            let folder = dir.path().join(part).join(name);
            save(folder.join(format!("images/{name}.png")), &["1...", "...."]);
            save(folder.join("masks/one.png"), &["##..", "...."]);
            save(folder.join("masks/two.png"), &["..#.", "..##"]);
        }
        let (learn, judge) = open_masks(dir.path(), 3).unwrap();
        assert_eq!((learn.len(), judge.len(), judge.channels()), (2, 1, 3));
        let Outlined { image, objects, size } = judge.get(0).unwrap();
        assert_eq!((size, objects), ([2, 4], vec![1, 1, 2, 0, 0, 0, 2, 2]));
        assert_eq!([image[0], image[8], image[16], image[1]], [b'1', 7, 9, 0]);
        save(dir.path().join("test/z/images/another.png"), &["1"]);
        let error = open_masks(dir.path(), 3).unwrap_err().to_string();
        assert!(error.contains("2 pictures in its folder of images; one expected"), "{error}");
    }

    #[test]
    fn nothing_there() {
        let dir = TempDir::new("empty");
        let missing = |path: &Path| matches!(open_masks(path, 1), Err(DataError::Missing { .. }));
        assert!(missing(dir.path()) && missing(&dir.path().join("nowhere")));
        fs::create_dir_all(dir.path().join("images")).unwrap();
        fs::create_dir_all(dir.path().join("masks")).unwrap();
        assert!(missing(dir.path()));
        assert!(matches!(open_masks(dir.path(), 2), Err(DataError::Invalid { .. })));
        fs::write(dir.path().join("images/a.png"), b"no picture").unwrap();
        save(dir.path().join("masks/a.png"), &["#"]);
        assert!(matches!(open_masks(dir.path(), 1), Err(DataError::Picture { .. })));
    }
}
