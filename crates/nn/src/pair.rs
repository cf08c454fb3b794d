//! Sizes along height and width.

/// A size along height and one along width: from one number for both, or from `(height, width)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    /// Along height.
    pub height: usize,
    /// Along width.
    pub width: usize,
}

impl From<usize> for Pair {
    fn from(both: usize) -> Pair {
        Pair { height: both, width: both }
    }
}

impl From<(usize, usize)> for Pair {
    fn from((height, width): (usize, usize)) -> Pair {
        Pair { height, width }
    }
}
