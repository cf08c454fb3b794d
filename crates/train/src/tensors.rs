//! Between the tensors of a [`State`] and those of a file.

use std::collections::BTreeMap;
use std::path::Path;

use wgrad_graph::{DType, State};

use crate::checkpoint::{Dtype, LoadReport, TensorData, TensorMap};
use crate::error::TrainError;

/// Copies the state's tensors of these names from the device. Waits for it.
///
/// # Errors
/// If a name is not in the state, or the device fails.
pub fn export<'a>(state: &State, names: impl IntoIterator<Item = &'a str>) -> Result<TensorMap, TrainError> {
    let kinds: BTreeMap<&str, (&[usize], DType)> =
        state.tensors().map(|(n, shape, dtype)| (n, (shape, dtype))).collect();
    let mut tensors = TensorMap::new();
    for name in names {
        let bytes = state.bytes(name)?;
        let (shape, dtype) = kinds[name];
        tensors.insert(name.into(), TensorData { shape: shape.into(), dtype: stored_as(dtype), bytes });
    }
    Ok(tensors)
}

/// Replaces the state's tensors of these names by those in `from`. Other floating-point types are converted, and what
/// `from` has besides is left alone. Nothing is replaced unless all can be.
///
/// `path` (where `from` was read) and `model` are for the error.
///
/// # Errors
/// If one of them is missing in `from` or has another shape or kind, or the device fails.
pub fn import<'a>(
    state: &mut State,
    names: impl IntoIterator<Item = &'a str>,
    from: &TensorMap,
    path: &Path,
    model: &str,
) -> Result<(), TrainError> {
    let kinds: BTreeMap<String, (Vec<usize>, DType)> =
        state.tensors().map(|(n, shape, dtype)| (n.to_string(), (shape.to_vec(), dtype))).collect();
    let mut expected = BTreeMap::new();
    for name in names {
        // A name that the state lacks is told by the state itself, below.
        let shape = kinds.get(name).map(|(shape, _)| shape.clone()).unwrap_or_default();
        expected.insert(name.to_string(), shape);
    }
    LoadReport::compare(&expected, from).require_complete(path, model)?;
    let mut converted = Vec::new();
    for name in expected.keys() {
        let dtype = kinds.get(name).map_or(DType::F32, |(_, dtype)| *dtype);
        converted.push((name, as_stored(name, &from[name], dtype)?));
    }
    for (name, bytes) in converted {
        state.set_bytes(name, &bytes)?;
    }
    Ok(())
}

/// Replaces those of the state's tensors of these names that `from` has in the same shape, and tells what did not fit. Other
/// floating-point types are converted.
///
/// `path` (where `from` was read) and `model` are for the error.
///
/// # Errors
/// If not one of them fits, a tensor is of another kind, or the device fails.
pub fn load_fitting<'a>(
    state: &mut State,
    names: impl IntoIterator<Item = &'a str>,
    from: &TensorMap,
    path: &Path,
    model: &str,
) -> Result<LoadReport, TrainError> {
    let names: Vec<&str> = names.into_iter().collect();
    let shapes = state.tensors().filter(|(name, ..)| names.contains(name));
    let expected = shapes.map(|(name, shape, _)| (name.to_string(), shape.to_vec())).collect();
    let report = LoadReport::compare(&expected, from);
    let fits = |name: &&String| from.get(*name).is_some_and(|tensor| tensor.shape == expected[*name]);
    let fitting: Vec<&str> = expected.keys().filter(fits).map(String::as_str).collect();
    if fitting.is_empty() {
        return Err(TrainError::OtherTensors { path: path.into(), model: model.into(), report: report.to_string() });
    }
    import(state, fitting, from, path, model)?;
    Ok(report)
}

/// How files hold a type. Truth values are words of 0 and 1, as on the device.
fn stored_as(dtype: DType) -> Dtype {
    match dtype {
        DType::F32 => Dtype::F32,
        DType::F16 => Dtype::F16,
        DType::U32 | DType::Bool => Dtype::U32,
        DType::I32 => Dtype::I32,
    }
}

/// The bytes of a file's tensor, converted to the state's type.
fn as_stored(name: &str, tensor: &TensorData, dtype: DType) -> Result<Vec<u8>, TrainError> {
    if tensor.dtype == stored_as(dtype) {
        return Ok(tensor.bytes.clone());
    }
    Ok(match dtype {
        DType::F32 => tensor.to_f32(name)?.into_iter().flat_map(f32::to_le_bytes).collect(),
        DType::F16 => tensor.to_f32(name)?.into_iter().flat_map(|x| half::f16::from_f32(x).to_le_bytes()).collect(),
        DType::U32 | DType::Bool => tensor.to_u32(name)?.into_iter().flat_map(u32::to_le_bytes).collect(),
        DType::I32 => {
            let found = format!("{:?}", tensor.dtype);
            return Err(TrainError::TensorType { name: name.into(), found, expected: "i32" });
        }
    })
}
