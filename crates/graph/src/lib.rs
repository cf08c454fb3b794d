//! wgrad-graph
