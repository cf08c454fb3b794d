//! Element types.

use std::fmt;

/// The type of a tensor's elements.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub enum DType {
    /// 32-bit float.
    F32,
    /// 16-bit float, for storage; arithmetic on it is done in 32 bits and rounded when stored.
    F16,
    /// 32-bit unsigned integer, wrapping.
    U32,
    /// 32-bit signed integer, wrapping.
    I32,
    /// A truth value, stored as a 32-bit word that is 0 or 1.
    Bool,
}

impl DType {
    /// Bytes that one element takes in a buffer.
    pub fn size(self) -> usize {
        if self == DType::F16 { 2 } else { 4 }
    }

    /// The least finite value: what a mask puts where nothing may win.
    pub fn least(self) -> f64 {
        match self {
            DType::F32 => f32::MIN as f64,
            DType::F16 => half::f16::MIN.to_f64(),
            DType::I32 => i32::MIN as f64,
            DType::U32 | DType::Bool => 0.0,
        }
    }

    /// Whether gradients can flow through values of this type.
    pub fn is_float(self) -> bool {
        matches!(self, DType::F32 | DType::F16)
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DType::F32 => "f32",
            DType::F16 => "f16",
            DType::U32 => "u32",
            DType::I32 => "i32",
            DType::Bool => "bool",
        })
    }
}
