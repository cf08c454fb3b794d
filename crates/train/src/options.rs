//! The command line that all examples share.

use std::path::PathBuf;

use clap::builder::RangedU64ValueParser;
use clap::{Args, ValueEnum};

/// Options of a training run. An example adds its own with `#[command(flatten)]`, and brings its own defaults for those
/// that are `None`.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct RunOptions {
    /// Where to compute: auto, gpu, software, cpu, or a part of an adapter's name
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    pub device: String,

    /// The data set, by name: which ones there are depends on the example
    #[arg(long, value_name = "NAME")]
    pub data: Option<String>,

    /// The directory with the data set's files, if not where the system has them
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,

    /// How often to go through the training data
    #[arg(long, value_name = "N", value_parser = RangedU64ValueParser::<usize>::new().range(1..=1_000_000))]
    pub epochs: Option<usize>,

    /// Stop after this many steps in all, even within an epoch; --resume goes on from there
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub steps: Option<u64>,

    /// Examples in a training step
    #[arg(long, value_name = "N", value_parser = RangedU64ValueParser::<usize>::new().range(1..=1_000_000))]
    pub batch_size: Option<usize>,

    /// The learning rate at its highest
    #[arg(long, value_name = "RATE", value_parser = positive)]
    pub lr: Option<f64>,

    /// Decides all that is random: the same seed gives the same run
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,

    /// The directory for checkpoints and metrics; without it, runs/ and the name of the example
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,

    /// Go on from the last checkpoint in the output directory
    #[arg(long)]
    pub resume: bool,

    /// Begin with the tensors of this safetensors file, as far as names and shapes fit
    #[arg(long, value_name = "FILE")]
    pub weights: Option<PathBuf>,

    /// Time the kernels' tiles on the device where that was not done before; later runs use what was found, with or without this
    #[arg(long)]
    pub tune: bool,

    /// At the end, print a table of the kernels: count, time, GFLOP/s, GB/s, share
    #[arg(long)]
    pub profile: bool,

    /// Print one stage of the compiled training step and stop
    #[arg(long, value_name = "STAGE")]
    pub dump: Option<Dump>,
}

/// What `--dump` prints.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dump {
    /// The expressions, after simplification
    Graph,
    /// The order of the launches and the memory plan
    Plan,
    /// The kernels with their parameters
    Kernels,
}

impl RunOptions {
    /// The output directory: `--out`, or `runs/<example>`.
    pub fn out_dir(&self, example: &str) -> PathBuf {
        self.out.clone().unwrap_or_else(|| PathBuf::from("runs").join(example))
    }
}

/// A number that is above 0 and not infinite when f32 holds it, as the device will.
fn positive(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| "not a number".to_string())?;
    if value as f32 > 0.0 && (value as f32).is_finite() {
        Ok(value)
    } else {
        Err("a finite number above 0 is needed".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::error::ErrorKind;
    use clap::{CommandFactory, Parser};

    #[derive(Parser, Debug)]
    #[command(name = "example")]
    struct Example {
        #[command(flatten)]
        run: RunOptions,
    }

    fn parse(arguments: &[&str]) -> Result<RunOptions, clap::Error> {
        Example::try_parse_from([&["example"], arguments].concat()).map(|example| example.run)
    }

    #[test]
    fn the_definition_is_sound_and_everything_has_help() {
        Example::command().debug_assert();
        for argument in Example::command().get_arguments() {
            assert!(argument.get_help().is_some_and(|help| !help.to_string().is_empty()), "{}", argument.get_id());
        }
        let help = Example::command().render_help().to_string();
        for option in [
            "--device",
            "--data",
            "--data-dir",
            "--epochs",
            "--steps",
            "--batch-size",
            "--lr",
            "--seed",
            "--out",
            "--resume",
            "--weights",
            "--tune",
            "--profile",
            "--dump",
        ] {
            assert!(help.contains(option), "{option} in {help}");
        }
    }

    #[test]
    fn defaults_are_left_to_the_example() {
        let options = parse(&[]).unwrap();
        assert_eq!(options.device, "auto");
        assert_eq!((options.epochs, options.lr, options.seed, options.resume), (None, None, None, false));
        assert_eq!(options.out_dir("resnet"), PathBuf::from("runs").join("resnet"));
    }

    #[test]
    fn values_are_taken() {
        let options = parse(&[
            "--device",
            "software",
            "--data",
            "digits",
            "--data-dir",
            "d",
            "--epochs",
            "3",
            "--steps",
            "7",
            "--batch-size",
            "32",
            "--lr",
            "0.05",
            "--seed",
            "18446744073709551615",
            "--out",
            "o",
            "--resume",
            "--weights",
            "w",
            "--tune",
            "--profile",
            "--dump",
            "plan",
        ]);
        let expected = RunOptions {
            device: "software".into(),
            data: Some("digits".into()),
            data_dir: Some("d".into()),
            epochs: Some(3),
            steps: Some(7),
            batch_size: Some(32),
            lr: Some(0.05),
            seed: Some(u64::MAX),
            out: Some("o".into()),
            resume: true,
            weights: Some("w".into()),
            tune: true,
            profile: true,
            dump: Some(Dump::Plan),
        };
        assert_eq!(options.unwrap(), expected);
    }

    #[test]
    fn bad_values_are_usage_errors_that_name_the_option() {
        for arguments in [
            ["--batch-size", "0"],
            ["--batch-size", "-1"],
            ["--batch-size", "many"],
            ["--batch-size", "99999999999999999999"],
            ["--epochs", "0"],
            ["--steps", "0"],
            ["--lr", "0"],
            ["--lr", "-0.1"],
            ["--lr", "nan"],
            ["--lr", "inf"],
            ["--lr", "1e-60"],
            ["--lr", "fast"],
            ["--seed", "-3"],
            ["--dump", "everything"],
        ] {
            let error = parse(&[&format!("{}={}", arguments[0], arguments[1])]).unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::ValueValidation | ErrorKind::InvalidValue), "{arguments:?}");
            assert_eq!(error.exit_code(), 2);
            assert!(error.to_string().contains(arguments[0]), "{error}");
        }
        assert_eq!(parse(&["--bogus"]).unwrap_err().exit_code(), 2);
    }
}
