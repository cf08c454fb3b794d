use super::*;
use wgrad_graph::{DType, checked};

fn params(model: &ResNet, image: [usize; 3]) -> (usize, Vec<String>) {
    let scope = Scope::train();
    let [c, h, w] = image;
    let logits = model.forward(&scope, &Tensor::input("images", [2, c, h, w], DType::F32));
    assert_eq!(logits.shape(), [2, model.classes]);
    (scope.param_count(), scope.params().iter().map(|p| p.name().unwrap().to_string()).collect())
}

/// torchvision's published counts.
#[test]
fn imagenet_sizes() {
    let counts = [(18, 11_689_512), (34, 21_797_672), (50, 25_557_032), (101, 44_549_160), (152, 60_192_808)];
    for (depth, expected) in counts {
        assert_eq!(params(&ResNet::imagenet(depth, 1000).unwrap(), [3, 64, 64]).0, expected, "resnet{depth}");
    }
}

/// The counts that scripts/golden/resnet.py prints for the PyTorch definition.
#[test]
fn cifar_sizes() {
    let counts = [(20, 269_722), (32, 464_154), (44, 658_586), (56, 853_018), (110, 1_727_962)];
    for (depth, expected) in counts {
        let model = ResNet::cifar(depth, 10).unwrap();
        assert_eq!(params(&model, [3, 32, 32]).0, expected, "{}", model.name());
        // Two projections: 16 x 32 and 32 x 64 weights, and a norm of each.
        let projecting = params(&model.shortcut(Shortcut::Project), [3, 32, 32]).0;
        assert_eq!(projecting - expected, 16 * 32 + 2 * 32 + 32 * 64 + 2 * 64);
    }
}

#[test]
fn names_are_torchvisions() {
    let (_, names) = params(&ResNet::imagenet(50, 10).unwrap(), [3, 32, 32]);
    let expected = [
        "conv1.weight",
        "bn1.weight",
        "bn1.bias",
        "layer1.0.conv1.weight",
        "layer1.0.bn1.weight",
        "layer1.0.bn1.bias",
        "layer1.0.conv2.weight",
        "layer1.0.bn2.weight",
        "layer1.0.bn2.bias",
        "layer1.0.conv3.weight",
        "layer1.0.bn3.weight",
        "layer1.0.bn3.bias",
        "layer1.0.downsample.0.weight",
        "layer1.0.downsample.1.weight",
        "layer1.0.downsample.1.bias",
        "layer1.1.conv1.weight",
    ];
    assert_eq!(names[..expected.len()], expected);
    assert_eq!(names[names.len() - 2..], ["fc.weight", "fc.bias"]);
}

#[test]
fn other_images_and_widths() {
    let model = ResNet::cifar(20, 7).unwrap().in_channels(1).width(4);
    // Odd sizes: 9 to 5 to 3 by both branches and shortcuts.
    assert!(params(&model, [1, 9, 7]).0 < 20_000);
    let error = checked(|| params(&model, [3, 8, 8])).unwrap_err().to_string();
    assert!(error.starts_with("Conv2d \"conv1\": [N, 1, H, W] expected, not [2, 3, 8, 8]"), "{error}");
}

#[test]
fn depth_and_name() {
    let imagenet = IMAGENET_DEPTHS.iter().map(|&d| (d, ResNet::imagenet(d, 10)));
    for (depth, model) in CIFAR_DEPTHS.iter().map(|&d| (d, ResNet::cifar(d, 10))).chain(imagenet) {
        assert_eq!(model.unwrap().name(), format!("resnet{depth}"));
    }
    assert_eq!(ResNet::imagenet(50, 10).unwrap().stages(&[1, 1, 1, 1]).depth(), 14);
}

#[test]
fn a_wrong_depth_names_the_right_ones() {
    let error = ResNet::cifar(18, 10).unwrap_err().to_string();
    assert_eq!(error, "the CIFAR form of ResNet has no depth 18; there are 20, 32, 44, 56 and 110");
    assert!(ResNet::imagenet(20, 10).is_err());
}
