//! Vision transformers.

use crate::resnet::classifier;
use wgrad::prelude::*;
use wgrad::zoo::Vit;

/// With dropout: both backends draw the same numbers.
#[test]
fn vit() {
    let model = Vit::new(12, 3, 6).unwrap().in_channels(1).layers(2).width(24, 2).inner(32).dropout(0.1);
    classifier(model, 8, 12, |scope, loss| AdamW::new(3e-3).minimize(scope, loss)).follows("vit");
}
