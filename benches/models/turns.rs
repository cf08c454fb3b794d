//! wgrad and its peers, by turns, each turn in a process of its own.

use super::Options;
use super::measurement::Measurement;
use super::work::WARM_UP;
use super::zoo::LONG;
use crate::shared::peers::{Contender, answer};
use crate::shared::stats::agree;
use anyhow::{Result, bail};
use std::path::Path;
use std::process::Command;

/// Losses may differ by this much of the peer's, in the first steps: f32 sums in other orders.
const TOLERANCE: f64 = 1e-3;

/// All turns of one competitor.
pub struct Entry {
    /// `wgrad`, or the peer and its setting.
    pub who: String,
    /// Its turns, in order; or why there are none that count.
    pub turns: Result<Vec<Measurement>, String>,
}

/// Lets wgrad and the others take their turns on a model. The first entry is wgrad's.
///
/// # Errors
/// If a turn of wgrad's fails. Those of others that fail are told of in their entries.
pub fn take(model: &str, options: &Options, contenders: &[Contender]) -> Result<Vec<Entry>> {
    let weights = std::env::temp_dir().join(format!("wgrad-bench-{}-{model}.safetensors", std::process::id()));
    let done = rounds(model, options, contenders, &weights);
    // It may not be there; and what counts is how the turns went.
    let _ = std::fs::remove_file(&weights);
    done
}

fn rounds(model: &str, options: &Options, contenders: &[Contender], weights: &Path) -> Result<Vec<Entry>> {
    let entry = |who: &String| Entry { who: who.clone(), turns: Ok(vec![]) };
    let mut ours = vec![];
    let mut theirs: Vec<Entry> = contenders.iter().map(|c| entry(&c.who)).collect();
    if !contenders.is_empty() {
        // In a process of its own: what it needs is not to count as the step's.
        let mut command = child(model, options)?;
        answer(command.arg("--export").arg(weights))?;
    }
    for _ in 0..options.rounds() {
        ours.push(Measurement::parse(&answer(&mut child(model, options)?)?)?);
        for (entry, contender) in theirs.iter_mut().zip(contenders) {
            let Ok(turns) = &mut entry.turns else { continue };
            match theirs_turn(contender, model, options, weights, &ours[0]) {
                Ok(turn) => turns.push(turn),
                Err(e) => entry.turns = Err(format!("{e:#}")),
            }
        }
    }
    theirs.insert(0, Entry { who: "wgrad".into(), turns: Ok(ours) });
    Ok(theirs)
}

/// This program, to take a turn of wgrad's.
fn child(model: &str, options: &Options) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["models", model, "--child", "--device", &options.device]);
    command.args(["--seconds", &options.seconds().to_string()]);
    if let Some(batch) = options.batch_size {
        command.args(["--batch-size", &batch.to_string()]);
    }
    if options.inference {
        command.arg("--inference");
    }
    if options.tune {
        command.arg("--tune");
    }
    Ok(command)
}

fn theirs_turn(
    contender: &Contender,
    model: &str,
    options: &Options,
    weights: &Path,
    ours: &Measurement,
) -> Result<Measurement> {
    let name = if model == LONG { "gpt124m" } else { model };
    let mut arguments = vec![name.to_string(), weights.to_string_lossy().into_owned()];
    arguments.extend(["--seconds".into(), options.seconds().to_string()]);
    if options.inference {
        arguments.push("--inference".into());
    }
    let turn = Measurement::parse(&answer(&mut contender.command(&arguments))?)?;
    let first = |m: &Measurement| m.losses.iter().copied().take(WARM_UP).collect::<Vec<_>>();
    let (ours, theirs) = (first(ours), first(&turn));
    // In half precision they cannot be the same.
    let tolerance = if contender.who.ends_with("AMP") || contender.who.ends_with("TF32") { 2e-2 } else { TOLERANCE };
    if !agree(&ours, &theirs, tolerance) {
        bail!("other losses: {theirs:.5?}, wgrad's are {ours:.5?}");
    }
    Ok(turn)
}
