//! wgrad-nn
