//! How many kernels a training step launches: what fusion, packs and attention's layouts are for.

use wgrad_graph::{DType, Device, Dump, Program, Tensor, Updates};
use wgrad_nn::optim::{AdamW, Sgd};
use wgrad_nn::{Layer, Scope};
use wgrad_zoo::ResNet;
use wgrad_zoo::gpt::Gpt;

/// Compiles a step (without running it) and compares its launches with what they may be at most.
fn check(name: &str, most: usize, loss: &Tensor, updates: &Updates) {
    let program = Program::compile(&Device::cpu(), &[loss], updates).unwrap();
    let launches = program.summary().launches;
    if std::env::var_os("WGRAD_PRINT").is_some() {
        println!("{name}: {launches} launches\n{}{}", program.dump(Dump::Kernels), program.dump(Dump::Plan));
    }
    assert!(launches <= most, "{name}: {launches} launches, {most} at most\n{}", program.dump(Dump::Kernels));
}

#[test]
fn resnet20() {
    let images = Tensor::input("images", [128, 3, 32, 32], DType::F32);
    let labels = Tensor::input("labels", [128], DType::U32);
    let scope = Scope::train();
    let loss = ResNet::cifar(20, 10).unwrap().forward(&scope, &images).cross_entropy(&labels);
    let step = Sgd::new(0.1).momentum(0.9).weight_decay(5e-4).minimize(&scope, &loss);
    check("ResNet-20", 142, &loss, &step);
}

#[test]
fn gpt2_of_12_layers() {
    let ids = |name: &str| Tensor::input(name, [2, 128], DType::U32);
    let scope = Scope::train();
    let loss = Gpt::new(1000, 128, 12, 4, 256).unwrap().dropout(0.0).loss(&scope, &ids("tokens"), &ids("targets"));
    check("GPT of 12 layers", 300, &loss, &AdamW::new(3e-4).minimize(&scope, &loss));
}
