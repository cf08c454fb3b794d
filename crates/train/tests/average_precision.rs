//! COCO's and VOC's measures against the reference implementations, on what scripts/golden/average_precision.py wrote.

use serde_json::Value;
use wgrad_train::detection::{CocoMetrics, Detection, Interpolation, Object, Rect, VocMetrics};

type Picture = (Vec<Detection>, Vec<Object>);

fn rows(value: &Value) -> Vec<Vec<f64>> {
    serde_json::from_value(value.clone()).unwrap()
}

/// Rows of x, y, width, height, class; then of objects whether it is ignored, and its area or -1; of detections a score.
fn picture(value: &Value) -> Picture {
    let rect = |row: &[f64]| Rect::from_corner(row[0] as f32, row[1] as f32, row[2] as f32, row[3] as f32);
    let object = |row: &Vec<f64>| Object {
        ignored: row[5] == 1.0,
        area: (row[6] >= 0.0).then_some(row[6] as f32),
        ..Object::new(rect(row), row[4] as usize)
    };
    let found = |row: &Vec<f64>| Detection { rect: rect(row), class: row[4] as usize, score: row[5] as f32 };
    (rows(&value["found"]).iter().map(found).collect(), rows(&value["objects"]).iter().map(object).collect())
}

/// The reference says -1 where there is nothing to judge.
fn close(what: &str, found: Option<f64>, expected: &Value) {
    let (found, expected) = (found.unwrap_or(-1.0), expected.as_f64().unwrap());
    assert!((found - expected).abs() < 1e-6, "{what}: {found}, the reference has {expected}");
}

#[test]
fn the_references_numbers() {
    let file: Value = serde_json::from_str(include_str!("data/average_precision.json")).unwrap();
    let classes = file["classes"].as_u64().unwrap() as usize;
    for case in file["cases"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let pictures: Vec<Picture> = case["pictures"].as_array().unwrap().iter().map(picture).collect();

        let mut coco = CocoMetrics::new(classes);
        pictures.iter().for_each(|(found, objects)| coco.add(found, objects));
        let s = coco.scores();
        let numbers = [vec![s.ap, s.ap50, s.ap75], s.ap_by_area.into(), s.ar.into(), s.ar_by_area.into()].concat();
        for (i, found) in numbers.into_iter().enumerate() {
            close(&format!("{name}, COCO's number {i}"), found, &case["coco"]["stats"][i]);
        }
        let by_class = coco.average_precision(None);
        close(name, by_class.mean, &case["coco"]["stats"][0]);
        close(name, coco.average_precision(Some(0)).mean, &case["coco"]["stats"][1]);
        for class in 0..classes {
            close(&format!("{name}, class {class}"), by_class.classes[class], &case["coco"]["classes"][class]);
        }

        let kinds = [("voc11", Interpolation::ElevenPoints), ("vocall", Interpolation::AllPoints)];
        for ((key, kind), percent) in kinds.into_iter().flat_map(|k| [(k, 50), (k, 75)]) {
            let mut voc = VocMetrics::new(classes, f64::from(percent) / 100.0);
            pictures.iter().for_each(|(found, objects)| voc.add(found, objects));
            let found = voc.average_precision(kind);
            for class in 0..classes {
                let what = format!("{name}, {key} at {percent}, class {class}");
                close(&what, found.classes[class], &case[format!("{key}{percent}")][class]);
            }
        }
    }
}
