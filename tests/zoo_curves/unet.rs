//! U-Nets.

use crate::support::training::{Training, Values};
use std::sync::Arc;
use wgrad::nn::loss::{Segmentation, segmentation};
use wgrad::prelude::*;
use wgrad::train::data::segmentation::{Cells, Tiles, Warp};
use wgrad::train::data::{Loader, LoaderOptions};
use wgrad::zoo::UNet;

const BATCH: usize = 4;
const TILE: usize = 24;

/// The padded form on generated cells, bent and weighted, as the example trains it.
#[test]
fn padded() {
    let model = UNet::padded(1, 2).width(4).depth(2).unwrap();
    let cells = Arc::new(Cells::new(1, 0, BATCH, 40).unwrap());
    let tiles = Tiles::random(cells, [TILE, TILE], 1, Warp::of_tile(TILE)).unwrap();
    let loader = Loader::new(tiles, LoaderOptions::train(BATCH, 1)).unwrap();

    let places = [BATCH, TILE, TILE];
    let images = Tensor::input("images", [BATCH, 1, TILE, TILE], DType::F32);
    let labels = Tensor::input("labels", places, DType::U32);
    let weights = Tensor::input("weights", places, DType::F32);
    let scope = Scope::train();
    let logits = model.forward(&scope, &images);
    let options = Segmentation { dice: 1.0, ..Segmentation::default() };
    let loss = segmentation(&logits, &labels, Some(&weights), &options);
    // Not Adam, whose first step is the gradients' signs: rounding would decide where they are near 0.
    let updates = Sgd::new(0.05).momentum(0.9).minimize(&scope, &loss);
    let feed = move |step| {
        let batch = loader.epoch(step, 0).unwrap().next().unwrap().unwrap();
        vec![
            ("images", Values::F32(batch.f32("images").to_vec())),
            ("labels", Values::U32(batch.u32("labels").to_vec())),
            ("weights", Values::F32(batch.f32("weights").to_vec())),
        ]
    };
    Training::new(loss, updates, feed).follows("unet");
}
