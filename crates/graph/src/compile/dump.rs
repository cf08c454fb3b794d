//! The compiler's work as text.

use super::{Base, Place, Plan};
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::str::FromStr;

/// What to print of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dump {
    /// The simplified graph: an operation a line.
    Graph,
    /// The launches in order, with where they read and write, and the memory plan.
    Plan,
    /// The kernels: how often each is launched, and its work.
    Kernels,
}

impl FromStr for Dump {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        match s {
            "graph" => Ok(Dump::Graph),
            "plan" => Ok(Dump::Plan),
            "kernels" => Ok(Dump::Kernels),
            _ => Err(format!("\"{s}\" is none of graph, plan, kernels")),
        }
    }
}

impl Plan {
    pub fn dump(&self, what: Dump) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = match what {
            Dump::Graph => self.graph(&mut text),
            Dump::Plan => self.plan(&mut text),
            Dump::Kernels => self.kernels(&mut text),
        };
        text
    }

    fn graph(&self, out: &mut String) -> std::fmt::Result {
        let mut number = HashMap::new();
        for (n, t) in self.graph.iter().enumerate() {
            number.insert(t.id(), n);
            let inputs: Vec<String> = t.inputs().iter().map(|i| format!("%{}", number[&i.id()])).collect();
            writeln!(
                out,
                "%{n} = {:?}({})  {} {:?}  {}:{}",
                t.op(),
                inputs.join(", "),
                t.dtype(),
                t.shape(),
                t.site().file(),
                t.site().line()
            )?;
        }
        Ok(())
    }

    fn plan(&self, out: &mut String) -> std::fmt::Result {
        let list = |places: &[Place]| places.iter().map(|p| self.place(p)).collect::<Vec<_>>().join(", ");
        for (n, s) in self.steps.iter().enumerate() {
            writeln!(out, "{n:4} {:<40} ({}) -> {}   {}", s.kernel.name(), list(&s.inputs), list(&s.outputs), s.label)?;
        }
        writeln!(out)?;
        let mut slots: Vec<_> = self.slots.iter().enumerate().collect();
        slots.sort_by_key(|(_, (bytes, _))| std::cmp::Reverse(*bytes));
        for (n, (bytes, label)) in slots {
            writeln!(out, "slot {n}: {}, sized by {label}", megabytes(*bytes))?;
        }
        writeln!(out, "temporary memory {}", megabytes(self.temporary_bytes()))
    }

    fn place(&self, p: &Place) -> String {
        let base = match p.base {
            Base::Input(i) => format!("input {}", self.inputs[i].name),
            Base::State(i) => format!("state {}", self.states[i].name),
            Base::Arena(i) => format!("arena {i}"),
            Base::Slot(i) => format!("slot {i}"),
        };
        if p.offset == 0 { base } else { format!("{base}+{}", p.offset) }
    }

    fn kernels(&self, out: &mut String) -> std::fmt::Result {
        let mut table: BTreeMap<String, (usize, f64, f64)> = BTreeMap::new();
        for s in &self.steps {
            let cost = s.kernel.cost();
            let row = table.entry(s.kernel.name()).or_default();
            *row = (row.0 + 1, row.1 + cost.flops, row.2 + cost.bytes);
        }
        writeln!(out, "{:<48} {:>6} {:>12} {:>12}", "kernel", "count", "MFLOP", "MB")?;
        for (name, (count, flops, bytes)) in table {
            writeln!(out, "{name:<48} {count:>6} {:>12.3} {:>12.3}", flops / 1e6, bytes / 1e6)?;
        }
        Ok(())
    }
}

/// Bytes in a unit that reads well.
pub(crate) fn megabytes(bytes: usize) -> String {
    if bytes < 100 << 10 {
        format!("{:.1} KiB", bytes as f64 / 1024.0)
    } else {
        format!("{:.1} MiB", bytes as f64 / 1048576.0)
    }
}
