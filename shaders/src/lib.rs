//! The WGSL shaders of wgrad.
