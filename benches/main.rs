//! What wgrad's speed is measured by: `scripts/bench --help`.

mod models;
mod shared;

use anyhow::Result;
use clap::{Parser, Subcommand};

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
}

fn main() -> Result<()> {
    match Cli::parse().what {
        What::Models(options) => models::run(&options),
    }
}
