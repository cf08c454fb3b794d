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
}

fn list(numbers: &[usize]) -> String {
    let words: Vec<String> = numbers.iter().map(usize::to_string).collect();
    match words.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => words.concat(),
    }
}
