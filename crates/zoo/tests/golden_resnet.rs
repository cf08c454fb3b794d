//! Residual networks against PyTorch, from a state dict bound by name. The files are written by scripts/golden/resnet.py.

mod step;

use step::{Golden, check_classifier, full, golden};
use wgrad_zoo::ResNet;
use wgrad_zoo::resnet::Shortcut;

fn check(model: ResNet, file: &Golden) {
    check_classifier(file, &model);
}

#[test]
fn torchvision_resnet18() {
    check(ResNet::imagenet(18, 10).unwrap().width(4), &golden("resnet18"));
}

/// Bottlenecks, one in each stage. (With all of ResNet-50's, so narrow a network's gradients cancel to fewer digits than f32
/// has, in PyTorch too.)
#[test]
fn torchvision_bottlenecks() {
    check(ResNet::imagenet(50, 10).unwrap().stages(&[1, 1, 1, 1]).width(2), &golden("resnet14"));
}

#[test]
fn cifar_resnet20() {
    check(ResNet::cifar(20, 10).unwrap().width(3).in_channels(1), &golden("resnet20"));
}

#[test]
#[ignore = "needs WGRAD_GOLDEN_FULL, with what scripts/golden/resnet.py --full writes"]
fn full_resnet18() {
    check(ResNet::imagenet(18, 1000).unwrap(), &full("resnet18"));
}

/// Relatives, by scripts/golden/resnet_kin.py.
#[test]
fn pre_activation() {
    let basic = ResNet::cifar(20, 10).unwrap().stages(&[1, 1, 1]).width(4);
    check(basic.in_channels(1).pre_activation(true), &golden("preact_basic"));
    let bottleneck = ResNet::cifar_bottleneck(110, 10).unwrap().stages(&[1, 1, 1]).width(3);
    check(bottleneck.in_channels(1).pre_activation(true), &golden("preact_bottleneck"));
}

#[test]
fn wide() {
    check(ResNet::wide(16, 2, 10).unwrap().stages(&[1, 1, 1]).width(3).in_channels(1), &golden("wide"));
}

#[test]
fn plain() {
    let model = ResNet::cifar(20, 10).unwrap().stages(&[1, 1, 1]).width(4).in_channels(1);
    check(model.shortcut(Shortcut::None), &golden("plain"));
}

#[test]
fn torchvision_resnext() {
    check(ResNet::resnext(50, 4, 32, 10).unwrap().stages(&[1, 1, 1, 1]).width(2), &golden("resnext"));
}

#[test]
fn squeeze_and_excitation() {
    check(ResNet::imagenet(18, 10).unwrap().stages(&[1, 1, 1, 1]).width(4).squeeze_excite(true), &golden("seresnet"));
}
