//! What wgrad's speed is measured by: `scripts/bench --help`.

mod growth;
mod kernels;
mod models;
mod shared;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Times wgrad's kernels, its models, and how their cost grows.
#[derive(Parser)]
#[command(name = "scripts/bench")]
struct Cli {
    #[command(subcommand)]
    what: What,

    /// What `cargo bench` adds.
    #[arg(long, hide = true, global = true)]
    bench: bool,
}

#[derive(Subcommand)]
enum What {
    Models(models::Options),
    Kernels(kernels::Options),
    Growth(growth::Options),
}

fn main() -> ExitCode {
    wgrad::train::exit_with(match Cli::parse().what {
        What::Models(options) => models::run(&options),
        What::Kernels(options) => kernels::run(&options),
        What::Growth(options) => growth::run(&options),
    })
}
