//! COCO's and VOC's forms: written, read, and damaged.

use super::*;
use crate::detection::Rect;
use crate::testing::TempDir;

fn written(part: usize) -> ShapeSet {
    ShapeSet::new(5, [48, 32], 9, part).unwrap()
}

#[test]
fn coco_comes_back_as_it_was() {
    let dir = TempDir::new("coco");
    write_coco(&written(0), dir.path(), "train2017").unwrap();
    write_coco(&written(1), dir.path(), "val2017").unwrap();
    let split = open_detection(dir.path()).unwrap();
    for (read, written) in [(&split.train, written(0)), (&split.test, written(1))] {
        assert_eq!((read.len(), read.class_names()), (5, written.class_names()));
        for index in 0..5 {
            assert_eq!(read.size(index).unwrap(), [48, 32]);
            assert_eq!(read.picture(index).unwrap(), written.picture(index).unwrap());
            for (a, b) in read.objects(index).unwrap().iter().zip(written.objects(index).unwrap()) {
                assert_eq!((a.class, a.ignored), (b.class, b.ignored));
                assert!(a.rect.iou(&b.rect) > 0.99999 && (f64::from(a.area.unwrap()) - b.rect.area()).abs() < 1e-2);
            }
        }
    }
}

#[test]
fn voc_comes_back_to_the_pixel() {
    let dir = TempDir::new("voc");
    write_voc(&written(0), dir.path(), "train").unwrap();
    write_voc(&written(1), dir.path(), "test").unwrap();
    let split = open_detection(dir.path()).unwrap();
    // In the order of the alphabet, and only those that occur.
    let names = split.train.class_names();
    assert!(names.is_sorted() && names.len() > 2, "{names:?}");
    for (read, written) in [(&split.train, written(0)), (&split.test, written(1))] {
        for index in 0..5 {
            assert_eq!(read.picture(index).unwrap(), written.picture(index).unwrap());
            let objects = written.objects(index).unwrap();
            assert_eq!(read.objects(index).unwrap().len(), objects.len());
            for (a, b) in read.objects(index).unwrap().iter().zip(objects) {
                assert_eq!(names[a.class], SHAPES[b.class]);
                let grown = |v: f32, w: f32| (0.0..1.0).contains(&(v - w));
                assert!(grown(b.rect.left, a.rect.left) && grown(b.rect.top, a.rect.top));
                assert!(grown(a.rect.right, b.rect.right) && grown(a.rect.bottom, b.rect.bottom));
            }
        }
    }
}

/// The published forms, shortened: a crowd, a category with a gap before it, a box without area and one beyond the edge.
const INSTANCES: &str = r#"{
    "info": {"year": 2017}, "licenses": [{"id": 1}],
    "images": [{"license": 4, "file_name": "a.png", "coco_url": "", "height": 20, "width": 30, "id": 397133}],
    "annotations": [
        {"segmentation": [[1, 2, 3, 4]], "area": 10.5, "iscrowd": 0, "image_id": 397133, "bbox": [2, 3, 4.5, 5], "category_id": 44, "id": 82445},
        {"segmentation": {"counts": [272, 2], "size": [20, 30]}, "area": 9, "iscrowd": 1, "image_id": 397133, "bbox": [20, 10, 90, 90], "category_id": 1, "id": 2},
        {"area": 0, "iscrowd": 0, "image_id": 397133, "bbox": [5, 5, 0, 3], "category_id": 1, "id": 3}
    ],
    "categories": [{"supercategory": "kitchen", "id": 44, "name": "bottle"}, {"supercategory": "person", "id": 1, "name": "person"}]
}"#;

#[test]
fn the_published_coco_form_is_read() {
    let dir = TempDir::new("coco");
    let path = dir.path().join("instances.json");
    std::fs::write(&path, INSTANCES).unwrap();
    Picture::new(30, 20).save(dir.path().join("a.png")).unwrap();
    let set = CocoSet::open(&path, dir.path()).unwrap();
    assert_eq!(set.class_names(), ["person", "bottle"]);
    let bottle = Object { area: Some(10.5), ..Object::new(Rect::new(2.0, 3.0, 6.5, 8.0), 1) };
    let crowd = Object { area: Some(9.0), ignored: true, ..Object::new(Rect::new(20.0, 10.0, 30.0, 20.0), 0) };
    assert_eq!(set.objects(0).unwrap(), [bottle, crowd]);
    assert_eq!(set.picture(0).unwrap().width(), 30);
    // A picture of another size than the file says.
    Picture::new(20, 30).save(dir.path().join("a.png")).unwrap();
    assert!(matches!(set.picture(0), Err(DataError::Annotation { .. })));
    std::fs::remove_file(dir.path().join("a.png")).unwrap();
    assert!(matches!(set.picture(0), Err(DataError::Read { .. })));
}

#[test]
fn damaged_coco_files_are_refused() {
    let dir = TempDir::new("coco");
    let path = dir.path().join("instances.json");
    let read = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        CocoSet::open(&path, dir.path())
    };
    for length in 0..INSTANCES.len() {
        let error = read(&INSTANCES.as_bytes()[..length]).unwrap_err();
        assert!(matches!(error, DataError::Annotation { .. }), "{error}");
    }
    for (from, to, says) in [
        ("\"a.png\"", "\"../a.png\"", "no name of a picture"),
        ("\"a.png\"", "\"/etc/a.png\"", "no name of a picture"),
        ("\"width\": 30", "\"width\": 0", "no pixels"),
        ("\"width\": 30", "\"width\": -3", "invalid value"),
        ("\"category_id\": 44", "\"category_id\": 45", "category 45, which is not there"),
        ("\"image_id\": 397133", "\"image_id\": 1", "image 1, which is not there"),
        ("\"id\": 44", "\"id\": 1", "two of one id"),
        ("[2, 3, 4.5, 5]", "[2, 3, 1e300, 5]", "has the box"),
        ("[2, 3, 4.5, 5]", "[2, 3, 5]", "invalid length"),
    ] {
        let error = read(INSTANCES.replacen(from, to, 1).as_bytes()).unwrap_err();
        assert!(matches!(error, DataError::Annotation { .. }) && error.to_string().contains(says), "{says}: {error}");
    }
    assert!(matches!(CocoSet::part(dir.path(), "train"), Err(DataError::Read { .. })));
    std::fs::create_dir(dir.path().join("annotations")).unwrap();
    assert!(matches!(CocoSet::part(dir.path(), "train"), Err(DataError::Missing { .. })));
}

const XML: &str = "<annotation><folder>VOC2007</folder><filename>000001.jpg</filename>\
    <size><width>353</width><height>500</height><depth>3</depth></size>\
    <object><name>dog</name><pose>Left</pose><truncated>1</truncated><difficult>0</difficult>\
    <bndbox><xmin>48</xmin><ymin>240</ymin><xmax>195</xmax><ymax>371</ymax></bndbox></object>\
    <object><name>person</name><difficult>1</difficult>\
    <part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox></part>\
    <bndbox><xmin>8.5</xmin><ymin>12</ymin><xmax>900</xmax><ymax>498</ymax></bndbox></object></annotation>";

/// A directory with this XML as its only picture, in both parts.
fn voc(xml: &[u8]) -> TempDir {
    let dir = TempDir::new("voc");
    for sub in ["Annotations", "ImageSets/Main"] {
        std::fs::create_dir_all(dir.path().join(sub)).unwrap();
    }
    std::fs::write(dir.path().join("Annotations/000001.xml"), xml).unwrap();
    std::fs::write(dir.path().join("ImageSets/Main/trainval.txt"), "000001\n").unwrap();
    std::fs::write(dir.path().join("ImageSets/Main/test.txt"), "000001  1\r\n\n").unwrap();
    dir
}

#[test]
fn the_published_voc_form_is_read() {
    let (train, test) = VocSet::open(voc(XML.as_bytes()).path()).unwrap();
    assert_eq!((train.len(), test.len(), train.class_names()), (1, 1, &["dog".to_string(), "person".into()][..]));
    let dog = Object::new(Rect::new(47.0, 239.0, 195.0, 371.0), 0);
    let person = Object { ignored: true, ..Object::new(Rect::new(7.5, 11.0, 353.0, 498.0), 1) };
    assert_eq!(train.objects(0).unwrap(), [dog, person]);
    assert!(matches!(test.picture(0), Err(DataError::Read { .. })));
}

#[test]
fn damaged_voc_files_are_refused() {
    for length in (0..XML.len()).step_by(5) {
        let error = VocSet::open(voc(&XML.as_bytes()[..length]).path()).unwrap_err();
        assert!(matches!(error, DataError::Annotation { .. }), "{error}");
    }
    for (from, to, says) in [
        ("000001.jpg", "../x.jpg", "no name of a picture"),
        ("<width>353</width>", "", "<width>"),
        ("353", "0", "no pixels"),
        ("353", "many", "\"many\""),
        ("<xmin>48</xmin>", "<xmin>NaN</xmin>", "<xmin> is NaN"),
        ("<name>dog</name>", "", "no <name>"),
        ("<bndbox><xmin>48</xmin><ymin>240</ymin><xmax>195</xmax><ymax>371</ymax></bndbox>", "", "no <bndbox>"),
        ("<annotation>", "<!DOCTYPE a [<!ENTITY b \"c\">]><annotation>", "DTD"),
    ] {
        let error = VocSet::open(voc(XML.replacen(from, to, 1).as_bytes()).path()).unwrap_err();
        assert!(matches!(error, DataError::Annotation { .. }) && error.to_string().contains(says), "{says}: {error}");
    }
    let error = VocSet::open(voc(&[0xFF, 0xFE, 0x00]).path()).unwrap_err();
    assert!(matches!(error, DataError::Annotation { .. }), "{error}");
    let dir = voc(XML.as_bytes());
    std::fs::write(dir.path().join("ImageSets/Main/test.txt"), "../../etc/passwd\n").unwrap();
    assert!(matches!(VocSet::open(dir.path()), Err(DataError::Annotation { .. })));
    std::fs::remove_file(dir.path().join("ImageSets/Main/test.txt")).unwrap();
    assert!(matches!(VocSet::open(dir.path()), Err(DataError::Missing { .. })));
    assert!(matches!(open_detection(TempDir::new("none").path()), Err(DataError::Missing { .. })));
}
