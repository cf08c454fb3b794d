//! Small networks of many kinds, written with the library as a user would, trained for 20 steps on both backends: the same
//! losses, and they fall.

#[path = "../support/mod.rs"]
mod support;

mod adversarial;
mod graphs;
mod images;
mod memory;
mod sequences;
