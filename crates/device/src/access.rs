//! How a kernel turns the position of a thread into the position of an element.
//!
//! Every view that wgrad knows (reshape, transpose, broadcast, slice, padding, sliding window, the index patterns of
//! convolution and of its gradients) is one [`Access`]: affine functions of the kernel's index, some of which have to
//! divide evenly and stay within a range. So views cost no kernel of their own, and one reader serves them all.

/// `offset + sum(strides[d] * index[d])` over the index of a domain.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Affine {
    /// One factor for each dimension of the domain.
    pub strides: Vec<i64>,
    /// The value at index zero.
    pub offset: i64,
}

impl Affine {
    /// The constant function.
    pub fn constant(rank: usize, offset: i64) -> Affine {
        Affine { strides: vec![0; rank], offset }
    }

    /// The function that yields coordinate `dim`.
    pub fn dim(rank: usize, dim: usize) -> Affine {
        let mut a = Affine::constant(rank, 0);
        a.strides[dim] = 1;
        a
    }

    /// The row-major linear index of `shape`.
    pub fn row_major(shape: &[usize]) -> Affine {
        Affine { strides: row_major_strides(shape), offset: 0 }
    }

    /// `self * factor + offset`.
    pub fn scaled(&self, factor: i64, offset: i64) -> Affine {
        Affine { strides: self.strides.iter().map(|s| s * factor).collect(), offset: self.offset * factor + offset }
    }

    /// `self + other * factor`.
    pub fn plus(&self, other: &Affine, factor: i64) -> Affine {
        Affine {
            strides: self.strides.iter().zip(&other.strides).map(|(a, b)| a + b * factor).collect(),
            offset: self.offset + other.offset * factor,
        }
    }

    /// The value at `index`.
    pub fn at(&self, index: &[usize]) -> i64 {
        self.offset + self.strides.iter().zip(index).map(|(s, &i)| s * i as i64).sum::<i64>()
    }

    /// Whether the value does not depend on the index.
    pub fn is_constant(&self, shape: &[usize]) -> bool {
        self.strides.iter().zip(shape).all(|(&s, &n)| s == 0 || n <= 1)
    }

    /// The least and greatest value over a domain (which must not be empty).
    pub fn range(&self, shape: &[usize]) -> (i64, i64) {
        let (mut lo, mut hi) = (self.offset, self.offset);
        for (&s, &n) in self.strides.iter().zip(shape) {
            let span = s * (n as i64 - 1).max(0);
            if span < 0 { lo += span } else { hi += span }
        }
        (lo, hi)
    }
}

/// Row-major strides of `shape`, in elements.
pub fn row_major_strides(shape: &[usize]) -> Vec<i64> {
    let mut strides = vec![0; shape.len()];
    let mut step = 1i64;
    for d in (0..shape.len()).rev() {
        strides[d] = step;
        step *= shape[d] as i64;
    }
    strides
}

/// A coordinate that is only valid in places: `q = affine / div` counts when `affine` is divisible by `div` and
/// `0 <= q < len`; it then adds `q * stride` to the element's position.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Coord {
    /// The numerator.
    pub affine: Affine,
    /// The divisor, 1 or more.
    pub div: usize,
    /// The extent of the axis that the coordinate walks.
    pub len: usize,
    /// Elements from one coordinate to the next (0 for a pure guard).
    pub stride: i64,
}

impl Coord {
    /// The coordinate's contribution at `index`, or `None` where it is not valid.
    pub fn at(&self, index: &[usize]) -> Option<i64> {
        let v = self.affine.at(index);
        let d = self.div as i64;
        (v >= 0 && v % d == 0 && v / d < self.len as i64).then_some(v / d * self.stride)
    }

    /// Whether the coordinate is valid everywhere in the domain.
    pub fn always_valid(&self, shape: &[usize]) -> bool {
        if self.div != 1 {
            return false;
        }
        let (lo, hi) = self.affine.range(shape);
        lo >= 0 && hi < self.len as i64
    }
}

/// The position of an element in a buffer as a function of a kernel's index, or nowhere (then 0 is read).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Access {
    /// The part that is always valid.
    pub base: Affine,
    /// The parts that may not be.
    pub coords: Vec<Coord>,
}

impl Access {
    /// Reads a row-major tensor of the domain's own shape.
    pub fn linear(shape: &[usize]) -> Access {
        Access { base: Affine::row_major(shape), coords: vec![] }
    }

    /// Reads element `offset` everywhere.
    pub fn scalar(rank: usize, offset: i64) -> Access {
        Access { base: Affine::constant(rank, offset), coords: vec![] }
    }

    /// The element's position at `index`, or `None` if it is nowhere.
    pub fn at(&self, index: &[usize]) -> Option<usize> {
        let mut p = self.base.at(index);
        for c in &self.coords {
            p += c.at(index)?;
        }
        Some(p as usize)
    }

    /// Whether the access walks the buffer exactly as the domain is walked.
    pub fn is_linear(&self, shape: &[usize]) -> bool {
        self.coords.is_empty()
            && self.base.offset == 0
            && self.base.strides.iter().zip(row_major_strides(shape)).zip(shape).all(|((&a, b), &n)| n <= 1 || a == b)
    }

    /// Whether the same element is read everywhere.
    pub fn is_scalar(&self, shape: &[usize]) -> bool {
        self.coords.is_empty() && self.base.is_constant(shape)
    }

    /// Moves coordinates that cannot fail into the base.
    pub fn simplify(mut self, shape: &[usize]) -> Access {
        let (sure, unsure): (Vec<_>, Vec<_>) = self.coords.into_iter().partition(|c| c.always_valid(shape));
        for c in sure {
            self.base = self.base.plus(&c.affine, c.stride);
        }
        self.coords = unsure;
        self
    }

    /// Every affine function in the access, the base first.
    pub fn affines(&self) -> impl Iterator<Item = &Affine> {
        std::iter::once(&self.base).chain(self.coords.iter().map(|c| &c.affine))
    }

    /// Every affine function in the access, the base first.
    pub fn affines_mut(&mut self) -> impl Iterator<Item = &mut Affine> {
        std::iter::once(&mut self.base).chain(self.coords.iter_mut().map(|c| &mut c.affine))
    }
}
