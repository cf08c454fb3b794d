//! wgrad-train
