//! What can be wrong with the wish for a model.

/// A model that does not exist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ZooError {
    /// No such depth.
    #[error("{family} has no depth {depth}; there are {}", list(.valid))]
    Depth {
        /// Which family of models.
        family: &'static str,
        /// The depth that was asked for.
        depth: usize,
        /// The depths there are.
        valid: &'static [usize],
    },
    /// A `.weights` file that is not the model's.
    #[error("the Darknet weights do not fit {model}: {reason}")]
    DarknetWeights {
        /// The model.
        model: String,
        /// What is wrong.
        reason: String,
    },
