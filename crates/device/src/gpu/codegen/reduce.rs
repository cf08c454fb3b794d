//! Fused reductions as WGSL.
//!
//! Each invocation folds every S-th element of one output element's share into a partial result; further passes fold the
//! S partial results. S follows from the sizes and the kind of adapter alone, so the order of a sum is fixed.

use super::map::bind_inputs;
use super::shader::{held, store};
use super::{Emitter, Shader, expr::reachable, workgroup_size};
use crate::kernels::{Reduce, ReduceOp};
use crate::{Adapter, AdapterKind, DType, ExprNode, Operand, Pass, expr, fold_groups};

/// How a reduction is shared out.
struct Plan {
    /// Kept and reduced extents after merging dimensions.
    keep: Vec<usize>,
    reduce: Vec<usize>,
    expr: crate::Expr,
    kept: usize,
    reduced: usize,
    /// Partial results of each output element after each pass; the last is 1.
    splits: Vec<usize>,
    /// Whether neighbouring invocations take neighbouring kept elements, rather than neighbouring reduced ones.
    along_kept: bool,
}

impl Plan {
    fn new(reduce: &Reduce, adapter: &Adapter) -> Plan {
        let (mut e, mut domain) = (reduce.expr.clone(), reduce.domain());
        let (kept, reduced) = (reduce.kept(), reduce.reduced());
        let barrier = expr::collapse(&mut domain, reduce.keep.len(), &mut e);
        let along_kept = kept > 1 && prefers_kept(&e, &domain, barrier);

        // Invocations that fill the adapter, elements worth an invocation, and partial results folded by one.
        let (fill, least, fold) = match adapter.kind {
            AdapterKind::Software => (2048, 64, 1024),
            _ => (32768, 8, 64),
        };
        // A sum of more terms than this loses accuracy by its order.
        const LONGEST: usize = 4096;
        let wanted = (fill / kept.max(1)).min(reduced / least).max(reduced.div_ceil(LONGEST)).max(1);
        let mut splits = vec![wanted];
        while *splits.last().expect("never empty") > 1 {
            let last = *splits.last().expect("never empty");
            splits.push(if last <= 2 * fold { 1 } else { last.div_ceil(fold) });
        }
        let inner = domain.split_off(barrier);
        Plan { keep: domain, reduce: inner, expr: e, kept, reduced, splits, along_kept }
    }
}

/// Whether the loads are denser along the kept dimensions than along the reduced ones.
fn prefers_kept(e: &crate::Expr, domain: &[usize], barrier: usize) -> bool {
    let mut votes = 0i32;
    for node in &e.nodes {
        let ExprNode::Load { access, .. } = node else { continue };
        let step = |dims: std::ops::Range<usize>| {
            let d = dims.into_iter().rev().find(|&d| domain[d] > 1)?;
            let coords = access.coords.iter().map(|c| c.affine.strides[d] * c.stride / c.div as i64);
            Some((access.base.strides[d] + coords.sum::<i64>()).unsigned_abs()).filter(|&s| s != 0)
        };
        votes += match (step(0..barrier), step(barrier..domain.len())) {
            (Some(kept), Some(reduced)) => (kept < reduced) as i32 - (reduced < kept) as i32,
            (Some(_), None) => 1,
            (None, Some(_)) => -1,
            (None, None) => 0,
        };
    }
    votes > 0
}

fn is_arg(op: ReduceOp) -> bool {
    matches!(op, ReduceOp::ArgMax | ReduceOp::ArgMin)
}

/// Words of scratch memory for one partial result of all outputs.
fn words(reduce: &Reduce) -> usize {
    reduce.outputs.iter().map(|o| 1 + is_arg(o.op) as usize).sum()
}

/// Bytes of scratch memory that [`reduce_passes`] uses.
pub(crate) fn reduce_scratch(reduce: &Reduce, adapter: &Adapter) -> usize {
    let plan = Plan::new(reduce, adapter);
    plan.splits.iter().filter(|&&s| s > 1).map(|s| 4 * s * plan.kept * words(reduce)).sum()
}

/// The passes of a reduction; none where there is nothing to write.
pub(crate) fn reduce_passes(reduce: &Reduce, adapter: &Adapter) -> Vec<Pass> {
    if reduce.kept() == 0 {
        return vec![];
    }
    let plan = Plan::new(reduce, adapter);
    let mut passes = vec![first_pass(reduce, &plan, adapter)];
    let mut base = 0;
    for pair in plan.splits.windows(2) {
        passes.push(fold_pass(reduce, plan.kept, pair[0], pair[1], base, adapter));
        base += pair[0] * plan.kept * words(reduce);
    }
    passes
}

fn first_pass(reduce: &Reduce, plan: &Plan, adapter: &Adapter) -> Pass {
    let e = &plan.expr;
    let nodes: Vec<_> = reduce.outputs.iter().map(|r| r.node).collect();
    let mut shader = Shader::new();
    let used = reachable(e, &nodes);
    let sources = bind_inputs(&mut shader, e, &used, &reduce.inputs, &[], |_| DType::F32);
    let splits = plan.splits[0];
    bind_results(&mut shader, reduce, splits == 1);

    let invocations = plan.kept * splits;
    let count = shader.param(invocations as i64);
    let mut head = String::new();
    let (kept_name, split_name, step) = if splits == 1 {
        ("t", "0u", "1u".to_string())
    } else {
        let along = if plan.along_kept { plan.kept } else { splits };
        let divisor = shader.divisor(along, invocations);
        head += &format!("let major = {};\n", divisor.quotient("t"));
        head += &format!("let minor = t - major * {};\n", divisor.extent);
        let (kept, split) = if plan.along_kept { ("minor", "major") } else { ("major", "minor") };
        (kept, split, shader.param(splits as i64))
    };
    head += &format!("let kept = {kept_name};\nlet split = {split_name};\n");

    let domain = [&plan.keep[..], &plan.reduce[..]].concat();
    let mut coords = shader.unravel(&mut head, "kept", &plan.keep);
    let end = shader.param(plan.reduced as i64);
    let mut loop_head = String::new();
    coords.extend(shader.unravel(&mut loop_head, "r", &plan.reduce));
    let mut emitter = Emitter::new(&mut shader, e, &domain, &sources);
    emitter.coords = coords;
    emitter.outer = plan.keep.len();
    let values = emitter.emit(&nodes);
    let (before, text) = (emitter.before, emitter.text);

    let mut folds = String::new();
    for (o, value) in values.iter().enumerate() {
        head += &start(reduce, o);
        folds += &fold(reduce, o, value, "r", "r == split");
    }
    let results = results(&mut shader, reduce, splits, plan.kept, 0, "split");
    let body = main(
        adapter,
        &count,
        &format!("{head}{before}for (var r = split; r < {end}; r += {step}) {{\n{loop_head}{text}{folds}}}\n{results}"),
    );
    shader.finish("reduce".into(), &body, groups(invocations, adapter))
}

/// Folds `from` partial results of each output element, at `base` in scratch memory, into `to`.
fn fold_pass(reduce: &Reduce, kept: usize, from: usize, to: usize, base: usize, adapter: &Adapter) -> Pass {
    let mut shader = Shader::new();
    shader.bind(Operand::Scratch, "scratch", DType::U32, to > 1);
    if to == 1 {
        bind_outputs(&mut shader, reduce);
    }
    let invocations = kept * to;
    let count = shader.param(invocations as i64);
    let kept_word = shader.param(kept as i64);
    let mut head = String::new();
    let step = if to == 1 {
        head += "let kept = t;\nlet split = 0u;\n";
        "1u".to_string()
    } else {
        let divisor = shader.divisor(kept, invocations);
        head += &format!("let split = {};\n", divisor.quotient("t"));
        head += &format!("let kept = t - split * {};\n", divisor.extent);
        shader.param(to as i64)
    };
    let end = shader.param(from as i64);
    let mut place = base;
    let mut folds = String::new();
    for (o, r) in reduce.outputs.iter().enumerate() {
        head += &start(reduce, o);
        let dtype = reduce.expr.dtypes[r.node];
        let word = |shader: &mut Shader, place: usize| {
            format!("scratch[{} + r * {kept_word} + kept]", shader.param(place as i64))
        };
        let value = from_word(&word(&mut shader, place), dtype);
        folds += &format!("let value{o}: {} = {value};\n", held(dtype));
        place += from * kept;
        let mut position = String::new();
        if is_arg(r.op) {
            position = format!("position{o}");
            folds += &format!("let {position} = {};\n", word(&mut shader, place));
            place += from * kept;
        }
        folds += &fold(reduce, o, &format!("value{o}"), &position, "r == split");
    }
    let results = results(&mut shader, reduce, to, kept, place, "split");
    let body =
        main(adapter, &count, &format!("{head}for (var r = split; r < {end}; r += {step}) {{\n{folds}}}\n{results}"));
    shader.finish("reduce, fold".into(), &body, groups(invocations, adapter))
}

fn main(adapter: &Adapter, count: &str, body: &str) -> String {
    let size = workgroup_size(adapter);
    format!(
        "@compute @workgroup_size({size})
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {{
let t = (group.y * groups.x + group.x) * {size}u + lane;
if (t >= {count}) {{ return; }}
{body}}}
"
    )
}

fn groups(invocations: usize, adapter: &Adapter) -> [u32; 3] {
    fold_groups(invocations.div_ceil(workgroup_size(adapter)))
}

fn bind_outputs(shader: &mut Shader, reduce: &Reduce) {
    for o in 0..reduce.outputs.len() {
        shader.bind(Operand::Output(o), &format!("out{o}"), reduce.output_dtype(o), true);
    }
}

fn bind_results(shader: &mut Shader, reduce: &Reduce, last: bool) {
    if last { bind_outputs(shader, reduce) } else { shader.bind(Operand::Scratch, "scratch", DType::U32, true) }
}

/// Declares the running result of output `o`.
fn start(reduce: &Reduce, o: usize) -> String {
    let r = reduce.outputs[o];
    let dtype = reduce.expr.dtypes[r.node];
    let ty = held(dtype);
    let identity = match (r.op, dtype) {
        (ReduceOp::Sum | ReduceOp::Max | ReduceOp::ArgMax, DType::Bool) => "false",
        (_, DType::Bool) => "true",
        (ReduceOp::Prod, DType::F32 | DType::F16) => "1.0",
        (ReduceOp::Prod, _) => "1",
        (ReduceOp::Sum, DType::F32 | DType::F16) => "0.0",
        (ReduceOp::Sum, _) => "0",
        (ReduceOp::Max | ReduceOp::ArgMax, DType::F32) => "-3.402823466e38",
        (ReduceOp::Min | ReduceOp::ArgMin, DType::F32) => "3.402823466e38",
        (ReduceOp::Max | ReduceOp::ArgMax, DType::F16) => "-65504.0",
        (ReduceOp::Min | ReduceOp::ArgMin, DType::F16) => "65504.0",
        (ReduceOp::Max | ReduceOp::ArgMax, DType::U32) => "0",
        (ReduceOp::Min | ReduceOp::ArgMin, DType::U32) => "4294967295",
        (ReduceOp::Max | ReduceOp::ArgMax, DType::I32) => "(-2147483647 - 1)",
        (ReduceOp::Min | ReduceOp::ArgMin, DType::I32) => "2147483647",
    };
    let mut text = format!("var result{o}: {ty} = {identity};\n");
    if is_arg(r.op) {
        text += &format!("var at{o} = 0u;\n");
    }
    text
}

/// Folds `value` (from `position`, for arg-reductions) into the running result. `first` says whether it is the first.
fn fold(reduce: &Reduce, o: usize, value: &str, position: &str, first: &str) -> String {
    let r = reduce.outputs[o];
    let is_bool = reduce.expr.dtypes[r.node] == DType::Bool;
    let result = format!("result{o}");
    match r.op {
        ReduceOp::Sum | ReduceOp::Max if is_bool => format!("{result} = {result} | {value};\n"),
        ReduceOp::Prod | ReduceOp::Min if is_bool => format!("{result} = {result} & {value};\n"),
        ReduceOp::Sum => format!("{result} += {value};\n"),
        ReduceOp::Prod => format!("{result} *= {value};\n"),
        ReduceOp::Max => format!("{result} = max({result}, {value});\n"),
        ReduceOp::Min => format!("{result} = min({result}, {value});\n"),
        ReduceOp::ArgMax | ReduceOp::ArgMin => {
            let better = match (r.op, is_bool) {
                (ReduceOp::ArgMax, false) => format!("{value} > {result}"),
                (ReduceOp::ArgMax, true) => format!("{value} & !{result}"),
                (_, false) => format!("{value} < {result}"),
                (_, true) => format!("!{value} & {result}"),
            };
            // Partial results come from interleaved elements, so that of equal values any may stand first.
            let tie = format!("(({value} == {result}) & ({position} < at{o}))");
            format!(
                "let better{o} = ({first}) | ({better}) | {tie};
{result} = select({result}, {value}, better{o});
at{o} = select(at{o}, {position}, better{o});
"
            )
        }
    }
}

/// Stores the running results: the last pass to the outputs, others to scratch memory at `base`.
fn results(shader: &mut Shader, reduce: &Reduce, splits: usize, kept: usize, base: usize, split: &str) -> String {
    let mut text = String::new();
    if splits == 1 {
        for (o, r) in reduce.outputs.iter().enumerate() {
            let value = if is_arg(r.op) { format!("at{o}") } else { format!("result{o}") };
            text += &format!("out{o}[kept] = {};\n", store(&value, reduce.output_dtype(o)));
        }
        return text;
    }
    let kept_word = shader.param(kept as i64);
    let mut place = base;
    for (o, r) in reduce.outputs.iter().enumerate() {
        let mut put = |value: String| {
            let word = shader.param(place as i64);
            text += &format!("scratch[{word} + {split} * {kept_word} + kept] = {value};\n");
            place += splits * kept;
        };
        put(to_word(&format!("result{o}"), reduce.expr.dtypes[r.node]));
        if is_arg(r.op) {
            put(format!("at{o}"));
        }
    }
    text
}

fn to_word(value: &str, dtype: DType) -> String {
    match dtype {
        DType::Bool => format!("select(0u, 1u, {value})"),
        DType::U32 => value.to_string(),
        _ => format!("bitcast<u32>({value})"),
    }
}

fn from_word(word: &str, dtype: DType) -> String {
    match dtype {
        DType::Bool => format!("{word} != 0u"),
        DType::U32 => word.to_string(),
        _ => format!("bitcast<{}>({word})", held(dtype)),
    }
}
