//! Results as a table that can be pasted into RESULTS.md, and as rows of JSON.

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::{Map, Value};
use std::path::Path;

/// One piece of work: what wgrad took, and a peer beside it if there was one. The same keys in every bench.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// What was done.
    pub name: String,
    /// What wgrad ran on: adapter and driver.
    pub device: String,
    /// Median of wgrad.
    pub wgrad_ms: f64,
    /// Who else did it.
    pub peer: Option<String>,
    /// Median of the peer; none where it could not.
    pub peer_ms: Option<f64>,
    /// The peer's time by wgrad's: above 1, wgrad is faster.
    pub ratio: Option<f64>,
    /// What else was measured.
    #[serde(flatten)]
    pub details: Map<String, Value>,
}

impl Row {
    /// wgrad alone.
    pub fn new(name: impl Into<String>, device: impl Into<String>, wgrad_ms: f64) -> Row {
        let (name, device) = (name.into(), device.into());
        Row { name, device, wgrad_ms, peer: None, peer_ms: None, ratio: None, details: Map::new() }
    }

    /// Beside a peer; without a time it could not do it.
    pub fn against(mut self, peer: impl Into<String>, peer_ms: Option<f64>) -> Row {
        self.peer = Some(peer.into());
        self.peer_ms = peer_ms;
        self.ratio = peer_ms.map(|theirs| theirs / self.wgrad_ms);
        self
    }

    /// With something else that was measured.
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Row {
        self.details.insert(key.into(), value.into());
        self
    }
}

/// Writes the rows.
///
/// # Errors
/// If the file cannot be written.
pub fn save(path: &Path, rows: &[Row]) -> Result<()> {
    let text = serde_json::to_string_pretty(rows)? + "\n";
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// A table with a head, in Markdown with its columns aligned.
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// One without rows.
    pub fn new(head: &[&str]) -> Table {
        Table { rows: vec![head.iter().map(|s| s.to_string()).collect()] }
    }

    /// Adds a row; what is missing at its end stays empty.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let mut cells: Vec<String> = cells.into_iter().collect();
        cells.resize(self.rows[0].len(), String::new());
        self.rows.push(cells);
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let columns = self.rows[0].len();
        let width = |c: usize| self.rows.iter().map(|r| r[c].chars().count()).max().unwrap_or(0).max(3);
        let widths: Vec<usize> = (0..columns).map(width).collect();
        // Numbers to the right, words to the left.
        let words = |c: usize| self.rows[1..].iter().any(|r| r[c].starts_with(char::is_alphabetic));
        let right: Vec<bool> = (0..columns).map(|c| !words(c)).collect();
        for (i, row) in self.rows.iter().enumerate() {
            for ((cell, &w), &right) in row.iter().zip(&widths).zip(&right) {
                if right { write!(f, "| {cell:>w$} ")? } else { write!(f, "| {cell:<w$} ")? }
            }
            writeln!(f, "|")?;
            if i == 0 {
                for (&w, &right) in widths.iter().zip(&right) {
                    write!(f, "|{}{}", "-".repeat(w + 1), if right { ':' } else { '-' })?;
                }
                writeln!(f, "|")?;
            }
        }
        Ok(())
    }
}

/// A number with about three digits.
pub fn short(value: f64) -> String {
    match value.abs() {
        v if !v.is_finite() => "-".into(),
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        v if v >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

/// The table of all rows: times, ratios, and these of the details under their own names. The device is the same in all.
pub fn summary(rows: &[Row], details: &[&str]) -> Table {
    let mut table = Table::new(&[&["name", "wgrad_ms", "peer", "peer_ms", "ratio"], details].concat());
    for row in rows {
        let number = |v: Option<f64>| v.map_or("-".into(), short);
        let ratio = row.ratio.map_or("-".into(), |r| format!("{r:.2}"));
        let peer = row.peer.clone().unwrap_or_default();
        let cells = [row.name.clone(), short(row.wgrad_ms), peer, number(row.peer_ms), ratio];
        let detail = |key: &&str| match row.details.get(*key) {
            Some(count) if count.is_u64() => count.to_string(),
            other => number(other.and_then(Value::as_f64)),
        };
        table.row(cells.into_iter().chain(details.iter().map(detail)));
    }
    table
}
