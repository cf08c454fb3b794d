//! The table of operations in docs/OPS.md is what the registry says.

#[path = "../examples/ops.rs"]
mod ops;

#[test]
fn the_table_is_up_to_date() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/OPS.md");
    let (found, expected) = (std::fs::read_to_string(path).unwrap(), ops::table());
    let stale = expected.lines().zip(found.lines()).find(|(e, f)| e != f);
    assert!(
        found == expected,
        "docs/OPS.md is out of date ({stale:?}): run `cargo run --release --example ops -- --write docs/OPS.md`"
    );
}

/// An operation whose gradient no case tells by differences says why; so does one that is not tried in f16.
#[test]
fn what_is_not_checked_has_a_reason() {
    for row in ops::table().lines().filter(|l| l.starts_with("| `")) {
        assert!(!row.contains("| by rule |") && !row.contains(": |"), "{row}");
        assert!(!row.contains("` |  |"), "nothing says what this gives: {row}");
    }
}
