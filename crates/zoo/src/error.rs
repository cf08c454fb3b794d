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
    /// Options that make no sense.
    #[error("{what}: {reason}")]
    Invalid {
        /// What they are options of.
        what: &'static str,
        /// What is wrong with them.
        reason: String,
    },
    /// A `.weights` file that is not the model's.
    #[error("the Darknet weights do not fit {model}: {reason}")]
    DarknetWeights {
        /// The model.
        model: String,
        /// What is wrong.
        reason: String,
    },
}

/// That none of these sizes is 0.
pub(crate) fn positive(what: &'static str, sizes: &[(&str, usize)]) -> Result<(), ZooError> {
    match sizes.iter().find(|(_, n)| *n == 0) {
        Some((name, _)) => Err(ZooError::Invalid { what, reason: format!("{name} must not be 0") }),
        None => Ok(()),
    }
}

/// That heads share a width evenly.
pub(crate) fn divides(what: &'static str, heads: usize, width: usize) -> Result<(), ZooError> {
    if width > 0 && heads > 0 && width % heads == 0 {
        return Ok(());
    }
    Err(ZooError::Invalid { what, reason: format!("width {width} is no multiple of {heads} heads") })
}

fn list(numbers: &[usize]) -> String {
    let words: Vec<String> = numbers.iter().map(usize::to_string).collect();
    match words.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => words.concat(),
    }
}
