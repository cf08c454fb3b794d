use super::*;
use std::collections::BTreeMap;
use wgrad_graph::{DType, Data, Device, Program, State, Updates, checked};

const BILINEAR: UpPath = UpPath::Resize(Interpolation::Linear { align_corners: true });

fn built(model: &UNet, shape: [usize; 4]) -> (Scope, Tensor) {
    let scope = Scope::train();
    let logits = model.forward(&scope, &Tensor::input("images", shape, DType::F32));
    (scope, logits)
}

fn count(model: &UNet) -> usize {
    built(model, [1, model.in_channels, 188, 188]).0.param_count()
}

/// [channels, side] of what every convolution and every pooling gives, in their order.
fn sides(model: &UNet, side: usize) -> Vec<[usize; 2]> {
    let (_, logits) = built(model, [1, 1, side, side]);
    let mut found = BTreeMap::new();
    let mut open = vec![logits];
    while let Some(t) = open.pop() {
        found.entry(t.id()).or_insert_with(|| {
            open.extend(t.inputs().iter().cloned());
            t
        });
    }
    let mut sides: Vec<[usize; 2]> =
        found.values().filter(|t| t.rank() == 4).map(|t| [t.shape()[1], t.shape()[2]]).collect();
    sides.dedup();
    sides
}

/// The figure of the paper.
#[test]
fn shapes_through_every_stage() {
    let found = sides(&UNet::original(1, 2), 572);
    let down = [
        [1, 572],
        [64, 570],
        [64, 568],
        [64, 284],
        [128, 282],
        [128, 280],
        [128, 140],
        [256, 138],
        [256, 136],
        [256, 68],
        [512, 66],
        [512, 64],
        [512, 32],
        [1024, 30],
        [1024, 28],
    ];
    let up = [
        [512, 56],
        [1024, 56],
        [512, 54],
        [512, 52],
        [256, 104],
        [512, 104],
        [256, 102],
        [256, 100],
        [128, 200],
        [256, 200],
        [128, 198],
        [128, 196],
        [64, 392],
        [128, 392],
        [64, 390],
        [64, 388],
        [2, 388],
    ];
    let mut rest = found.iter();
    for stage in down.iter().chain(&up) {
        assert!(rest.any(|s| s == stage), "{stage:?} does not come next in {found:?}");
    }
}

/// What the PyTorch version of scripts/golden/unet.py has, which prints these.
#[test]
fn parameter_counts() {
    let up = |up| UNet::padded(3, 2).up(up);
    assert_eq!(count(&UNet::original(1, 2)), 31_030_658);
    assert_eq!(count(&UNet::original(3, 2)), 31_031_810);
    assert_eq!(count(&UNet::padded(3, 2)), 31_037_698);
    assert_eq!(count(&up(BILINEAR)), 17_263_042);
    assert_eq!(count(&UNet::padded(3, 2).batch_norm(false)), 31_031_810);
    assert_eq!(count(&up(UpPath::ResizeConv(Interpolation::Nearest))), 34_519_298);
    assert_eq!(count(&UNet::padded(1, 2).width(16).depth(3).unwrap()), 482_466);
}

#[test]
fn names_are_milesials() {
    let names = |model: &UNet| -> Vec<String> {
        let (scope, _) = built(model, [1, 3, 188, 188]);
        scope.params().iter().map(|p| p.name().unwrap().to_string()).collect()
    };
    let padded = names(&UNet::padded(3, 2));
    let norm =
        |p: &str| ["0.weight", "1.weight", "1.bias", "3.weight", "4.weight", "4.bias"].map(|n| format!("{p}.{n}"));
    assert_eq!(padded[..6], norm("inc.double_conv"));
    assert_eq!(padded[6..12], norm("down1.maxpool_conv.1.double_conv"));
    assert_eq!(padded[30..32], ["up1.up.weight", "up1.up.bias"]);
    assert_eq!(padded[32..38], norm("up1.conv.double_conv"));
    assert_eq!(padded[padded.len() - 2..], ["outc.conv.weight", "outc.conv.bias"]);
    let original = names(&UNet::original(3, 2));
    assert_eq!(original[..4], ["0.weight", "0.bias", "2.weight", "2.bias"].map(|n| format!("inc.double_conv.{n}")));
    let resized = names(&UNet::padded(3, 2).up(UpPath::ResizeConv(Interpolation::Nearest)));
    assert_eq!(resized[30..32], ["up1.up.1.weight", "up1.up.1.bias"]);
}

#[test]
fn other_sizes() {
    let model = UNet::original(1, 2);
    assert_eq!((model.margin(), model.step()), (92, 16));
    assert_eq!(
        [572, 188, 172, 571, 574, 3].map(|s| model.output_size(s)),
        [Some(388), Some(4), None, None, None, None]
    );
    assert_eq!([1, 4, 5, 388, 389].map(|s| model.input_size(s)), [188, 188, 204, 572, 588]);
    for depth in 1..=5 {
        let model = UNet::original(1, 2).depth(depth).unwrap();
        let size = model.input_size(1);
        assert_eq!(model.output_size(size), Some(size - 2 * model.margin()));
    }
    let small = UNet::padded(1, 3).width(2);
    for up in [UpPath::Transposed, BILINEAR, UpPath::ResizeConv(Interpolation::Nearest)] {
        assert_eq!(built(&small.clone().up(up), [2, 1, 37, 16]).1.shape(), [2, 3, 37, 16]);
        let valid = UNet::original(1, 3).width(2).up(up);
        assert_eq!(built(&valid, [1, 1, 188, 204]).1.shape(), [1, 3, 4, 20]);
    }
}

#[test]
fn errors_name_what_would_do() {
    let error = |model: &UNet, shape| checked(|| built(model, shape).1).unwrap_err().to_string();
    let original = UNet::original(1, 2);
    let text = error(&original, [1, 1, 572, 570]);
    assert!(
        text.starts_with("UNet: a side of 570 does not fit: before each pooling it must be even; 572 would do"),
        "{text}"
    );
    assert!(error(&original, [1, 3, 572, 572]).starts_with("UNet: [N, 1, H, W] expected, not [1, 3, 572, 572]"));
    assert!(error(&UNet::padded(1, 2), [1, 1, 15, 16]).contains("a side of 15 does not fit: it must not vanish; 16"));
    let text = UNet::padded(1, 2).depth(0).unwrap_err().to_string();
    assert_eq!(text, "the U-Net has no depth 0; there are 1, 2, 3, 4, 5, 6, 7 and 8");
}

/// Dropout is at the bottom alone, and only in training.
#[test]
fn dropout_is_an_option() {
    let random = |scope: &Scope| scope.updates().states().any(|s| s.name() == Some(wgrad_nn::GENERATOR));
    let model = UNet::original(1, 2).width(2);
    assert!(!random(&built(&model, [1, 1, 188, 188]).0));
    assert!(random(&built(&model.dropout(0.5), [1, 1, 188, 188]).0));
}

fn picture(channels: usize, [height, width]: [usize; 2]) -> Vec<f32> {
    let value = |i: usize| ((i.wrapping_mul(2_654_435_761) >> 7) % 1000) as f32 / 500.0 - 1.0;
    (0..channels * height * width).map(value).collect()
}

/// The image with `around` mirrored pixels on the top and left, and as many after it as make it `size`.
fn mirrored(image: &[f32], [height, width]: [usize; 2], around: usize, size: [usize; 2]) -> Vec<f32> {
    // Said another way than in the library: walk to and fro.
    let walk = |n: usize, len: usize| -> Vec<usize> {
        let there_and_back: Vec<usize> = (0..n).chain((1..n.max(2) - 1).rev()).collect();
        let start = there_and_back.len() - around % there_and_back.len();
        there_and_back.iter().cycle().skip(start).take(len).copied().collect()
    };
    let (rows, columns) = (walk(height, size[0]), walk(width, size[1]));
    let channels = image.chunks_exact(height * width);
    channels
        .flat_map(|c| rows.iter().flat_map(|&y| columns.iter().map(move |&x| c[y * width + x])).collect::<Vec<_>>())
        .collect()
}

fn pass(model: &UNet, state: &mut State, image: &[f32], [height, width]: [usize; 2]) -> (Vec<f32>, Vec<usize>) {
    let x = Tensor::input("images", [1, model.in_channels, height, width], DType::F32);
    let logits = model.forward(&Scope::eval(), &x);
    let program = Program::compile(&Device::cpu(), &[&logits], &Updates::new()).unwrap();
    state.add(&program).unwrap();
    (program.run(state, &[("images", Data::from(image))]).unwrap().f32(0).unwrap(), logits.shape().to_vec())
}

fn fresh(model: &UNet) -> State {
    let x = Tensor::input("images", [1, model.in_channels, model.input_size(1), model.input_size(1)], DType::F32);
    let logits = model.forward(&Scope::eval(), &x);
    let program = Program::compile(&Device::cpu(), &[&logits], &Updates::new()).unwrap();
    State::init(&Device::cpu(), &program, 3).unwrap()
}

/// Tile by tile, or all at once over the mirrored image: the same.
#[test]
fn tiles_of_the_original_are_one_large_pass() {
    let model = UNet::original(2, 3).width(4).depth(2).unwrap();
    let mut state = fresh(&model);
    let margin = model.margin();
    // Many tiles; odd sizes; smaller than a tile; smaller than the margin; one pixel; one row.
    for size in [[70, 52], [41, 67], [9, 13], [5, 3], [1, 1], [1, 30]] {
        let tiles = OverlapTile::new(&Device::cpu(), &model, [60, 68], 0, 3).unwrap();
        let image = picture(2, size);
        let got = tiles.run(&mut state, &image, size).unwrap();
        let large = size.map(|s| model.input_size(s));
        let (whole, shape) = pass(&model, &mut state, &mirrored(&image, size, margin, large), large);
        assert_eq!(got.len(), 3 * size[0] * size[1]);
        for (i, got) in got.iter().enumerate() {
            let (class, y, x) = (i / size[1] / size[0], i / size[1] % size[0], i % size[1]);
            let expected = whole[(class * shape[2] + y) * shape[3] + x];
            assert!((got - expected).abs() < 1e-5, "{size:?} at {class}, {y}, {x}: {got}, not {expected}");
        }
    }
}

/// With enough overlap, what the padding's zeros reach is dropped: away from the image's border all is as in one pass.
#[test]
fn tiles_of_the_padded_form() {
    let model = UNet::padded(1, 2).width(4).depth(1).unwrap();
    let mut state = fresh(&model);
    let (size, reach) = ([50, 44], 10);
    let tiles = OverlapTile::new(&Device::cpu(), &model, [32, 36], reach, 2).unwrap();
    assert_eq!(tiles.kept(), [12, 16]);
    let image = picture(1, size);
    let got = tiles.run(&mut state, &image, size).unwrap();
    let (whole, _) = pass(&model, &mut state, &image, size);
    for (i, (got, expected)) in got.iter().zip(&whole).enumerate() {
        let (y, x) = (i / size[1] % size[0], i % size[1]);
        if (reach..size[0] - reach).contains(&y) && (reach..size[1] - reach).contains(&x) {
            assert!((got - expected).abs() < 1e-5, "at {y}, {x}: {got}, not {expected}");
        }
    }
}

#[test]
fn wrong_tiles_and_images() {
    let model = UNet::original(1, 2).width(2).depth(2).unwrap();
    let tiles = |tile, overlap| OverlapTile::new(&Device::cpu(), &model, tile, overlap, 1);
    assert!(matches!(tiles([61, 60], 0), Err(TileError::Shape(_))));
    assert!(matches!(tiles([60, 60], 20), Err(TileError::NoRoom { size: 60, margin: 40, step: 4 })));
    assert!(matches!(tiles([60, 60], usize::MAX), Err(TileError::NoRoom { .. })));
    let (tiles, mut state) = (tiles([60, 60], 0).unwrap(), fresh(&model));
    for (values, size) in [(0, [0, 5]), (24, [5, 5]), (0, [usize::MAX, 3])] {
        let error = tiles.run(&mut state, &vec![0.0; values], size).unwrap_err();
        assert!(matches!(error, TileError::Image { .. }), "{error}");
    }
}
