//! Every family of the zoo at smoke size, trained for 20 steps: on the CPU backend by a recorded curve, and on a GPU with the
//! same losses.

#[path = "../support/mod.rs"]
mod support;

mod bert;
mod gan;
mod language;
mod resnet;
mod unet;
mod vit;
mod yolo;
