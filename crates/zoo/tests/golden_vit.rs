//! Vision transformers against torchvision's, from a state dict bound by name. The files are written by scripts/golden/vit.py.

mod step;

use step::{check_classifier, full, golden};
use wgrad_zoo::Vit;

fn narrow() -> Vit {
    Vit::new(12, 4, 10).unwrap().layers(2).width(12, 2).inner(20)
}

#[test]
fn torchvision_vit() {
    check_classifier(&golden("vit"), &narrow());
}

#[test]
fn with_a_hidden_layer_in_the_head() {
    check_classifier(&golden("vit_pre_logits"), &narrow().representation(8));
}

#[test]
#[ignore = "needs WGRAD_GOLDEN_FULL, with what scripts/golden/vit.py --full writes"]
fn full_vit() {
    check_classifier(&full("vit"), &Vit::base(16, 1000).unwrap());
}
