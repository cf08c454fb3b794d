//! The arithmetic of the benches' reports: ratios, medians, tables.

#[path = "../benches/shared/report.rs"]
mod report;
#[path = "../benches/shared/stats.rs"]
mod stats;

use report::{Row, Table, save, short, summary};
use stats::{agree, greatest, growth, least, median};

#[test]
fn above_one_is_faster_than_the_peer() {
    let row = Row::new("matmul_256", "cpu", 2.0).against("pytorch, 1 thread", Some(5.0)).with("gflops", 3.5);
    assert_eq!(row.ratio, Some(2.5));
    let cannot = Row::new("yolov3", "cpu", 2.0).against("candle", None);
    assert_eq!((cannot.peer_ms, cannot.ratio), (None, None));

    let path = std::env::temp_dir().join(format!("wgrad-bench-report-{}.json", std::process::id()));
    save(&path, &[row, cannot]).unwrap();
    let rows: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    std::fs::remove_file(&path).unwrap();
    for key in ["name", "device", "wgrad_ms", "peer", "peer_ms", "ratio"] {
        assert!(rows[0].get(key).is_some() && rows[1].get(key).is_some(), "{key}");
    }
    assert_eq!(rows[0]["gflops"], 3.5);
    assert!(rows[1]["ratio"].is_null());
}

#[test]
fn medians_and_ends() {
    assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
    assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
    assert!(median(&[]).is_nan());
    assert_eq!((least([2.0, 1.0]), greatest([2.0, 3.0])), (1.0, 3.0));
}

#[test]
fn wrong_work_does_not_agree() {
    assert!(agree(&[2.3001, 2.0], &[2.3, 2.0], 1e-3));
    assert!(!agree(&[2.31, 2.0], &[2.3, 2.0], 1e-3));
    assert!(!agree(&[2.3], &[2.3, 2.0], 1e-3));
    assert!(!agree(&[f64::NAN], &[f64::NAN], 1e-3));
}

#[test]
fn exponents_of_growth() {
    let points = |power: i32| [1.0f64, 2.0, 8.0].map(|x| (x, 3.0 * x.powi(power)));
    assert!((growth(&points(1)) - 1.0).abs() < 1e-9);
    assert!((growth(&points(2)) - 2.0).abs() < 1e-9);
}

#[test]
fn tables_are_markdown_with_numbers_to_the_right() {
    let mut table = Table::new(&["name", "ms"]);
    table.row(["mlp".into(), short(1234.5)]);
    table.row(["gpt".into()]);
    assert_eq!(table.to_string(), "| name |   ms |\n|------|-----:|\n| mlp  | 1234 |\n| gpt  |      |\n");
    let rows = [Row::new("a", "cpu", 1.0).with("mb", 12), Row::new("b", "cpu", 1.0).against("p", Some(0.5))];
    let lines: Vec<String> = summary(&rows, &["mb"]).to_string().lines().map(|l| l.replace(' ', "")).collect();
    assert_eq!(lines[0], "|name|wgrad_ms|peer|peer_ms|ratio|mb|");
    assert_eq!(lines[2..], ["|a|1.00||-|-|12|", "|b|1.00|p|0.500|0.50|-|"]);
    assert_eq!([0.1234, 1.234, 12.34, f64::NAN].map(short), ["0.123", "1.23", "12.3", "-"]);
}
