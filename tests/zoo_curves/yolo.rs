//! YOLOv3 on generated shapes.

use std::sync::Arc;

use crate::support::training::{Training, Values};
use wgrad::prelude::*;
use wgrad::train::data::{Batch, DetectionAugment, DetectionSource, Loader, LoaderOptions, ShapeSet};
use wgrad::zoo::Yolo;
use wgrad::zoo::yolo::{Truth, YoloLoss};

const BATCH: usize = 4;
const SIZE: usize = 32;
const OBJECTS: usize = 6;

/// Two batches of pictures: images, boxes, classes.
fn batches() -> Vec<(Vec<f32>, Vec<f32>, Vec<u32>)> {
    let set = Arc::new(ShapeSet::new(2 * BATCH, [SIZE, SIZE], 5, 1).unwrap());
    let source = DetectionSource::new(set, SIZE, OBJECTS, DetectionAugment::default()).unwrap();
    let loader = Loader::new(source, LoaderOptions::test(BATCH)).unwrap();
    let fields = |b: Batch| (b.f32("images").to_vec(), b.f32("boxes").to_vec(), b.u32("classes").to_vec());
    loader.epoch(0, 0).unwrap().map(|batch| fields(batch.unwrap())).collect()
}

#[test]
fn yolov3_small() {
    let anchors = [[4.0, 4.0], [6.0, 6.0], [8.0, 8.0], [11.0, 11.0], [15.0, 15.0], [20.0, 20.0]];
    let model = Yolo::small(5).width(3).anchors(&anchors).unwrap();
    let images = Tensor::input("images", [BATCH, 3, SIZE, SIZE], DType::F32);
    let truth = Truth {
        boxes: Tensor::input("boxes", [BATCH, OBJECTS, 4], DType::F32),
        classes: Tensor::input("classes", [BATCH, OBJECTS], DType::U32),
    };
    let scope = Scope::train();
    let loss = YoloLoss::default().forward(&model.forward(&scope, &images), &truth).total;
    let updates = Sgd::new(1e-3).momentum(0.9).minimize(&scope, &loss);
    let batches = batches();
    let feed = move |step: usize| {
        let (images, boxes, classes) = batches[step % 2].clone();
        vec![("images", Values::F32(images)), ("boxes", Values::F32(boxes)), ("classes", Values::U32(classes))]
    };
    Training::new(loss, updates, feed).follows("yolov3_small");
}
