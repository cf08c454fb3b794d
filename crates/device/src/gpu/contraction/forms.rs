//! The forms that a contraction can take on an adapter: for `--tune`, which times them.

use super::plan::{Plan, Tile};
use crate::kernels::Contraction;
use crate::{Access, Adapter, AdapterKind, Choices, DType};

/// The plan: the form that was the fastest where it was timed, else the usual one.
pub(super) fn plan(c: &Contraction, adapter: &Adapter) -> Plan {
    let usual = Plan::usual(c, adapter);
    if adapter.tuned.is_empty() || usual.common {
        return usual;
    }
    let Some(chosen) = adapter.tuned.get(&problem(c, &usual)) else { return usual };
    match others(c, adapter, &usual).into_iter().find(|&(tile, swapped)| name(tile, swapped) == chosen) {
        Some((tile, swapped)) => Plan::with(c, adapter, tile, swapped),
        None => usual,
    }
}

/// See [`crate::Kernel::choices`]. The common form serves many small problems with one pipeline, and is left at that.
pub(crate) fn choices(c: &Contraction, adapter: &Adapter) -> Option<Choices> {
    let usual = Plan::usual(c, adapter);
    if usual.common || usual.elements() == 0 || usual.size(3) == 0 {
        return None;
    }
    let others = others(c, adapter, &usual);
    let all = std::iter::once((usual.tile, usual.swapped)).chain(others.iter().copied());
    let forms = all.map(|(tile, swapped)| name(tile, swapped)).collect();
    (!others.is_empty()).then(|| Choices { problem: problem(c, &usual), forms })
}

/// All forms but the usual one. On a software adapter, whose tiles are wide, also those of the transpose.
fn others(c: &Contraction, adapter: &Adapter, usual: &Plan) -> Vec<(Tile, bool)> {
    let (_, m, n, _) = c.sizes();
    let ways: &[bool] = if adapter.kind == AdapterKind::Software { &[false, true] } else { &[false] };
    let tiles = Tile::all(c, adapter).into_iter();
    let forms = tiles.flat_map(|tile| ways.iter().map(move |&swapped| (tile, swapped)));
    let fits = |tile: Tile, swapped: bool| if swapped { !tile.wastes(n, m) } else { !tile.wastes(m, n) };
    forms.filter(|&(tile, swapped)| fits(tile, swapped) && (tile, swapped) != (usual.tile, usual.swapped)).collect()
}

/// What decides how fast a form is: the extents of batch, m, n and k with their sub-axes, and of each operand its type, whether it
/// lies along k, whether four elements can be read at once, and its guarded coordinates; the types stored and what the
/// epilogue reads.
fn problem(c: &Contraction, usual: &Plan) -> String {
    let joined = |parts: Vec<String>, with: &str| parts.join(with);
    let extents = |group| joined(usual.extents(group).iter().map(usize::to_string).collect(), ".");
    let types = |types: &[DType]| joined(types.iter().map(DType::to_string).collect(), ".");
    let operand = |i: usize, access: &Access, other: usize| {
        let along = if usual.along_k(access, other) { "k" } else { "-" };
        let fours = if usual.lies_in_fours(access, other) { 4 } else { 1 };
        format!("{}:{along}{fours}g{}", c.operands[i], access.coords.len())
    };
    let (first, second) = if usual.swapped { (1, 0) } else { (0, 1) };
    format!(
        "{}*{}x{}x{} {} {} {}{} reads {}",
        extents(0),
        extents(1),
        extents(2),
        extents(3),
        operand(first, &usual.a, 1),
        operand(second, &usual.b, 2),
        types(&c.outputs()),
        if usual.swapped { " swapped" } else { "" },
        c.epilogue.as_ref().map_or(String::new(), |e| types(&e.inputs)),
    )
}

/// What a form is called in files.
fn name(tile: Tile, swapped: bool) -> String {
    let tile = match tile {
        Tile::Direct { size } => format!("direct-{size}"),
        Tile::Row { size, .. } => format!("row-{size}"),
        Tile::Lanes { rows, wide } => format!("lanes-{rows}{}", if wide { "-wide" } else { "" }),
        Tile::Software { rows } => format!("software-{rows}"),
        Tile::Matrix { size, .. } => format!("matrix-{size}"),
        Tile::Gpu { threads: [tm, tn], blocks: [bm, bn], depth } => format!("gpu-{tm}x{tn}-{bm}x{bn}-{depth}"),
    };
    if swapped { tile + "-swapped" } else { tile }
}
