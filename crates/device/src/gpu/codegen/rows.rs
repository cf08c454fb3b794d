//! Rows that are folded and mapped over, as WGSL.
//!
//! Neighbouring invocations share a row: each walks every so many elements of it, always the same ones, so that what it has
//! stored it may read back. After a walk they fold what they have: in workgroup memory, or, on a software adapter, where
//! barriers are slow, by the shuffles of a subgroup (else each has a row of its own).

use super::fold::{Running, is_arg, share, start, take, to_word, tree};
use super::map::bind_inputs;
use super::reduce::{LONGEST, lanes};
use super::shader::{entry, held, store};
use super::{Emitter, Shader, Source, fold, workgroup_size};
use crate::expr::{collapse, reachable};
use crate::kernels::{Rows, Walk};
use crate::{Adapter, AdapterKind, DType, Expr, ExprId, ExprNode, Operand, Pass, fold_groups};

/// How lanes fold what they have.
#[derive(Clone, Copy, PartialEq)]
enum Join {
    Alone,
    Workgroup,
    Subgroup,
}

/// The longest row that a software adapter sums accurately in one go.
pub(crate) fn longest_row(adapter: &Adapter) -> usize {
    if adapter.subgroup == 8 { 8 * LONGEST } else { LONGEST }
}

fn plan(rows: &Rows, adapter: &Adapter) -> (usize, Join) {
    let length = rows.length();
    // Three words a fold and lane in workgroup memory at most, of which there are 16 KiB.
    let fits = rows.folds.len() * 3 * workgroup_size(adapter) * 4 <= 16 << 10;
    match adapter.kind {
        AdapterKind::Software if adapter.subgroup == 8 && length >= 16 => (8, Join::Subgroup),
        AdapterKind::Software => (1, Join::Alone),
        _ if fits && lanes(length) > 1 => (lanes(length), Join::Workgroup),
        _ => (1, Join::Alone),
    }
}

/// The pass that does it all; none where there are no rows.
pub(crate) fn row_passes(rows: &Rows, adapter: &Adapter, aliases: &[Option<usize>]) -> Vec<Pass> {
    let kept = rows.kept();
    if kept == 0 {
        return vec![];
    }
    let mut rows = rows.clone();
    let mut domain = rows.domain();
    let barrier = collapse(&mut domain, rows.keep.len(), &mut rows.expr);
    rows.row = domain.split_off(barrier);
    rows.keep = domain;
    let domain = rows.domain();
    let walks = rows.walks(adapter.kind == AdapterKind::Software);
    let (lanes, join) = plan(&rows, adapter);
    let size = workgroup_size(adapter);

    let mut shader = Shader::new();
    let sources = bind(&mut shader, &rows, &walks, aliases);
    let count = shader.param(kept as i64);
    let length = shader.param(rows.length() as i64);
    let mut text = String::new();
    let kept_coords = shader.unravel(&mut text, "kept", &rows.keep);
    let running = |f: usize| {
        let fold = rows.folds[f];
        Running { o: f, op: fold.op, dtype: rows.expr.dtypes[fold.node] }
    };
    let (mut declared, mut shared) = (String::new(), String::new());
    for f in 0..rows.folds.len() {
        declared += &start(running(f));
        if join == Join::Workgroup {
            shared += &share(running(f), size);
        }
    }
    for (p, walk) in walks.iter().enumerate() {
        text += &one_walk(&mut shader, &rows, walk, &domain, &sources, &kept_coords, lanes, &length);
        let folded: Vec<Running> = walk.folds.iter().map(|&(f, _)| running(f)).collect();
        // Nobody needs the result of the last walk's folds.
        if p + 1 < walks.len() && !folded.is_empty() {
            text += &joined(&folded, lanes, join);
        }
    }
    let live = if lanes == 1 {
        format!(
            "let part = 0u;\nlet kept = t;\nlet live = true;\nif (t >= {count}) {{ return; }}\nlet end = {length};\n"
        )
    } else {
        // All lanes stay until the last barrier; those past the end look at the last row, and do nothing.
        format!(
            "let part = t % {lanes}u;\nlet live = t / {lanes}u < {count};\nlet kept = min(t / {lanes}u, {count} - 1u);
let end = select(0u, {length}, live);\n"
        )
    };
    let body = format!("let t = group_at * {size}u + lane;\n{live}{declared}{text}");
    let body = entry(size, &shared, &body);
    vec![shader.finish("rows".into(), &body, fold_groups(kept.div_ceil(size / lanes)))]
}

/// Binds what is read, and the outputs; gives where inputs, and after them outputs, are found.
fn bind(shader: &mut Shader, rows: &Rows, walks: &[Walk], aliases: &[Option<usize>]) -> Vec<Source> {
    let mut used = vec![false; rows.expr.nodes.len()];
    for walk in walks {
        let roots: Vec<ExprId> = walk.once.iter().map(|&(_, node)| node).chain(walk.inner()).collect();
        used.iter_mut().zip(reachable(&walk.expr, &roots)).for_each(|(a, b)| *a |= b);
    }
    let outputs = rows.outputs.len();
    let mut sources = bind_inputs(shader, &rows.expr, &used, &rows.inputs, aliases, |o| rows.output_dtype(o));
    for o in 0..outputs {
        let (name, dtype) = (format!("out{o}"), rows.output_dtype(o));
        shader.bind(Operand::Output(o), &name, dtype, true);
        sources.push(Source { name, stored: dtype, dtype });
    }
    sources
}

#[allow(clippy::too_many_arguments)] // all are parts of one shader
fn one_walk(
    shader: &mut Shader,
    rows: &Rows,
    walk: &Walk,
    domain: &[usize],
    sources: &[Source],
    kept_coords: &[String],
    lanes: usize,
    length: &str,
) -> String {
    let (e, inner) = (&walk.expr, walk.inner());
    let mut in_loop = String::new();
    let mut coords = kept_coords.to_vec();
    coords.extend(shader.unravel(&mut in_loop, "r", &rows.row));
    let mut emitter = Emitter::new(shader, e, domain, sources);
    emitter.linear = Some("i");
    emitter.coords = coords;
    emitter.outer = rows.keep.len();
    emitter.folded = (rows.folds.iter().enumerate())
        .map(|(f, fold)| if is_arg(fold.op) { format!("at{f}") } else { format!("result{f}") })
        .collect();
    // What is the same along the row stands before the loop.
    let along = varies(e, rows.keep.len(), domain);
    let used = reachable(e, &inner);
    let mut before: Vec<ExprId> = walk.once.iter().map(|&(_, node)| node).collect();
    let once = before.len();
    before.extend((0..e.nodes.len()).filter(|&id| used[id] && !along[id]));
    let names = emitter.emit(&before);
    let mut stores = String::new();
    for (&(o, _), name) in walk.once.iter().zip(&names[..once]) {
        stores += &format!("out{o}[kept] = {};\n", store(name, rows.output_dtype(o)));
    }
    let once = match stores.is_empty() {
        true => stores,
        false => format!("if (live & (part == 0u)) {{\n{stores}}}\n"),
    };
    let outside = std::mem::take(&mut emitter.text);
    let values = emitter.emit(&inner);
    let (first, inside) = (std::mem::take(&mut emitter.before), std::mem::take(&mut emitter.text));
    if inner.is_empty() {
        return format!("{{\n{first}let i = kept * {length};\n{outside}{once}}}\n");
    }
    let mut ends = String::new();
    for (&(f, node), value) in walk.folds.iter().zip(&values) {
        let running = Running { o: f, op: rows.folds[f].op, dtype: e.dtypes[node] };
        ends += &take(running, value, "r", "r == part");
    }
    for (&(o, node), value) in walk.each.iter().zip(&values[walk.folds.len()..]) {
        ends += &format!("out{o}[i] = {};\n", store(value, e.dtypes[node]));
    }
    format!(
        "{{\n{first}let origin = kept * {length};\nlet i = origin;\n{outside}{once}for (var r = part; r < end; r += {lanes}u) {{
let i = origin + r;\n{in_loop}{inside}{ends}}}\n}}\n"
    )
}

/// For each node, whether it differs along a row.
fn varies(e: &Expr, keep: usize, domain: &[usize]) -> Vec<bool> {
    let along = |a: &crate::Affine| (keep..domain.len()).any(|d| a.strides[d] != 0 && domain[d] > 1);
    let mut varies = vec![];
    for (id, node) in e.nodes.iter().enumerate() {
        varies.push(match node {
            ExprNode::Load { access, .. } => access.affines().any(along),
            ExprNode::Index(a) => along(a),
            ExprNode::Mask(coords) => coords.iter().any(|c| along(&c.affine)),
            _ => e.args(id).into_iter().any(|a| varies[a]),
        });
    }
    varies
}

/// Makes the running results of a row's lanes one, which all of them have.
fn joined(all: &[Running], lanes: usize, join: Join) -> String {
    match join {
        Join::Alone => String::new(),
        Join::Workgroup => {
            let mut text = tree(all, lanes);
            for r in all {
                let (name, dtype) = value(*r);
                let memory = if is_arg(r.op) { format!("shared_at{}", r.o) } else { format!("shared{}", r.o) };
                text += &format!("{name} = {};\n", fold::from_word(&format!("{memory}[lane - part]"), dtype));
            }
            text + "workgroupBarrier();\n"
        }
        Join::Subgroup => {
            let mut text = String::new();
            for &r in all {
                let o = r.o;
                for width in [4, 2, 1] {
                    let other = |name: &str, dtype: DType| {
                        let word = to_word(&format!("{name}{o}"), dtype);
                        fold::from_word(&format!("subgroupShuffleXor({word}, {width}u)"), dtype)
                    };
                    text += &format!("{{\nlet value{o}: {} = {};\n", held(r.dtype), other("result", r.dtype));
                    for &(name, dtype) in fold::extras(r.op) {
                        text += &format!("let other_{name}{o} = {};\n", other(name, dtype));
                    }
                    text += &fold::fold(r, &format!("value{o}"), &format!("other_at{o}"), None);
                    text += "}\n";
                }
                // Lanes have folded in different orders.
                let (name, dtype) = value(r);
                let word = format!("subgroupBroadcastFirst({})", to_word(&name, dtype));
                text += &format!("{name} = {};\n", fold::from_word(&word, dtype));
            }
            text
        }
    }
}

/// The variable that has the result, and its type.
fn value(r: Running) -> (String, DType) {
    if is_arg(r.op) { (format!("at{}", r.o), DType::U32) } else { (format!("result{}", r.o), r.dtype) }
}
