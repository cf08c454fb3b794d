//! wgrad-zoo
