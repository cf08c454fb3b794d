//! Named tensors in safetensors files.
//!
//! The same tensors always give the same bytes. A file is read whole and checked before anything is done with it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

pub use safetensors::Dtype;
use safetensors::SafeTensors;
use safetensors::tensor::TensorView;

use crate::atomic;
use crate::error::TrainError;

/// A tensor as a file holds it.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorData {
    /// The size along each dimension.
    pub shape: Vec<usize>,
    /// What the values are.
    pub dtype: Dtype,
    /// The values, row-major and little-endian.
    pub bytes: Vec<u8>,
}

/// Tensors by name.
pub type TensorMap = BTreeMap<String, TensorData>;

impl TensorData {
    /// A tensor of f32. The number of values is checked when it is written.
    pub fn from_f32(shape: impl Into<Vec<usize>>, values: &[f32]) -> Self {
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        Self { shape: shape.into(), dtype: Dtype::F32, bytes }
    }

    /// A tensor of u32. The number of values is checked when it is written.
    pub fn from_u32(shape: impl Into<Vec<usize>>, values: &[u32]) -> Self {
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        Self { shape: shape.into(), dtype: Dtype::U32, bytes }
    }

    /// The values as f32; f16, bf16 and f64 are converted. `name` is for the error.
    ///
    /// # Errors
    /// When the tensor holds no floating-point values.
    pub fn to_f32(&self, name: &str) -> Result<Vec<f32>, TrainError> {
        Ok(match self.dtype {
            Dtype::F32 => self.values(f32::from_le_bytes),
            Dtype::F64 => self.values(|b| f64::from_le_bytes(b) as f32),
            Dtype::F16 => self.values(|b| half::f16::from_le_bytes(b).to_f32()),
            Dtype::BF16 => self.values(|b| half::bf16::from_le_bytes(b).to_f32()),
            _ => return Err(self.wrong_type(name, "f32")),
        })
    }

    /// The values as u32; whole numbers of other types are converted where they fit. `name` is for the error.
    ///
    /// # Errors
    /// When the tensor holds no whole numbers, or one that u32 cannot hold.
    pub fn to_u32(&self, name: &str) -> Result<Vec<u32>, TrainError> {
        let fits = |values: Vec<i128>| values.into_iter().map(u32::try_from).collect::<Result<Vec<u32>, _>>().ok();
        match self.dtype {
            Dtype::U32 => Some(self.values(u32::from_le_bytes)),
            Dtype::U8 => Some(self.values(|[b]: [u8; 1]| u32::from(b))),
            Dtype::I32 => fits(self.values(|b| i32::from_le_bytes(b).into())),
            Dtype::I64 => fits(self.values(|b| i64::from_le_bytes(b).into())),
            Dtype::U64 => fits(self.values(|b| u64::from_le_bytes(b).into())),
            _ => None,
        }
        .ok_or_else(|| self.wrong_type(name, "u32"))
    }

    fn values<const N: usize, T>(&self, value: impl Fn([u8; N]) -> T) -> Vec<T> {
        self.bytes.chunks_exact(N).filter_map(|bytes| bytes.try_into().ok()).map(value).collect()
    }

    fn wrong_type(&self, name: &str, expected: &'static str) -> TrainError {
        TrainError::TensorType { name: name.into(), found: format!("{:?}", self.dtype), expected }
    }
}

/// The bytes of a safetensors file of these tensors. They depend on the tensors only.
///
/// # Errors
/// When a tensor's bytes do not agree with its shape and type.
pub fn encode(tensors: &TensorMap) -> Result<Vec<u8>, TrainError> {
    let views =
        tensors.iter().map(|(name, tensor)| Ok((name, view(name, tensor)?))).collect::<Result<Vec<_>, TrainError>>()?;
    // What readers of the Hugging Face family look for. One entry only: more would be written in random order.
    let metadata = [("format".to_string(), "pt".to_string())].into();
    safetensors::serialize(views, Some(metadata))
        .map_err(|reason| TrainError::NotSafetensors { path: "(in memory)".into(), reason: reason.to_string() })
}

/// The tensor as the safetensors library takes it, if its bytes agree with its shape and type.
fn view<'a>(name: &str, tensor: &'a TensorData) -> Result<TensorView<'a>, TrainError> {
    let TensorData { shape, dtype, bytes } = tensor;
    // Sizes that overflow are caught here: the library multiplies them unchecked.
    let values = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
    let bits = values.and_then(|n| n.checked_mul(dtype.bitsize()));
    let unsound = || TrainError::TensorSize {
        name: name.into(),
        shape: shape.clone(),
        expected: bits.map_or(usize::MAX, |bits| bits / 8),
        found: bytes.len(),
    };
    bits.ok_or_else(unsound)?;
    TensorView::new(*dtype, shape.clone(), bytes).map_err(|_| unsound())
}

/// The tensors in the bytes of a safetensors file; `path` is for the error.
///
/// # Errors
/// When the bytes are not a sound safetensors file.
pub fn decode(bytes: &[u8], path: &Path) -> Result<TensorMap, TrainError> {
    let file = SafeTensors::deserialize(bytes)
        .map_err(|reason| TrainError::NotSafetensors { path: path.into(), reason: reason.to_string() })?;
    let owned = |view: TensorView| TensorData {
        shape: view.shape().to_vec(),
        dtype: view.dtype(),
        bytes: view.data().to_vec(),
    };
    Ok(file.tensors().into_iter().map(|(name, view)| (name, owned(view))).collect())
}

/// Writes the tensors to a safetensors file: the whole file, or nothing.
///
/// # Errors
/// When a tensor is unsound, or the file cannot be written.
pub fn save(path: impl AsRef<Path>, tensors: &TensorMap) -> Result<(), TrainError> {
    atomic::write(path.as_ref(), &encode(tensors)?)
}

/// Reads all tensors of a safetensors file.
///
/// # Errors
/// When the file cannot be read, or is not a sound safetensors file.
pub fn load(path: impl AsRef<Path>) -> Result<TensorMap, TrainError> {
    let path = path.as_ref();
    decode(&std::fs::read(path).map_err(atomic::io("read", path))?, path)
}

/// These tensors under other names, without those that `rename` has no name for.
pub fn renamed(tensors: TensorMap, rename: impl Fn(&str) -> Option<String>) -> TensorMap {
    tensors.into_iter().filter_map(|(name, tensor)| Some((rename(&name)?, tensor))).collect()
}

/// How the tensors of a file differ from those that a model has. Prints as one line, and with `{:#}` as a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadReport {
    /// What the model has and the file has not.
    pub missing: Vec<String>,
    /// What the file has and the model has not.
    pub unexpected: Vec<String>,
    /// Of another shape: the name, the model's shape and the file's.
    pub mismatched: Vec<(String, Vec<usize>, Vec<usize>)>,
}

impl LoadReport {
    /// Compares the shapes that a model expects with what was found.
    pub fn compare(expected: &BTreeMap<String, Vec<usize>>, found: &TensorMap) -> Self {
        let mut report = Self::default();
        for (name, shape) in expected {
            match found.get(name) {
                None => report.missing.push(name.clone()),
                Some(tensor) if tensor.shape != *shape => {
                    report.mismatched.push((name.clone(), shape.clone(), tensor.shape.clone()));
                }
                Some(_) => {}
            }
        }
        report.unexpected = found.keys().filter(|name| !expected.contains_key(*name)).cloned().collect();
        report
    }

    /// Whether the file has all that the model needs; it may have more.
    pub fn is_complete(&self) -> bool {
        self.missing.is_empty() && self.mismatched.is_empty()
    }

    /// Whether the file has what the model has, and nothing else.
    pub fn is_exact(&self) -> bool {
        self.is_complete() && self.unexpected.is_empty()
    }

    /// Fails with one clear line unless the file has all that the model needs.
    ///
    /// # Errors
    /// When something is missing or of another shape.
    pub fn require_complete(&self, path: &Path, model: &str) -> Result<(), TrainError> {
        if self.is_complete() {
            return Ok(());
        }
        Err(TrainError::OtherTensors { path: path.into(), model: model.into(), report: self.to_string() })
    }
}

impl fmt::Display for LoadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shape = |(name, ours, theirs): &(String, Vec<usize>, Vec<usize>)| {
            format!("{name}: {ours:?} expected, {theirs:?} found")
        };
        let parts = [
            ("missing", self.missing.clone()),
            ("of another shape", self.mismatched.iter().map(shape).collect()),
            ("not used", self.unexpected.clone()),
        ];
        if self.is_exact() {
            return f.write_str("all tensors fit");
        }
        let mut first = true;
        for (what, names) in parts.iter().filter(|(_, names)| !names.is_empty()) {
            let all = f.alternate();
            let shown = if all { names.len() } else { names.len().min(3) };
            let more = if shown < names.len() { ", ..." } else { "" };
            let (start, separator) = if all { ("\n  ", "\n  ") } else { ("", ", ") };
            let between = if first {
                ""
            } else if all {
                "\n"
            } else {
                "; "
            };
            write!(f, "{between}{} {what}", names.len())?;
            if all {
                write!(f, ":{start}{}", names[..shown].join(separator))?;
            } else {
                write!(f, " ({}{more})", names[..shown].join(separator))?;
            }
            first = false;
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "checkpoint_tests.rs"]
mod tests;
