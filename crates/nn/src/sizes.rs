//! Sizes along each spatial dimension.

/// A size along each of `N` spatial dimensions: from one number for all, or from one for each, in the order of the axes
/// (height, width; depth first in three dimensions).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes<const N: usize>(pub [usize; N]);

impl<const N: usize> Sizes<N> {
    /// As many of one size.
    pub fn all(size: usize) -> Sizes<N> {
        Sizes([size; N])
    }
}

impl<const N: usize> From<usize> for Sizes<N> {
    fn from(size: usize) -> Self {
        Sizes::all(size)
    }
}

impl<const N: usize> From<[usize; N]> for Sizes<N> {
    fn from(each: [usize; N]) -> Self {
        Sizes(each)
    }
}

impl From<(usize, usize)> for Sizes<2> {
    fn from((height, width): (usize, usize)) -> Self {
        Sizes([height, width])
    }
}

impl From<(usize, usize, usize)> for Sizes<3> {
    fn from((depth, height, width): (usize, usize, usize)) -> Self {
        Sizes([depth, height, width])
    }
}

/// How errors write the spatial axes of an input of `n` dimensions.
pub(crate) fn axes(n: usize) -> String {
    match n {
        1 => "L".into(),
        2 => "H, W".into(),
        3 => "D, H, W".into(),
        _ => format!("{n} spatial extents"),
    }
}
