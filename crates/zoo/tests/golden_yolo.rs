//! YOLOv3 against PyTorch, from a state dict bound by name. The files are written by scripts/golden/yolo.py.

mod step;

use step::{Golden, Step, check_eval, check_step, golden, input, leaves};
use wgrad_graph::DType;
use wgrad_nn::Scope;
use wgrad_nn::optim::Sgd;
use wgrad_zoo::Yolo;
use wgrad_zoo::yolo::{Truth, YoloLoss};

const ANCHORS: [[f32; 2]; 9] = [
    [5.0, 7.0],
    [9.0, 8.0],
    [12.0, 20.0],
    [22.0, 15.0],
    [24.0, 31.0],
    [33.0, 26.0],
    [35.0, 50.0],
    [52.0, 38.0],
    [60.0, 58.0],
];

/// Decoded boxes, and a training step: predictions, the parts of the loss, every gradient, updated parameters and statistics.
fn check(model: Yolo, file: &Golden) {
    let mut leaves = leaves(file);
    leaves.insert("images".into(), file.get("images").map(|x| x / 255.0));
    let images = input(file, "images", DType::F32);
    check_eval(file, &leaves, &[("detections", &model.forward(&Scope::eval(), &images).detections())]);

    let scope = Scope::train();
    let predictions = model.forward(&scope, &images);
    let truth = Truth { boxes: input(file, "boxes", DType::F32), classes: input(file, "classes", DType::U32) };
    let losses = YoloLoss::default().ignore(0.4).forward(&predictions, &truth);
    let updates = Sgd::new(0.01).momentum(0.9).weight_decay(5e-4).minimize(&scope, &losses.total);
    let outputs = vec![
        ("raw", predictions.raw),
        ("loss", losses.total),
        ("boxes", losses.boxes),
        ("objectness", losses.objectness),
        ("class", losses.class),
    ];
    check_step(file, &leaves, &scope, &Step { outputs, updates });
}

#[test]
fn yolov3_with_a_block_in_each_stage() {
    check(Yolo::v3(2).width(1).blocks([1; 5]).anchors(&ANCHORS).unwrap(), &golden("yolov3"));
}

#[test]
fn yolov3_tiny() {
    let anchors = [0, 1, 3, 5, 6, 7].map(|i| ANCHORS[i]);
    check(Yolo::tiny(2).width(1).anchors(&anchors).unwrap(), &golden("yolov3_tiny"));
}
