//! Errors of building, compiling and running graphs.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};

/// An expression that makes no sense: shapes or types that do not fit.
///
/// Builders panic with this error's text and the caller's file and line; [`checked`] turns that into a value.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{op}: {reason}, at {site}")]
pub struct ShapeError {
    /// The operation that was asked for.
    pub op: String,
    /// What does not fit, with the shapes.
    pub reason: String,
    /// The caller's file, line and column.
    pub site: &'static Location<'static>,
}

thread_local! {
    static CHECKED: Cell<usize> = const { Cell::new(0) };
}

/// Builds an expression, with shape errors as values: the twin of every builder that panics.
///
/// ```
/// use wgrad_graph::{checked, DType, Tensor};
/// let a = Tensor::input("a", [2, 3], DType::F32);
/// let error = checked(|| a.matmul(&a)).unwrap_err();
/// assert!(error.to_string().starts_with("matmul: [2, 3] times [2, 3]: inner sizes 3 and 2 differ"));
/// ```
///
/// # Errors
/// The [`ShapeError`] of the first operation that does not fit. Other panics pass through.
pub fn checked<T>(build: impl FnOnce() -> T) -> Result<T, ShapeError> {
    struct Depth;
    impl Drop for Depth {
        fn drop(&mut self) {
            CHECKED.with(|c| c.set(c.get() - 1));
        }
    }
    CHECKED.with(|c| c.set(c.get() + 1));
    let depth = Depth;
    // Expressions are immutable, so one that is half built harms nobody.
    let result = catch_unwind(AssertUnwindSafe(build));
    drop(depth);
    result.map_err(|payload| match payload.downcast::<ShapeError>() {
        Ok(e) => *e,
        Err(other) => resume_unwind(other),
    })
}

/// Reports a shape error the way this thread wants it: as a panic with its text, or to the enclosing [`checked`].
#[track_caller]
pub(crate) fn raise(error: ShapeError) -> ! {
    if CHECKED.with(|c| c.get()) > 0 { resume_unwind(Box::new(error)) } else { panic!("{error}") }
}

/// Fails like a builder does: for layers and models that check their own arguments.
///
/// # Panics
/// Always, with a [`ShapeError`] that [`checked`] can catch.
#[track_caller]
pub fn fail(op: &str, reason: impl Into<String>) -> ! {
    raise(ShapeError { op: op.into(), reason: reason.into(), site: Location::caller() })
}

/// What can go wrong between a graph and its results.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The device or its driver failed.
    #[error(transparent)]
    Device(#[from] wgrad_device::DeviceError),
    /// The graph cannot be compiled.
    #[error("{0}")]
    Compile(String),
    /// A gradient was asked for that does not exist.
    #[error("no gradient: {0}")]
    Gradient(String),
    /// An input is missing, unknown, or of the wrong size or type.
    #[error("input \"{name}\": {reason}")]
    Input {
        /// The input's name.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An index in the data was out of range. Nothing was read out of bounds, but what was computed is of no use.
    #[error("{op} at {site}: {count} indices in the data are not below {limit}")]
    Index {
        /// The operation that used it.
        op: String,
        /// Where that was built.
        site: &'static Location<'static>,
        /// What indices must stay below.
        limit: usize,
        /// How many did not, in this run.
        count: usize,
    },
    /// The state does not hold what the program needs, or holds something else by that name.
    #[error("state \"{name}\": {reason}")]
    State {
        /// The tensor's name.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
}
