//! What can go wrong on a device.

/// An error of a device or of its driver.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DeviceError {
    /// The choice of a device could not be read, or nothing matches it.
    #[error("no device matches \"{choice}\"; found: {found} (use --device cpu to run without a GPU)")]
    NoAdapter {
        /// What was asked for.
        choice: String,
        /// The adapters that are there, by name.
        found: String,
    },
    /// The adapter was found but would not open.
    #[error("cannot open {adapter}: {reason}")]
    Open {
        /// The adapter's name.
        adapter: String,
        /// The driver's words.
        reason: String,
    },
    /// A buffer could not be allocated.
    #[error("out of memory on {device}: {bytes} bytes for {what}")]
    OutOfMemory {
        /// The device's name.
        device: String,
        /// Size of the allocation that failed.
        bytes: usize,
        /// What it was for.
        what: String,
    },
    /// A tensor is larger than the adapter can bind.
    #[error(
        "{what} takes {bytes} bytes, but {device} binds at most {limit} bytes at once; use a smaller batch or another device"
    )]
    TooLarge {
        /// The device's name.
        device: String,
        /// The tensor or kernel.
        what: String,
        /// Its size.
        bytes: usize,
        /// The adapter's limit.
        limit: usize,
    },
    /// The adapter lacks something that the program needs.
    #[error("{device} has no {feature}, which {what} needs")]
    Unsupported {
        /// The device's name.
        device: String,
        /// The missing feature.
        feature: String,
        /// What needs it.
        what: String,
    },
    /// The device went away (unplugged, driver reset, watchdog). Everything on it is gone.
    #[error("the device was lost: {0}")]
    Lost(String),
    /// wgpu refused a command or a shader: a bug in wgrad, reported with the driver's words.
    #[error("the device refused {what}: {reason}")]
    Validation {
        /// The kernel or call.
        what: String,
        /// The driver's words.
        reason: String,
    },
    /// The device did not finish in time.
    #[error("the device did not finish within {0} s")]
    Timeout(u64),
}
