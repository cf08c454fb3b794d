//! Groups of kernels in a line each.

use super::case::Case;
use crate::shared::report::{Row, Table};
use crate::shared::stats::{least, median};

/// What is said of a group.
struct Group {
    name: String,
    /// Cases and their shares of the peak.
    shares: Vec<(String, f64)>,
    /// For each case the better peer's time by wgrad's, where there is one.
    ratios: Vec<f64>,
}

/// All groups, in the order in which they were met.
#[derive(Default)]
pub struct Summary(Vec<Group>);

impl Summary {
    /// Adds a case with its rows against peers.
    pub fn add(&mut self, case: &Case, share: f64, against: &[Row]) {
        let name = case.group();
        let at = self.0.iter().position(|g| g.name == name).unwrap_or_else(|| {
            self.0.push(Group { name, shares: vec![], ratios: vec![] });
            self.0.len() - 1
        });
        let group = &mut self.0[at];
        group.shares.push((case.name.clone(), share));
        let best = least(against.iter().filter_map(|row| row.ratio));
        group.ratios.extend(best.is_finite().then_some(best));
    }

    /// A row for each group.
    pub fn table(&self) -> Table {
        let head = [
            "group",
            "cases",
            "of peak, median",
            "worst",
            "the worst case",
            "ratio to the better peer, median",
            "least",
        ];
        let mut table = Table::new(&head);
        for group in &self.0 {
            let shares: Vec<f64> = group.shares.iter().map(|s| s.1).collect();
            let Some(worst) = group.shares.iter().min_by(|a, b| a.1.total_cmp(&b.1)) else { continue };
            let ratio = |value: f64| if value.is_finite() { format!("{value:.2}") } else { String::new() };
            let percent = |value: f64| format!("{:.0} %", value * 100.0);
            table.row([
                group.name.clone(),
                shares.len().to_string(),
                percent(median(&shares)),
                percent(worst.1),
                worst.0.clone(),
                ratio(median(&group.ratios)),
                ratio(least(group.ratios.iter().copied())),
            ]);
        }
        table
    }
}
