//! What models, kernels and growth share: measuring, tables, and rows of JSON.

pub mod clock;
pub mod noise;
pub mod peers;
pub mod report;
pub mod stats;
