use super::layers::run;
use super::*;
use std::collections::HashMap;
use wgrad_graph::{Array, DType, Init, checked, reference};
use wgrad_nn::Layer;

fn images(batch: usize, size: usize) -> Tensor {
    Tensor::input("images", [batch, 3, size, size], DType::F32)
}

/// Parameters, and parameters with the statistics of norms.
fn count(model: &Yolo, size: usize) -> (usize, usize) {
    let scope = Scope::train();
    model.forward(&scope, &images(1, size));
    (scope.param_count(), scope.tensors().iter().map(Tensor::count).sum())
}

/// The second numbers are those of the published files: yolov3.weights has 248,007,048 bytes and yolov3-tiny.weights
/// 35,434,956, of which 20 are the header.
#[test]
fn sizes() {
    assert_eq!(count(&Yolo::v3(80), 64), (61_949_149, (248_007_048 - 20) / 4));
    assert_eq!(count(&Yolo::tiny(80), 64), (8_852_366, (35_434_956 - 20) / 4));
    assert_eq!(count(&Yolo::small(80), 64).0, 1_351_342);
    let scope = Scope::train();
    Darknet53::new(1000).forward(&scope, &images(1, 64));
    assert_eq!(scope.param_count(), 41_609_928);
    assert_eq!(scope.param_count() - scope.enter("module_list.76").param_count(), 40_584_928);
}

/// Channels and resolution of sections, as the log of Darknet prints them for 416 x 416.
fn stages(model: &Yolo, expected: &[(usize, usize, usize)]) {
    let values = run(&model.sections(), &Scope::eval(), &images(1, 416), &Init::Constant(0.0));
    for &(section, channels, size) in expected {
        assert_eq!(values[section].shape(), [1, channels, size, size], "section {section} of {}", model.name());
    }
}

#[test]
fn shapes_through_every_stage() {
    let backbone = [(0, 32, 416), (1, 64, 208), (4, 64, 208), (5, 128, 104), (11, 128, 104), (12, 256, 52)];
    let upper = [(36, 256, 52), (37, 512, 26), (61, 512, 26), (62, 1024, 13), (74, 1024, 13)];
    let necks = [(79, 512, 13), (81, 255, 13), (84, 256, 13), (85, 256, 26), (86, 768, 26), (91, 256, 26)];
    let ends = [(93, 255, 26), (96, 128, 26), (97, 128, 52), (98, 384, 52), (105, 255, 52), (106, 255, 52)];
    stages(&Yolo::v3(80), &[&backbone[..], &upper, &necks, &ends].concat());
    let tiny = [(0, 16, 416), (9, 256, 13), (10, 512, 13), (11, 512, 13), (12, 1024, 13), (13, 256, 13), (15, 255, 13)];
    let second = [(17, 256, 13), (18, 128, 13), (19, 128, 26), (20, 384, 26), (21, 256, 26), (22, 255, 26)];
    stages(&Yolo::tiny(80), &[&tiny[..], &second].concat());
    let small =
        [(12, 128, 52), (16, 256, 26), (17, 128, 26), (19, 255, 26), (24, 192, 52), (26, 128, 52), (27, 255, 52)];
    stages(&Yolo::small(80), &small);

    for (model, boxes) in [(Yolo::v3(80), 10_647), (Yolo::tiny(80), 2_535), (Yolo::small(80), 10_140)] {
        let predictions = model.forward(&Scope::eval(), &images(2, 416));
        assert_eq!(predictions.raw.shape(), [2, boxes, 85]);
        assert_eq!(predictions.boxes.shape(), [2, boxes, 4]);
    }
    assert_eq!(Yolo::v3(80).forward(&Scope::eval(), &images(1, 608)).raw.shape(), [1, 22_743, 85]);
    let error = checked(|| Yolo::v3(80).forward(&Scope::eval(), &images(1, 400))).unwrap_err().to_string();
    assert!(error.contains("multiples of 32") && error.contains("[1, 3, 400, 400]"), "{error}");
}

#[test]
fn names_are_those_of_pytorch_yolov3() {
    let scope = Scope::eval();
    Yolo::tiny(4).forward(&scope, &images(1, 64));
    let names: Vec<String> = scope.tensors().iter().map(|t| t.name().unwrap().to_string()).collect();
    for name in [
        "module_list.0.conv_0.weight",
        "module_list.0.batch_norm_0.weight",
        "module_list.0.batch_norm_0.bias",
        "module_list.0.batch_norm_0.running_mean",
        "module_list.0.batch_norm_0.running_var",
        "module_list.15.conv_15.weight",
        "module_list.15.conv_15.bias",
        "module_list.22.conv_22.bias",
    ] {
        assert!(names.iter().any(|n| n == name), "{name}");
    }
    assert_eq!(names.len(), 11 * 5 + 2 * 2);
}

#[test]
fn anchors_are_checked() {
    assert!(Yolo::v3(2).anchors(&COCO_ANCHORS).is_ok());
    for wrong in [&COCO_TINY_ANCHORS[..], &[[1.0, f32::NAN]; 9], &[[0.0, 1.0]; 9]] {
        let error = Yolo::v3(2).anchors(wrong).unwrap_err().to_string();
        assert!(error.starts_with("yolov3: 9 anchors"), "{error}");
    }
}

#[test]
fn a_prior_is_what_every_box_starts_with() {
    let inits = |model: &Yolo| {
        let scope = Scope::train();
        model.forward(&scope, &images(1, 32));
        let device = wgrad_graph::Device::cpu();
        let heads: Vec<Tensor> =
            scope.params().into_iter().filter(|p| p.name().unwrap().ends_with("conv_27.bias")).collect();
        let program = wgrad_graph::Program::compile(&device, &[&heads[0]], &wgrad_graph::Updates::new()).unwrap();
        wgrad_graph::State::init(&device, &program, 0).unwrap().f32("module_list.27.conv_27.bias").unwrap()
    };
    let model = Yolo::small(2).width(1);
    assert_eq!(inits(&model), [0.0; 21]);
    for (i, bias) in inits(&model.clone().prior(0.2).unwrap()).into_iter().enumerate() {
        assert!((bias - if i % 7 == 4 { -(4.0f32.ln()) } else { 0.0 }).abs() < 1e-6, "{i}: {bias}");
    }
    for wrong in [0.0, 1.0, f32::NAN] {
        assert!(model.clone().prior(wrong).unwrap_err().to_string().starts_with("yolov3-small: a prior"));
    }
}

fn evaluate(roots: &[&Tensor], inputs: &[(&str, Array)]) -> Vec<Vec<f64>> {
    let leaves: HashMap<String, Array> = inputs.iter().map(|(n, a)| (n.to_string(), a.clone())).collect();
    reference::evaluate(roots, &leaves).into_iter().map(|a| a.data).collect()
}

/// Predictions of a small grid (2 x 3 cells) and a fine one (4 x 6), of images of 64 x 96 and two classes, from inputs.
fn toy() -> Predictions {
    let anchors = [[6.0, 5.0], [9.0, 20.0], [16.0, 12.0], [30.0, 33.0], [50.0, 28.0], [60.0, 60.0]];
    let coarse = Tensor::input("coarse", [2, 21, 2, 3], DType::F32);
    let fine = Tensor::input("fine", [2, 21, 4, 6], DType::F32);
    Predictions::new(&[(coarse, [3, 4, 5]), (fine, [0, 1, 2])], &anchors, 2, [64, 96])
}

/// Numbers between -2 and 2 that nothing depends on.
fn noise(count: usize, seed: f64) -> Vec<f64> {
    (0..count).map(|i| 2.0 * ((i as f64 + seed) * 12.9898).sin()).collect()
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

#[test]
fn boxes_are_decoded_as_the_paper_says() {
    let predictions = toy();
    let (coarse, fine) = (noise(2 * 21 * 6, 0.0), noise(2 * 21 * 24, 0.5));
    let inputs =
        [("coarse", Array::new([2, 21, 2, 3], coarse.clone())), ("fine", Array::new([2, 21, 4, 6], fine.clone()))];
    let found = &evaluate(&[&predictions.detections()], &inputs)[0];
    let mut row = 0;
    for image in 0..2 {
        for (map, rows, columns, first) in [(&coarse, 2, 3, 3), (&fine, 4, 6, 0)] {
            for (anchor, i, j) in (0..3).flat_map(|a| (0..rows).flat_map(move |i| (0..columns).map(move |j| (a, i, j))))
            {
                let at = |c: usize| map[((image * 21 + anchor * 7 + c) * rows + i) * columns + j];
                let (size, extent) = (predictions.anchors[first + anchor], [96.0 / columns as f64, 64.0 / rows as f64]);
                let expected = [
                    extent[0] * (sigmoid(at(0)) + j as f64),
                    extent[1] * (sigmoid(at(1)) + i as f64),
                    f64::from(size[0]) * at(2).exp(),
                    f64::from(size[1]) * at(3).exp(),
                    sigmoid(at(4)),
                    sigmoid(at(5)),
                    sigmoid(at(6)),
                ];
                for (c, value) in expected.iter().enumerate() {
                    assert!((found[row * 7 + c] - value).abs() < 1e-5 * (1.0 + value), "row {row}, value {c}");
                }
                row += 1;
            }
        }
    }
}

/// The assignment object by object, on the host.
fn assign_plainly(predictions: &Predictions, boxes: &[[f64; 4]]) -> Vec<Option<(usize, [f64; 5])>> {
    let mut found: Vec<Option<(usize, [f64; 5])>> = Vec::new();
    for &[x, y, w, h] in boxes {
        if w == 0.0 {
            found.push(None);
            continue;
        }
        let (wide, high) = (w * 96.0, h * 64.0);
        let fit = |a: &[f32; 2]| {
            let [aw, ah] = a.map(f64::from);
            let shared = wide.min(aw) * high.min(ah);
            shared / (wide * high + aw * ah - shared)
        };
        let anchors = &predictions.anchors;
        let best = (0..6).max_by(|&a, &b| fit(&anchors[a]).total_cmp(&fit(&anchors[b]))).unwrap();
        let (start, rows, columns, place) = if best >= 3 { (0, 2, 3, best - 3) } else { (18, 4, 6, best) };
        let (i, j) = ((y * rows as f64).floor(), (x * columns as f64).floor());
        let index = start + (place * rows + i as usize) * columns + j as usize;
        for earlier in found.iter_mut().filter(|f| f.is_some_and(|f| f.0 == index)) {
            *earlier = None;
        }
        let [aw, ah] = anchors[best].map(f64::from);
        let targets = [x * columns as f64 - j, y * rows as f64 - i, (wide / aw).ln(), (high / ah).ln(), 2.0 - w * h];
        found.push(Some((index, targets)));
    }
    found
}

fn truth(objects: usize) -> Truth {
    let boxes = Tensor::input("boxes", [2, objects, 4], DType::F32);
    Truth { boxes, classes: Tensor::input("classes", [2, objects], DType::U32) }
}

#[test]
fn objects_find_their_boxes() {
    // Small, tall, wide, large; one at the very corner; one that takes another's box; none.
    let first = [
        [0.5, 0.5, 0.06, 0.08],
        [0.2, 0.9, 0.1, 0.3],
        [0.99, 0.99, 0.9, 0.9],
        [0.51, 0.53, 0.065, 0.075],
        [0.0, 0.0, 0.3, 0.5],
        [0.0; 4],
    ];
    let second = [[0.0; 4], [0.7, 0.3, 0.55, 0.4], [0.0; 4], [0.71, 0.31, 0.5, 0.45], [0.72, 0.6, 0.52, 0.4], [0.0; 4]];
    let predictions = toy();
    let assigned = truth(6).assign(&predictions);
    let [x, y] = &assigned.offsets;
    let [w, h] = &assigned.sizes;
    let flat: Vec<f64> = first.iter().chain(&second).flatten().copied().collect();
    let roots = [&assigned.index, &assigned.kept, x, y, w, h, &assigned.weight];
    let values = evaluate(&roots, &[("boxes", Array::new([2, 6, 4], flat))]);
    assert!(values.iter().flatten().all(|v| v.is_finite()));
    let mut kept = 0;
    for (image, boxes) in [first, second].iter().enumerate() {
        for (m, expected) in assign_plainly(&predictions, boxes).into_iter().enumerate() {
            let at = image * 6 + m;
            assert_eq!(values[1][at], f64::from(u8::from(expected.is_some())), "object {at}");
            if let Some((index, targets)) = expected {
                assert_eq!(values[0][at], index as f64, "object {at}");
                for (i, target) in targets.iter().enumerate() {
                    assert!((values[2 + i][at] - target).abs() < 1e-6, "object {at}, target {i}");
                }
                kept += 1;
            }
        }
    }
    assert_eq!(kept, 6); // two of eight gave way
}

#[test]
fn near_misses_do_not_count() {
    let predictions = toy();
    // All zeros: every box has its anchor's size, in the middle of its cell, and probability 1/2 of everything.
    let zeros =
        [("coarse", Array::new([2, 21, 2, 3], vec![0.0; 252])), ("fine", Array::new([2, 21, 4, 6], vec![0.0; 1008]))];
    // An object of the fifth anchor in the middle of the first cell; the sixth anchor's box there overlaps it by 0.389.
    let mut boxes = vec![0.0; 2 * 3 * 4];
    boxes[..4].copy_from_slice(&[16.0 / 96.0, 16.0 / 64.0, 50.0 / 96.0, 28.0 / 64.0]);
    let inputs =
        [&zeros[..], &[("boxes", Array::new([2, 3, 4], boxes)), ("classes", Array::new([2, 3], vec![1.0; 6]))]]
            .concat();
    let loss = |ignore: f32| {
        let losses = YoloLoss::default().ignore(ignore).forward(&predictions, &truth(3));
        evaluate(&[&losses.boxes, &losses.objectness, &losses.class, &losses.total], &inputs).concat()
    };
    let half = std::f64::consts::LN_2; // cross-entropy of 1/2
    let strict = loss(0.99);
    // 90 boxes in each of two images.
    let expected = [(2.0 - 50.0 * 28.0 / (96.0 * 64.0)) * 2.0 * half / 2.0, 180.0 * half / 2.0, 2.0 * half / 2.0];
    for (found, expected) in strict.iter().zip(expected) {
        assert!((found - expected).abs() < 1e-5, "{strict:?} {expected}");
    }
    assert!((strict[3] - expected.iter().sum::<f64>()).abs() < 1e-5);
    // Of those that overlap more than 0.35, how many do not have the object?
    let ignored = ((strict[1] - loss(0.35)[1]) / (half / 2.0)).round();
    assert_eq!(ignored, overlapping(&predictions, 0.35));
    assert!(ignored >= 1.0);
    assert_eq!(loss(0.35)[0], strict[0]);
}

/// How many boxes of all zeros, but for the object's own, overlap the object above by more than this.
fn overlapping(predictions: &Predictions, least: f64) -> f64 {
    let object: [f64; 4] = [16.0 - 25.0, 16.0 - 14.0, 16.0 + 25.0, 16.0 + 14.0];
    let mut count = 0;
    for (rows, columns, first) in [(2, 3, 3), (4, 6, 0)] {
        for (anchor, i, j) in (0..3).flat_map(|a| (0..rows).flat_map(move |i| (0..columns).map(move |j| (a, i, j)))) {
            let [w, h] = predictions.anchors[first + anchor].map(f64::from);
            let (x, y) = ((j as f64 + 0.5) * 96.0 / columns as f64, (i as f64 + 0.5) * 64.0 / rows as f64);
            let wide = (object[2].min(x + w / 2.0) - object[0].max(x - w / 2.0)).max(0.0);
            let high = (object[3].min(y + h / 2.0) - object[1].max(y - h / 2.0)).max(0.0);
            let shared = wide * high;
            let own = (rows, anchor, i, j) == (2, 1, 0, 0);
            count += usize::from(!own && shared / (w * h + 1400.0 - shared) > least);
        }
    }
    count as f64
}

/// A `.weights` file of the given convolutions, numbered 0, 1, 2... throughout.
fn file(version: [u32; 3], seen: &[u32], values: usize) -> Vec<u8> {
    let header = version.iter().chain(seen).flat_map(|v| v.to_le_bytes());
    header.chain((0..values).flat_map(|v| (v as f32).to_le_bytes())).collect()
}

#[test]
fn darknet_files_are_read_in_their_order() {
    let model = Yolo::small(2).width(1);
    let total = count(&model, 32).1;
    let read = model.darknet_weights(&file([0, 2, 5], &[7, 1], total), 3).unwrap();
    assert_eq!((read.version, read.seen, read.missing.len()), ([0, 2, 5], 7 | 1 << 32, 0));
    let first: Vec<(&str, &[usize], &[f32])> =
        read.tensors.iter().take(5).map(|t| (t.name.as_str(), &t.shape[..], &t.values[..1])).collect();
    assert_eq!(
        first,
        [
            ("module_list.0.batch_norm_0.bias", &[1][..], &[0.0][..]),
            ("module_list.0.batch_norm_0.weight", &[1], &[1.0]),
            ("module_list.0.batch_norm_0.running_mean", &[1], &[2.0]),
            ("module_list.0.batch_norm_0.running_var", &[1], &[3.0]),
            ("module_list.0.conv_0.weight", &[1, 3, 3, 3], &[4.0]),
        ]
    );
    let last = &read.tensors[read.tensors.len() - 2..];
    assert_eq!((last[0].name.as_str(), last[0].shape.as_slice()), ("module_list.27.conv_27.bias", &[21][..]));
    assert_eq!(last[1].values.last(), Some(&((total - 1) as f32)));
    // Every tensor of the model is there, with its shape.
    let scope = Scope::eval();
    model.forward(&scope, &images(1, 32));
    for tensor in scope.tensors() {
        let found = read.tensors.iter().find(|t| Some(t.name.as_str()) == tensor.name()).unwrap();
        assert_eq!((&found.shape[..], found.values.len()), (tensor.shape(), tensor.count()));
    }
    // Before version 0.2 the count of images had half the size.
    let old = model.darknet_weights(&file([0, 1, 0], &[7], total), 3).unwrap();
    assert_eq!((old.seen, &old.tensors), (7, &read.tensors));
}

#[test]
fn darknet_files_of_other_models_are_refused() {
    let model = Yolo::small(2).width(1);
    let total = count(&model, 32).1;
    let whole = file([0, 2, 0], &[0, 0], total);
    // Everywhere in the header, and around the end of every tensor.
    let tensors = model.darknet_weights(&whole, 3).unwrap().tensors;
    let mut lengths: Vec<usize> = (0..24).collect();
    for tensor in &tensors {
        let end = lengths[lengths.len() - 1].max(20) / 4 * 4 + 4 * tensor.values.len();
        lengths.extend([end - 1, end, end + 1]);
    }
    let mut ends = Vec::new();
    for length in lengths.into_iter().filter(|&length| length < whole.len()) {
        match model.darknet_weights(&whole[..length], 3) {
            Ok(read) => {
                assert!(!read.missing.is_empty());
                ends.push(read.missing[0]);
            }
            Err(error) => assert!(error.to_string().contains("yolov3-small: it ends in"), "{error}"),
        }
    }
    // A file may end where a layer does: the backbone alone.
    assert_eq!(ends, [0, 1, 2, 3, 5, 6, 7, 9, 10, 11, 13, 14, 15, 17, 18, 19, 22, 25, 26, 27]);
    let more = [&whole[..], &[0; 4]].concat();
    let error = model.darknet_weights(&more, 3).unwrap_err().to_string();
    assert!(error.contains("4 bytes are left"), "{error}");
    let error = model.darknet_weights(&file([70_000, 2, 0], &[0, 0], total), 3).unwrap_err().to_string();
    assert!(error.contains("version 70000.2"), "{error}");
}
