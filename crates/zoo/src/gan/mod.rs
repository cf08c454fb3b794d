//! Generative adversarial networks: DCGAN and its kin. Generators and discriminators are plain layers here; the losses and the
//! tricks of their training are [`wgrad_nn::Gan`] and [`wgrad_nn::loss::Adversarial`].

mod conditional;
mod dcgan;
mod flat;
mod mnist;
#[cfg(test)]
mod tests;

pub use conditional::ConditionalDcgan;
pub use dcgan::{Dcgan, DcganDiscriminator, DcganGenerator, Norm};
pub use flat::{FlatConditional, WganCritic, WganGenerator};
pub use mnist::{MnistDiscriminator, MnistGenerator};
