//! Darknet's `.weights` files.

use super::Yolo;
use super::darknet::Darknet53;
use super::layers::{Section, run};
use crate::ZooError;
use wgrad_graph::{DType, Init, Tensor};
use wgrad_nn::Scope;

/// What a `.weights` file holds, under the names that the model gives its tensors.
#[derive(Clone, Debug, PartialEq)]
pub struct DarknetWeights {
    /// Major, minor and revision number of the format.
    pub version: [u32; 3],
    /// How many images the network had been trained on.
    pub seen: u64,
    /// Name, shape and values of each tensor: parameters, and statistics of norms.
    pub tensors: Vec<DarknetTensor>,
    /// Sections with a convolution that the file ends before. A backbone alone, such as darknet53.conv.74, is a file too.
    pub missing: Vec<usize>,
}

/// One tensor of a `.weights` file.
#[derive(Clone, Debug, PartialEq)]
pub struct DarknetTensor {
    /// The model's name for it.
    pub name: String,
    /// Its extents.
    pub shape: Vec<usize>,
    /// Its elements, the last index fastest.
    pub values: Vec<f32>,
}

impl Yolo {
    /// Reads a `.weights` file's content for this model, with images of so many channels. The file has numbers only: that they
    /// are this model's, with the same number of classes, is known by their count alone.
    ///
    /// # Errors
    /// If the file does not begin as such files do, ends within a layer, or goes on after the last.
    pub fn darknet_weights(&self, bytes: &[u8], channels: usize) -> Result<DarknetWeights, ZooError> {
        read(self.name(), &self.sections(), bytes, channels)
    }
}

impl Darknet53 {
    /// Reads a `.weights` file's content for this model; see [`Yolo::darknet_weights`].
    ///
    /// # Errors
    /// As there.
    pub fn darknet_weights(&self, bytes: &[u8], channels: usize) -> Result<DarknetWeights, ZooError> {
        read("darknet53", &self.sections(), bytes, channels)
    }
}

/// A file's bytes, from the front.
struct Reader<'a> {
    rest: &'a [u8],
    model: &'a str,
}

impl<'a> Reader<'a> {
    fn bytes(&mut self, count: Option<usize>, what: &str) -> Result<&'a [u8], ZooError> {
        match count.and_then(|count| self.rest.split_at_checked(count)) {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(taken)
            }
            None => {
                let rest = self.rest.len();
                Err(wrong(
                    self.model,
                    format!("it ends in {what}: {} bytes wanted, {rest} there", count.unwrap_or(usize::MAX)),
                ))
            }
        }
    }

    fn word(&mut self) -> Result<u32, ZooError> {
        let bytes = self.bytes(Some(4), "the header")?;
        Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    fn floats(&mut self, shape: &[usize], what: &str) -> Result<Vec<f32>, ZooError> {
        let size = shape.iter().try_fold(4usize, |n, &d| n.checked_mul(d));
        let words = self.bytes(size, what)?.chunks_exact(4);
        Ok(words.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
    }
}

fn wrong(model: &str, reason: String) -> ZooError {
    ZooError::DarknetWeights { model: model.into(), reason }
}

fn read(model: &str, sections: &[Section], bytes: &[u8], channels: usize) -> Result<DarknetWeights, ZooError> {
    let mut file = Reader { rest: bytes, model };
    let version = [file.word()?, file.word()?, file.word()?];
    let [major, minor, _] = version;
    if major > 1000 || minor > 1000 {
        return Err(wrong(model, format!("version {major}.{minor} is none: it is something else, or damaged")));
    }
    let mut seen = u64::from(file.word()?);
    if major * 10 + minor >= 2 {
        seen |= u64::from(file.word()?) << 32;
    }

    let (mut tensors, mut missing) = (Vec::new(), Vec::new());
    for (index, shape, normed) in convolutions(sections, channels) {
        if file.rest.is_empty() {
            missing.push(index);
            continue;
        }
        let layer = format!("module_list.{index}");
        let (conv, norm) = (format!("{layer}.conv_{index}"), format!("{layer}.batch_norm_{index}"));
        // In the file's order.
        let vectors = match normed {
            true => ["bias", "weight", "running_mean", "running_var"].map(|n| format!("{norm}.{n}")).to_vec(),
            false => vec![format!("{conv}.bias")],
        };
        let own = vectors.into_iter().map(|name| (name, vec![shape[0]]));
        for (name, shape) in own.chain([(format!("{conv}.weight"), shape.clone())]) {
            let values = file.floats(&shape, &name)?;
            tensors.push(DarknetTensor { name, shape, values });
        }
    }
    if !file.rest.is_empty() {
        let rest = file.rest.len();
        return Err(wrong(
            model,
            format!("{rest} bytes are left after the last layer: of another model or number of classes"),
        ));
    }
    Ok(DarknetWeights { version, seen, tensors, missing })
}

/// Number, weight's shape, and whether there is a norm, of every convolution. The network itself knows: it is built once.
fn convolutions(sections: &[Section], channels: usize) -> Vec<(usize, Vec<usize>, bool)> {
    let scope = Scope::eval();
    run(sections, &scope, &Tensor::input("images", [1, channels, 64, 64], DType::F32), &Init::Constant(0.0));
    let params = scope.params();
    let shape = |name: String| params.iter().find(|p| p.name() == Some(&name)).map(|p| p.shape().to_vec());
    let conv = |(index, section): (usize, &Section)| match section {
        Section::Conv { normed, .. } => {
            Some((index, shape(format!("module_list.{index}.conv_{index}.weight"))?, *normed))
        }
        _ => None,
    };
    sections.iter().enumerate().filter_map(conv).collect()
}
