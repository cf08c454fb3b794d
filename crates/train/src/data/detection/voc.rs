//! Pascal VOC: an XML file for each picture, and lists of their names.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use roxmltree::{Document, Node};

use super::{DetectionSet, annotation, inside, load_sized, read_limited};
use crate::atomic;
use crate::detection::{Object, Rect};
use crate::error::{DataError, TrainError};
use crate::picture::Picture;

const MAX_BYTES: u64 = 16 << 20;

/// The pictures of a list. Classes are all names that occur in the two lists of [`VocSet::open`], in the order of the
/// alphabet, as VOC's twenty are. Boxes count pixels from 1 and include the last, and become continuous: (1, 1, 1, 1) is (0, 0)
/// to (1, 1). Difficult objects are marked as ignored; the parts of persons are left out.
#[derive(Clone, Debug)]
pub struct VocSet {
    classes: Vec<String>,
    dir: PathBuf,
    pictures: Vec<Entry>,
}

/// What an XML file says.
#[derive(Clone, Debug)]
struct Entry {
    file: String,
    size: [usize; 2],
    objects: Vec<Object>,
}

impl VocSet {
    /// The training and the test part of a directory with `Annotations`, `JPEGImages` and `ImageSets/Main`: what `train.txt`
    /// (or else `trainval.txt`) and `val.txt` (or else `test.txt`) list.
    ///
    /// # Errors
    /// When a file is missing or not sound.
    pub fn open(root: &Path) -> Result<(Self, Self), DataError> {
        let mut names: Vec<String> = Vec::new();
        let mut numbers: HashMap<String, usize> = HashMap::new();
        let mut part = |lists: [&str; 2]| -> Result<Vec<Entry>, DataError> {
            let mut number = |name: &str| {
                *numbers.entry(name.to_owned()).or_insert_with(|| {
                    names.push(name.to_owned());
                    names.len() - 1
                })
            };
            read_list(root, lists)?.iter().map(|id| entry(root, id, &mut number)).collect()
        };
        let (mut train, mut test) = (part(["train.txt", "trainval.txt"])?, part(["val.txt", "test.txt"])?);
        // So far numbered as they came.
        let sorted: Vec<&String> = names.iter().collect::<BTreeSet<_>>().into_iter().collect();
        let new: Vec<usize> = names.iter().map(|name| sorted.binary_search(&name).unwrap_or(0)).collect();
        for object in train.iter_mut().chain(&mut test).flat_map(|entry| &mut entry.objects) {
            object.class = new[object.class];
        }
        let classes: Vec<String> = sorted.into_iter().cloned().collect();
        let set = |pictures| Self { classes: classes.clone(), dir: root.join("JPEGImages"), pictures };
        Ok((set(train), set(test)))
    }
}

/// The first of two lists that there is.
fn read_list(root: &Path, lists: [&str; 2]) -> Result<Vec<String>, DataError> {
    let dir = root.join("ImageSets").join("Main");
    let Some(path) = lists.iter().map(|list| dir.join(list)).find(|path| path.exists()) else {
        let what = format!("list {} or {}", lists[0], lists[1]);
        return Err(DataError::Missing { what, path: dir, hint: "Pascal VOC's lists of pictures are needed".into() });
    };
    let bytes = read_limited(&path, MAX_BYTES)?;
    let text = std::str::from_utf8(&bytes).map_err(|error| annotation(&path, error))?;
    // A second column, where there is one, is of a class's list.
    Ok(text.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect())
}

/// Reads one picture's file. `number` gives a class's number.
fn entry(root: &Path, id: &str, number: &mut dyn FnMut(&str) -> usize) -> Result<Entry, DataError> {
    let dir = root.join("Annotations");
    let path = inside(&dir, &format!("{id}.xml"), &dir)?;
    let bytes = read_limited(&path, MAX_BYTES)?;
    let text = std::str::from_utf8(&bytes).map_err(|error| annotation(&path, error))?;
    let document = Document::parse(text).map_err(|error| annotation(&path, error))?;
    let top = document.root_element();

    let file = child(top, "filename").and_then(|n| n.text()).map(str::trim).filter(|name| !name.is_empty());
    let file = file.map_or_else(|| format!("{id}.jpg"), str::to_owned);
    inside(root, &file, &path)?;
    let size_node = child(top, "size").ok_or_else(|| annotation(&path, "it has no <size>"))?;
    let size: [usize; 2] = [value(size_node, "width", &path)?, value(size_node, "height", &path)?];
    if size.contains(&0) {
        return Err(annotation(&path, "the picture has no pixels"));
    }
    let whole = Rect::new(0.0, 0.0, size[0] as f32, size[1] as f32);
    let mut objects = Vec::new();
    for node in top.children().filter(|n| n.has_tag_name("object")) {
        let name = child(node, "name").and_then(|n| n.text()).map(str::trim).filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| annotation(&path, "an <object> has no <name>"))?;
        let bounds = child(node, "bndbox").ok_or_else(|| annotation(&path, "an <object> has no <bndbox>"))?;
        let side = |tag| -> Result<f32, DataError> {
            let side: f32 = value(bounds, tag, &path)?;
            match side.is_finite() && side.abs() < 1e6 {
                true => Ok(side),
                false => Err(annotation(&path, format!("<{tag}> is {side}"))),
            }
        };
        let rect = Rect::new(side("xmin")? - 1.0, side("ymin")? - 1.0, side("xmax")?, side("ymax")?).cut(&whole);
        let ignored = child(node, "difficult").and_then(|n| n.text()).is_some_and(|text| text.trim() == "1");
        if rect.width() > 0.0 && rect.height() > 0.0 {
            objects.push(Object { rect, class: number(name), ignored, area: None });
        }
    }
    Ok(Entry { file, size, objects })
}

fn child<'a, 'input>(node: Node<'a, 'input>, tag: &str) -> Option<Node<'a, 'input>> {
    node.children().find(|n| n.has_tag_name(tag))
}

fn value<T: FromStr>(node: Node<'_, '_>, tag: &str, path: &Path) -> Result<T, DataError> {
    let text = child(node, tag).and_then(|n| n.text()).map(str::trim);
    text.and_then(|text| text.parse().ok()).ok_or_else(|| {
        annotation(path, format!("<{}> needs a number as its <{tag}>, not {text:?}", node.tag_name().name()))
    })
}

impl DetectionSet for VocSet {
    fn name(&self) -> &str {
        "voc"
    }

    fn len(&self) -> usize {
        self.pictures.len()
    }

    fn class_names(&self) -> &[String] {
        &self.classes
    }

    fn size(&self, index: usize) -> Result<[usize; 2], DataError> {
        Ok(self.pictures[index].size)
    }

    fn picture(&self, index: usize) -> Result<Picture, DataError> {
        let Entry { file, size, .. } = &self.pictures[index];
        load_sized(&self.dir.join(file), *size)
    }

    fn objects(&self, index: usize) -> Result<Vec<Object>, DataError> {
        Ok(self.pictures[index].objects.clone())
    }
}

/// Writes a data set in Pascal VOC's form into `root`: an XML file in `Annotations` and a PNG in `JPEGImages` for each picture,
/// and the list `ImageSets/Main/<part>.txt`. Boxes grow to whole pixels, which is all that the format has.
///
/// # Errors
/// When a picture cannot be read, or a file not be written.
pub fn write_voc(set: &dyn DetectionSet, root: &Path, part: &str) -> Result<(), TrainError> {
    let (annotations, lists) = (root.join("Annotations"), root.join("ImageSets").join("Main"));
    for dir in [&annotations, &lists] {
        std::fs::create_dir_all(dir).map_err(atomic::io("make the directory", dir))?;
    }
    let mut list = String::new();
    for index in 0..set.len() {
        let id = format!("{part}_{index:06}");
        let picture = set.picture(index)?;
        picture.save(root.join("JPEGImages").join(format!("{id}.png")))?;
        let mut xml = format!(
            "<annotation>\n  <folder>{}</folder>\n  <filename>{id}.png</filename>\n  <size><width>{}</width><height>{}</height>\
             <depth>3</depth></size>\n  <segmented>0</segmented>\n",
            escaped(set.name()),
            picture.width(),
            picture.height()
        );
        for object in set.objects(index)? {
            let [left, top, right, bottom] = object.rect.corners();
            // Writing to a string cannot fail.
            let _ = writeln!(
                xml,
                "  <object><name>{}</name><difficult>{}</difficult><bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax>\
                 <ymax>{}</ymax></bndbox></object>",
                escaped(&set.class_names()[object.class]),
                u8::from(object.ignored),
                left.floor() + 1.0,
                top.floor() + 1.0,
                right.ceil(),
                bottom.ceil()
            );
        }
        xml += "</annotation>\n";
        atomic::write(&annotations.join(format!("{id}.xml")), xml.as_bytes())?;
        list += &format!("{id}\n");
    }
    atomic::write(&lists.join(format!("{part}.txt")), list.as_bytes())
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
