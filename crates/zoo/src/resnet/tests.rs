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
    let counts = [(20, 269_722), (32, 464_154), (44, 658_586), (56, 853_018), (110, 1_727_962), (1202, 19_421_274)];
    for (depth, expected) in counts {
        let model = ResNet::cifar(depth, 10).unwrap();
        assert_eq!(params(&model, [3, 32, 32]).0, expected, "{}", model.name());
        // Two projections: 16 x 32 and 32 x 64 weights, and a norm of each.
        let projecting = params(&model.shortcut(Shortcut::Project), [3, 32, 32]).0;
        assert_eq!(projecting - expected, 16 * 32 + 2 * 32 + 32 * 64 + 2 * 64);
    }
}

/// torchvision's and timm's published counts.
#[test]
fn relatives_sizes() {
    let resnext = |depth, groups, width| ResNet::resnext(depth, groups, width, 1000).unwrap();
    let wide = |depth| ResNet::wide_imagenet(depth, 1000).unwrap();
    let excited = |depth| ResNet::imagenet(depth, 1000).unwrap().squeeze_excite(true);
    let models = [
        (resnext(50, 32, 4), "resnext50_32x4d", 25_028_904),
        (resnext(101, 32, 8), "resnext101_32x8d", 88_791_336),
        (resnext(101, 64, 4), "resnext101_64x4d", 83_455_272),
        (wide(50), "wide_resnet50_2", 68_883_240),
        (wide(101), "wide_resnet101_2", 126_886_696),
        (excited(18), "seresnet18", 11_779_624),
        (excited(50), "seresnet50", 28_088_024),
        (excited(101), "seresnet101", 49_326_872),
    ];
    for (model, name, expected) in models {
        assert_eq!(model.name(), name);
        assert_eq!(params(&model, [3, 64, 64]).0, expected, "{name}");
    }
}

/// The counts that scripts/golden/resnet_kin.py prints for the PyTorch definitions.
#[test]
fn small_relatives_sizes() {
    let pre = |model: Result<ResNet, ZooError>| model.unwrap().pre_activation(true);
    let models = [
        (pre(ResNet::cifar(110, 10)), "preact_resnet110", 1_727_962),
        (pre(ResNet::cifar_bottleneck(164, 10)), "preact_resnet164", 1_703_258),
        (ResNet::cifar(56, 10).unwrap().shortcut(Shortcut::None), "plain56", 853_018),
        (ResNet::wide(28, 10, 10).unwrap(), "wrn28_10", 36_479_194),
        (ResNet::wide(16, 4, 10).unwrap(), "wrn16_4", 2_748_890),
    ];
    for (model, name, expected) in models {
        assert_eq!(model.name(), name);
        assert_eq!(params(&model, [3, 32, 32]).0, expected, "{name}");
    }
}

/// The shapes of table 1, and of section 4.2.
#[test]
fn shapes_through_the_stages() {
    let shapes = |model: &ResNet, size: usize| -> Vec<Vec<usize>> {
        let images = Tensor::input("images", [2, 3, size, size], DType::F32);
        model.features(&Scope::eval(), &images).iter().map(|x| x.shape().to_vec()).collect()
    };
    let at = |sizes: &[[usize; 2]]| sizes.iter().map(|&[c, n]| vec![2, c, n, n]).collect::<Vec<_>>();
    assert_eq!(shapes(&ResNet::imagenet(34, 10).unwrap(), 224), at(&[[64, 56], [128, 28], [256, 14], [512, 7]]));
    assert_eq!(shapes(&ResNet::imagenet(152, 10).unwrap(), 224), at(&[[256, 56], [512, 28], [1024, 14], [2048, 7]]));
    assert_eq!(shapes(&ResNet::cifar(20, 10).unwrap(), 32), at(&[[16, 32], [32, 16], [64, 8]]));
    assert_eq!(shapes(&ResNet::wide(16, 4, 10).unwrap(), 32), at(&[[64, 32], [128, 16], [256, 8]]));
}

#[test]
fn a_frozen_body_leaves_the_head() {
    let images = Tensor::input("images", [2, 3, 16, 16], DType::F32);
    for (trained, statistics) in [(Trained::Head, true), (Trained::HeadFixedStatistics, false)] {
        let scope = Scope::train();
        ResNet::cifar(20, 10).unwrap().trained(trained).forward(&scope, &images);
        let names: Vec<String> = scope.params().iter().map(|p| p.name().unwrap().to_string()).collect();
        assert_eq!(names, ["fc.weight", "fc.bias"]);
        assert_eq!(scope.updates().states().count() > 0, statistics, "{trained:?}");
        // A checkpoint holds the same tensors as that of a network that is trained whole.
        let all = Scope::train();
        ResNet::cifar(20, 10).unwrap().forward(&all, &images);
        let names = |scope: &Scope| scope.tensors().iter().map(|t| t.name().unwrap().to_string()).collect::<Vec<_>>();
        assert_eq!(names(&scope), names(&all));
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
    assert_eq!(error, "the CIFAR form of ResNet has no depth 18; there are 20, 32, 44, 56, 110 and 1202");
    assert!(ResNet::imagenet(20, 10).is_err());
}
