//! Where the time goes: what `--profile` prints.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use wgrad_device::{Cost, KernelTime};

/// A table of the kernels of one run, the slowest first: count, time, arithmetic and memory rate, share of the time.
pub fn table(times: &[KernelTime]) -> String {
    let mut rows: BTreeMap<&str, Row> = BTreeMap::new();
    let mut total = Row::default();
    for kernel in times {
        rows.entry(&kernel.name).or_default().add(kernel.time, kernel.cost);
        total.add(kernel.time, kernel.cost);
    }
    let mut rows: Vec<(&str, Row)> = rows.into_iter().collect();
    rows.sort_by_key(|(_, row)| Reverse(row.time)); // stable: equal times stay in the order of their names
    rows.push(("all", total));

    let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0).max("kernel".len());
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "{:<width$} {:>6} {:>10} {:>9} {:>8} {:>7}",
        "kernel", "count", "ms", "GFLOP/s", "GB/s", "share"
    );
    for (name, row) in &rows {
        let share = row.time.as_secs_f64() / total.time.as_secs_f64().max(f64::MIN_POSITIVE);
        let _ = writeln!(
            text,
            "{name:<width$} {:>6} {:>10.3} {:>9.2} {:>8.2} {:>6.1}%",
            row.count,
            row.time.as_secs_f64() * 1e3,
            row.rate(row.flops),
            row.rate(row.bytes),
            share * 100.0
        );
    }
    text
}

#[derive(Clone, Copy, Default)]
struct Row {
    count: usize,
    time: Duration,
    flops: f64,
    bytes: f64,
}

impl Row {
    fn add(&mut self, time: Duration, cost: Cost) {
        self.count += 1;
        self.time += time;
        self.flops += cost.flops;
        self.bytes += cost.bytes;
    }

    /// Giga of `work` a second; 0 where the time is too short to measure.
    fn rate(&self, work: f64) -> f64 {
        let seconds = self.time.as_secs_f64();
        if seconds > 0.0 { work / seconds / 1e9 } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kernel(name: &str, micros: u64, flops: f64) -> KernelTime {
        KernelTime { name: name.into(), time: Duration::from_micros(micros), cost: Cost { flops, bytes: flops / 2.0 } }
    }

    #[test]
    fn kernels_of_one_name_are_one_row_and_the_slowest_is_first() {
        let text = table(&[kernel("map 8", 1000, 1e6), kernel("contraction", 7000, 7e7), kernel("map 8", 2000, 2e6)]);
        let cells: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(cells[0], ["kernel", "count", "ms", "GFLOP/s", "GB/s", "share"]);
        assert_eq!(cells[1], ["contraction", "1", "7.000", "10.00", "5.00", "70.0%"]);
        assert_eq!(cells[2], ["map", "8", "2", "3.000", "1.00", "0.50", "30.0%"]);
        assert_eq!(cells[3], ["all", "3", "10.000", "7.30", "3.65", "100.0%"]);
    }

    #[test]
    fn nothing_measured_is_no_division_by_zero() {
        let text = table(&[kernel("map", 0, 1.0)]);
        assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
        assert_eq!(table(&[]).lines().count(), 2);
    }
}
