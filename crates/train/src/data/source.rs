//! What a loader needs of a data set: examples made of named fields.

use wgrad_graph::{DType, Data};

use crate::error::DataError;
use crate::rng::Stream;

/// A field that every example of a data set has, such as its image or its label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name, which is also that of the model's input.
    pub name: &'static str,
    /// Its shape in one example: [] for a single number.
    pub shape: Vec<usize>,
    /// [`DType::F32`] or [`DType::U32`].
    pub dtype: DType,
}

impl Field {
    /// A field of f32.
    pub fn f32(name: &'static str, shape: impl Into<Vec<usize>>) -> Self {
        Self { name, shape: shape.into(), dtype: DType::F32 }
    }

    /// A field of u32.
    pub fn u32(name: &'static str, shape: impl Into<Vec<usize>>) -> Self {
        Self { name, shape: shape.into(), dtype: DType::U32 }
    }

    /// Values of one example.
    pub fn size(&self) -> usize {
        self.shape.iter().product()
    }
}

/// Examples of the same fields, read one at a time, from any thread.
pub trait Source: Send + Sync {
    /// What the data set is called.
    fn name(&self) -> &str;
    /// How many examples there are.
    fn len(&self) -> usize;
    /// What each example consists of.
    fn fields(&self) -> Vec<Field>;
    /// Writes the fields of example `index`. Where something about it is random (augmentation, a generated example), `stream`
    /// decides: it depends on the loader's seed, the epoch and the index, and on nothing else.
    ///
    /// # Errors
    /// When the example cannot be read.
    fn read(&self, index: usize, stream: &mut Stream, out: &mut Example<'_>) -> Result<(), DataError>;

    /// Whether there are no examples at all.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What an example is, in words, for the lines that a run begins with.
    fn describe(&self) -> String {
        let fields = self.fields();
        fields.iter().map(|f| format!("{} {:?}", f.name, f.shape)).collect::<Vec<_>>().join(", ")
    }
}

/// The values of one field.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Values {
    F32(Vec<f32>),
    U32(Vec<u32>),
}

impl Values {
    /// Zeros for `count` examples, in the memory of `old` where that serves.
    pub fn zeros(field: &Field, count: usize, old: Option<Values>) -> Values {
        let length = field.size() * count;
        match (field.dtype, old) {
            (DType::U32, Some(Values::U32(mut old))) => {
                old.clear();
                old.resize(length, 0);
                Values::U32(old)
            }
            (DType::U32, _) => Values::U32(vec![0; length]),
            (_, Some(Values::F32(mut old))) => {
                old.clear();
                old.resize(length, 0.0);
                Values::F32(old)
            }
            _ => Values::F32(vec![0.0; length]),
        }
    }

    pub fn data(&self) -> Data<'_> {
        match self {
            Values::F32(values) => Data::F32(values),
            Values::U32(values) => Data::U32(values),
        }
    }
}

/// Where a [`Source`] writes one example. All values are 0 at first.
pub struct Example<'a> {
    pub(super) fields: &'a [Field],
    pub(super) values: &'a mut [Values],
    /// Its place in the batch.
    pub(super) row: usize,
}

impl Example<'_> {
    /// The place of the f32 field `name`.
    ///
    /// # Panics
    /// If the source has no f32 field of this name.
    pub fn f32(&mut self, name: &str) -> &mut [f32] {
        let (i, size) = place(self.fields, name);
        match &mut self.values[i] {
            Values::F32(values) => &mut values[self.row * size..][..size],
            Values::U32(_) => panic!("the field \"{name}\" is of u32"),
        }
    }

    /// The place of the u32 field `name`.
    ///
    /// # Panics
    /// If the source has no u32 field of this name.
    pub fn u32(&mut self, name: &str) -> &mut [u32] {
        let (i, size) = place(self.fields, name);
        match &mut self.values[i] {
            Values::U32(values) => &mut values[self.row * size..][..size],
            Values::F32(_) => panic!("the field \"{name}\" is of f32"),
        }
    }
}

/// A field's position and size.
pub(super) fn place(fields: &[Field], name: &str) -> (usize, usize) {
    let found = fields.iter().position(|f| f.name == name);
    let i = found.unwrap_or_else(|| panic!("no field is called \"{name}\""));
    (i, fields[i].size())
}
