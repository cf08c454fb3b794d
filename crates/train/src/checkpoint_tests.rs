use super::*;
use crate::testing::{TempDir, names};

fn sample() -> TensorMap {
    [
        ("fc.weight", TensorData::from_f32([2, 3], &[1.0, -2.5, 3.0, 4.0, f32::MIN_POSITIVE, 6.0])),
        ("fc.bias", TensorData::from_f32([2], &[0.5, -0.0])),
        ("step", TensorData::from_u32([], &[7])),
        ("none", TensorData::from_f32([0, 5], &[])),
    ]
    .map(|(name, tensor)| (name.to_string(), tensor))
    .into()
}

fn shapes(tensors: &TensorMap) -> BTreeMap<String, Vec<usize>> {
    tensors.iter().map(|(name, tensor)| (name.clone(), tensor.shape.clone())).collect()
}

#[test]
fn comes_back_as_it_was() {
    let dir = TempDir::new("checkpoint");
    let path = dir.path().join("a.safetensors");
    save(&path, &sample()).unwrap();
    let loaded = load(&path).unwrap();
    assert_eq!(loaded, sample());
    assert_eq!(loaded["fc.bias"].to_f32("fc.bias").unwrap()[1].to_bits(), (-0.0f32).to_bits());
    assert_eq!(loaded["step"].to_u32("step").unwrap(), [7]);
    assert_eq!(names(dir.path()), ["a.safetensors"]);
}

#[test]
fn the_same_tensors_give_the_same_bytes() {
    let expected = encode(&sample()).unwrap();
    for _ in 0..20 {
        // Inserted in another order, and the library's hash maps seeded anew.
        let again: TensorMap = sample().into_iter().rev().collect();
        assert_eq!(encode(&again).unwrap(), expected);
    }
}

#[test]
fn every_truncation_is_refused() {
    let bytes = encode(&sample()).unwrap();
    for cut in 0..bytes.len() {
        let error = decode(&bytes[..cut], Path::new("model.safetensors")).unwrap_err();
        assert!(error.to_string().contains("model.safetensors"), "{error}");
    }
    let mut longer = bytes;
    longer.push(0);
    assert!(decode(&longer, Path::new("x")).is_err());
}

#[test]
fn garbage_is_refused_without_a_panic() {
    let refused =
        |bytes: &[u8]| assert!(matches!(decode(bytes, Path::new("x")), Err(TrainError::NotSafetensors { .. })));
    refused(b"");
    refused(b"PK\x03\x04 a zip file of PyTorch, say");
    refused(&[0xff; 64]);
    let with_header = |header: &str, data: &[u8]| {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend_from_slice(data);
        refused(&bytes);
    };
    with_header(r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}"#, &[0; 4]);
    with_header(r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}"#, &[0; 4]);
    with_header(r#"{"a":{"dtype":"F99","shape":[1],"data_offsets":[0,4]}}"#, &[0; 4]);
    let huge = u64::MAX;
    with_header(&format!(r#"{{"a":{{"dtype":"F32","shape":[{huge},{huge}],"data_offsets":[0,4]}}}}"#), &[0; 4]);
    with_header(&format!(r#"{{"a":{{"dtype":"F32","shape":[1],"data_offsets":[0,{huge}]}}}}"#), &[0; 4]);
    // Every byte of a sound file changed in turn: sound or refused, never a panic.
    let sound = encode(&sample()).unwrap();
    for at in 0..sound.len() {
        for bit in 0..8 {
            let mut bytes = sound.clone();
            bytes[at] ^= 1 << bit;
            let _ = decode(&bytes, Path::new("x"));
        }
    }
}

#[test]
fn a_missing_file_is_named() {
    let error = load("no/such.safetensors").unwrap_err();
    assert_eq!(error.to_string(), "cannot read no/such.safetensors");
}

#[test]
fn unsound_tensors_are_not_written() {
    let dir = TempDir::new("checkpoint");
    let path = dir.path().join("a.safetensors");
    save(&path, &sample()).unwrap();
    let mut bad = sample();
    bad.insert("odd".into(), TensorData::from_f32([3], &[1.0]));
    let error = save(&path, &bad).unwrap_err();
    assert!(matches!(error, TrainError::TensorSize { expected: 12, found: 4, .. }), "{error}");
    bad.insert("odd".into(), TensorData::from_f32([usize::MAX, 8], &[1.0]));
    assert!(save(&path, &bad).is_err());
    assert_eq!(load(&path).unwrap(), sample());
}

#[test]
fn other_types_are_converted_or_refused() {
    let tensor = |dtype, bytes: &[u8]| TensorData { shape: vec![1], dtype, bytes: bytes.into() };
    assert_eq!(tensor(Dtype::F64, &1.5f64.to_le_bytes()).to_f32("a").unwrap(), [1.5]);
    assert_eq!(tensor(Dtype::F16, &half::f16::from_f32(1.5).to_le_bytes()).to_f32("a").unwrap(), [1.5]);
    assert_eq!(tensor(Dtype::BF16, &half::bf16::from_f32(1.5).to_le_bytes()).to_f32("a").unwrap(), [1.5]);
    assert_eq!(tensor(Dtype::I64, &9i64.to_le_bytes()).to_u32("a").unwrap(), [9]);
    assert!(tensor(Dtype::I64, &(-9i64).to_le_bytes()).to_u32("a").is_err());
    assert!(tensor(Dtype::U64, &(1u64 << 32).to_le_bytes()).to_u32("a").is_err());
    let error = tensor(Dtype::U32, &[0; 4]).to_f32("conv.weight").unwrap_err().to_string();
    assert!(error.contains("conv.weight") && error.contains("U32"), "{error}");
    assert!(tensor(Dtype::F32, &[0; 4]).to_u32("a").is_err());
}

#[test]
fn the_report_says_what_differs() {
    let found = sample();
    let mut expected = shapes(&found);
    assert!(LoadReport::compare(&expected, &found).is_exact());
    expected.insert("bn.weight".into(), vec![3]);
    expected.insert("fc.bias".into(), vec![10]);
    expected.remove("step");
    let report = LoadReport::compare(&expected, &found);
    assert_eq!(report.missing, ["bn.weight"]);
    assert_eq!(report.unexpected, ["step"]);
    assert_eq!(report.mismatched, [("fc.bias".into(), vec![10], vec![2])]);
    assert_eq!(
        report.to_string(),
        "1 missing (bn.weight); 1 of another shape (fc.bias: [10] expected, [2] found); 1 not used (step)"
    );
    assert_eq!(format!("{report:#}").lines().count(), 6);
    let error = report.require_complete(Path::new("m.safetensors"), "resnet20").unwrap_err().to_string();
    assert!(error.starts_with("m.safetensors does not fit the model resnet20: 1 missing"), "{error}");
}

#[test]
fn a_long_report_stays_one_line() {
    let expected = (0..100).map(|i| (format!("layer{i}"), vec![1])).collect();
    let report = LoadReport::compare(&expected, &TensorMap::new());
    assert_eq!(report.to_string(), "100 missing (layer0, layer1, layer10, ...)");
    assert_eq!(format!("{report:#}").lines().count(), 101);
    let extra = LoadReport { unexpected: vec!["x".into()], ..Default::default() };
    assert!(extra.is_complete() && !extra.is_exact());
}
