//! Prints the table of every operation: what is checked of it, and by how many cases. It is made from the registry that
//! the tests run, so it says what they do.
//!
//! ```sh
//! cargo run --release --example ops
//! cargo run --release --example ops -- --write docs/OPS.md
//! ```

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Parser;
use wgrad::graph::contract::{Gradient, Half};
use wgrad::graph::{OpCase, Tensor, registry};
use wgrad::prelude::DType;

/// Prints the table of every operation.
#[derive(Parser)]
#[command(name = "ops")]
#[allow(dead_code)] // the test that shares this file has no use for it
struct Args {
    /// Write the table to this file instead
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
}

const HEAD: &str = "\
# Operations

Made by `cargo run --release --example ops -- --write docs/OPS.md` from the registry of cases that the tests run; a test
fails when it is out of date.

Every case is run fused and op by op on the CPU backend, and fused on the GPU (lavapipe where there is no other), with its
gradient, and compared with a reference in f64: that is *forward: checked*. *Gradient: checked* means that the gradient's
rule is compared with finite differences in f64, the operation placed in the middle of a graph; *second gradient: checked*,
that the gradient of the gradient is. *f16: checked* means that cases are run with f16 arguments as well, on both, values
and gradients.
";

/// The registry as a table, a section for each file that defines operations.
pub fn table() -> String {
    let mut families: BTreeMap<&str, Vec<(&str, Vec<OpCase>)>> = BTreeMap::new();
    for case in registry().into_iter().chain(wgrad::nn::registry()) {
        let ops = families.entry(case.site.file()).or_default();
        match ops.iter_mut().find(|(op, _)| *op == case.op) {
            Some((_, cases)) => cases.push(case),
            None => ops.push((case.op, vec![case])),
        }
    }
    let counts = families.values().flatten().map(|(_, cases)| cases.len());
    let mut text = format!("{HEAD}\n{} operations, {} cases.\n", counts.clone().count(), counts.sum::<usize>());
    for (file, ops) in families {
        let source = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap_or_default();
        let family = file.rsplit_once("/src/").map_or(file, |(_, path)| path);
        let family = family.trim_start_matches("ops/").trim_end_matches(".rs");
        let family = family.trim_end_matches("/mod").trim_end_matches("/cases");
        write!(text, "\n## {family}\n\n{}\n\n", sentence(source.lines().map_while(|l| l.strip_prefix("//!"))))
            .expect("writing to a string");
        text += "| operation | what it gives | forward | gradient | second gradient | f16 | backends | cases |\n";
        text += "|---|---|---|---|---|---|---|---|\n";
        for (op, cases) in ops {
            let gradient = gradient(op, &cases);
            // Of another operation that begins so only where it is in this file.
            let exact = ["(", "<", " =>"].map(|end| format!("{op}{end}"));
            let found = about(&source, &exact).or_else(|| about(&beside(file), &exact));
            let found = found.or_else(|| about(&source, &[format!("{op}_")]));
            let plain = || UNNAMED.iter().find(|(name, _)| *name == op).map(|(_, what)| what.to_string());
            let what = found.or_else(plain).unwrap_or_default().replace('|', r"\|");
            writeln!(
                text,
                "| `{op}` | {what} | checked | {gradient} | {} | {} | cpu, wgpu | {} |",
                if gradient == "checked" { "checked" } else { "" },
                half(&cases),
                cases.len()
            )
            .expect("writing to a string");
        }
    }
    text
}

/// Operators, parts of other operations, and variants of a layer: what has no function of its own name.
const UNNAMED: &[(&str, &str)] = &[
    ("add", "The operator `+`."),
    ("sub", "The operator `-`."),
    ("div", "The operator `/`; of integers it truncates."),
    ("neg", "The operator `-` of one argument."),
    ("conv_input_grad", "The gradient of `conv` with respect to its input: transposed convolution."),
    ("conv_weight_grad", "The gradient of `conv` with respect to its weight."),
    ("expand", "Extents of 1 stretched: what `broadcast_to` is made of."),
    ("full", "One value everywhere."),
    ("input", "A tensor given at each run, by name."),
    ("state", "A tensor that lasts from run to run, by name."),
    ("running_argmax", "The place of the greatest element so far: what `cummax` and `cummin` are made of."),
    ("segments", "Folds over segments of indexed rows: what scatters, embeddings and sparse products are made of."),
    ("tap_scatter", "The adjoint of `window`."),
    ("rnn_tanh", "`nn::Recurrent` of `Cell::Tanh`."),
    ("rnn_relu", "`nn::Recurrent` of `Cell::Relu`."),
    ("lstm", "`nn::Recurrent` of `Cell::Lstm`: long short-term memory."),
    ("lstm_peephole", "`nn::Recurrent` of `Cell::PeepholeLstm`: an LSTM whose gates see the cell."),
    ("gru", "`nn::Recurrent` of `Cell::Gru`: gated recurrent unit, the reset gate after the product."),
    ("gru_reset_before", "`nn::Recurrent` of `Cell::GruResetBefore`: the reset gate before the product."),
];

/// What is known of the gradient.
fn gradient(op: &str, cases: &[OpCase]) -> String {
    let reasons = cases.iter().map(|c| c.gradient);
    if let Some(reason) = reasons.clone().find_map(|g| if let Gradient::None(reason) = g { Some(reason) } else { None })
    {
        return format!("none: {reason}");
    }
    let integer = cases.iter().any(|c| integer(op, c));
    let differences = cases.iter().any(|c| c.differences) && !integer;
    let rule = reasons.into_iter().find_map(|g| if let Gradient::ByRule(reason) = g { Some(reason) } else { None });
    match rule {
        _ if differences => "checked".into(),
        Some(reason) => format!("by rule: {reason}"),
        None if integer => "none: the result is no float".into(),
        None => "by rule".into(),
    }
}

/// Whether the operation itself, of a case that may do more, gives integers or bools.
fn integer(op: &str, case: &OpCase) -> bool {
    let shapes = case.inputs.iter().enumerate();
    let inputs: Vec<Tensor> = shapes.map(|(i, s)| Tensor::input(format!("x{i}"), s.clone(), DType::F32)).collect();
    let (mut stack, mut seen) = (vec![(case.build)(&inputs)], std::collections::HashSet::new());
    while let Some(t) = stack.pop() {
        if t.op().name() == op && !t.dtype().is_float() {
            return true;
        }
        stack.extend(t.inputs().iter().filter(|i| seen.insert(i.id())).cloned());
    }
    false
}

fn half(cases: &[OpCase]) -> String {
    let mut refused = "";
    for case in cases {
        match case.half {
            Half::Within(_) => return "checked".into(),
            Half::Not(reason) => refused = reason,
        }
    }
    format!("no: {refused}")
}

/// All sources in the folder of one.
fn beside(file: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let entries = folder.parent().and_then(|p| std::fs::read_dir(p).ok()).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|e| e.path()).filter(|p| p.is_file()).collect();
    // In the same order everywhere.
    paths.sort();
    paths.iter().filter_map(|p| std::fs::read_to_string(p).ok()).collect()
}

/// The first sentence of the doc comment of the function, or of the row of a table of functions, that starts so.
fn about(source: &str, starts: &[String]) -> Option<String> {
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let is = |line: &str, start: &str| line.strip_prefix("pub fn ").unwrap_or(line).starts_with(start);
    let named = |line: &str| line.starts_with("pub fn ") || line.contains(" => ");
    let at = starts.iter().find_map(|s| lines.iter().position(|l| named(l) && is(l, s)))?;
    let above: Vec<&str> =
        lines[..at].iter().rev().take_while(|l| l.starts_with("///") || l.starts_with("#[")).copied().collect();
    Some(sentence(above.iter().rev().filter_map(|l| l.strip_prefix("///"))))
}

/// The first sentence of a doc comment's lines.
fn sentence<'a>(lines: impl Iterator<Item = &'a str>) -> String {
    let text: Vec<&str> = lines.map(str::trim).take_while(|l| !l.is_empty()).collect();
    let text = text.join(" ");
    let end = text.find(". ").map_or(text.len(), |i| i + 1);
    text[..end].to_string()
}

#[allow(dead_code)] // the test that shares this file has no use for it
fn main() -> anyhow::Result<()> {
    let Some(path) = Args::parse().write else {
        print!("{}", table());
        return Ok(());
    };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    }
    std::fs::write(&path, table()).with_context(|| format!("cannot write {}", path.display()))
}
