//! Fused reductions as WGSL.
//!
//! The R elements behind each output element are shared out over S partial results, and, on a GPU, each of those over
//! several lanes that end by folding a tree in workgroup memory. A second round folds the S partial results. Numbers
//! follow from the sizes and the kind of adapter alone, so the order of a sum is fixed.

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
    rounds: Vec<Round>,
    /// Whether neighbouring invocations take neighbouring kept elements, rather than neighbouring reduced ones.
    along_kept: bool,
}

/// One pass: `from` elements behind each output element are folded to `to`, each by `lanes` invocations.
#[derive(Clone, Copy)]
struct Round {
    from: usize,
    to: usize,
    lanes: usize,
}

/// A sum of more terms than this in one invocation loses accuracy by its order.
const LONGEST: usize = 4096;

impl Plan {
    fn new(reduce: &Reduce, adapter: &Adapter) -> Plan {
        let (mut e, mut domain) = (reduce.expr.clone(), reduce.domain());
        let (kept, reduced) = (reduce.kept(), reduce.reduced());
        let barrier = expr::collapse(&mut domain, reduce.keep.len(), &mut e);
        let along_kept = kept > 1 && prefers_kept(&e, &domain, barrier);
        let inner = domain.split_off(barrier);
        // The tree keeps each word of each lane in workgroup memory, of which there are 16 KiB.
        let lanes_fit = adapter.kind != AdapterKind::Software && words(reduce) <= 16;
        let rounds = if lanes_fit { gpu_rounds(kept, reduced, along_kept) } else { serial_rounds(kept, reduced) };
        Plan { keep: domain, reduce: inner, expr: e, kept, rounds, along_kept }
    }
}

/// Without workgroup memory: invocations that fill the adapter, elements worth an invocation, and partial results
/// folded by one.
fn serial_rounds(kept: usize, reduced: usize) -> Vec<Round> {
    let (fill, least, fold) = (2048, 64, 1024);
    let mut to = (fill / kept).min(reduced / least).max(reduced.div_ceil(LONGEST)).max(1);
    let mut rounds = vec![Round { from: reduced, to, lanes: 1 }];
    while to > 1 {
        let from = to;
        to = if from <= 2 * fold { 1 } else { from.div_ceil(fold) };
        rounds.push(Round { from, to, lanes: 1 });
    }
    rounds
}

fn gpu_rounds(kept: usize, reduced: usize, along_kept: bool) -> Vec<Round> {
    let fill = 1 << 16;
    let lanes = if along_kept { 1 } else { lanes(reduced) };
    let to = (fill / (kept * lanes)).min(reduced / (lanes * 8)).max(reduced.div_ceil(LONGEST * lanes)).max(1);
    let mut rounds = vec![Round { from: reduced, to, lanes }];
    if to > 1 {
        // Partial results of one split lie side by side: with many of them, one lane each reads best.
        rounds.push(Round { from: to, to: 1, lanes: if kept < 1024 { self::lanes(to) } else { 1 } });
    }
    rounds
}

/// Invocations that share the folding of `n` elements, some elements each.
fn lanes(n: usize) -> usize {
    match n {
        0..16 => 1,
        16..64 => 8,
        64..256 => 32,
        256..1024 => 64,
        _ => 256,
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

/// What a partial result has beside its value.
fn extras(op: ReduceOp) -> &'static [(&'static str, DType)] {
    match op {
        ReduceOp::ArgMax | ReduceOp::ArgMin => &[("at", DType::U32)],
        ReduceOp::SquaredDeviations => &[("mean", DType::F32), ("count", DType::F32)],
        _ => &[],
    }
}

/// Words of scratch memory for one partial result of all outputs.
fn words(reduce: &Reduce) -> usize {
    reduce.outputs.iter().map(|o| 1 + extras(o.op).len()).sum()
}

/// Bytes of scratch memory that [`reduce_passes`] uses.
pub(crate) fn reduce_scratch(reduce: &Reduce, adapter: &Adapter) -> usize {
    if reduce.kept() == 0 {
        return 0;
    }
    let plan = Plan::new(reduce, adapter);
    plan.rounds.iter().filter(|r| r.to > 1).map(|r| 4 * r.to * plan.kept * words(reduce)).sum()
}

/// The passes of a reduction; none where there is nothing to write.
pub(crate) fn reduce_passes(reduce: &Reduce, adapter: &Adapter) -> Vec<Pass> {
    if reduce.kept() == 0 {
        return vec![];
    }
    let plan = Plan::new(reduce, adapter);
    let mut passes = vec![first_pass(reduce, &plan, adapter)];
    let mut base = 0;
    for &round in &plan.rounds[1..] {
        passes.push(fold_pass(reduce, plan.kept, round, base, adapter));
        base += round.from * plan.kept * words(reduce);
    }
    passes
}

/// Evaluates the expression and folds its values.
fn first_pass(reduce: &Reduce, plan: &Plan, adapter: &Adapter) -> Pass {
    let e = &plan.expr;
    let round = plan.rounds[0];
    let nodes: Vec<_> = reduce.outputs.iter().map(|r| r.node).collect();
    let mut shader = Shader::new();
    let used = reachable(e, &nodes);
    let sources = bind_inputs(&mut shader, e, &used, &reduce.inputs, &[], |_| DType::F32);
    if round.to == 1 {
        bind_outputs(&mut shader, reduce);
    } else {
        shader.bind(Operand::Scratch, "scratch", DType::U32, true);
    }
    let mut frame = Frame::new(&mut shader, plan.kept, round, plan.along_kept, workgroup_size(adapter));

    let domain = [&plan.keep[..], &plan.reduce[..]].concat();
    let mut coords = shader.unravel(&mut frame.head, "kept", &plan.keep);
    let mut loop_head = String::new();
    coords.extend(shader.unravel(&mut loop_head, "r", &plan.reduce));
    let mut emitter = Emitter::new(&mut shader, e, &domain, &sources);
    emitter.coords = coords;
    emitter.outer = plan.keep.len();
    let values = emitter.emit(&nodes);
    frame.head += &emitter.before;
    frame.inner = loop_head + &emitter.text;
    for (o, value) in values.iter().enumerate() {
        frame.inner += &match reduce.outputs[o].op {
            ReduceOp::SquaredDeviations => format!(
                "count{o} += 1.0;
let step{o} = {value} - mean{o};
mean{o} += step{o} / count{o};
result{o} += step{o} * ({value} - mean{o});
"
            ),
            _ => fold(reduce, o, value, "r", Some("r == begin")),
        };
    }
    let body = frame.body(&mut shader, reduce, 0);
    shader.finish("reduce".into(), &body, frame.groups())
}

/// Folds the partial results that lie at `base` in scratch memory.
fn fold_pass(reduce: &Reduce, kept: usize, round: Round, base: usize, adapter: &Adapter) -> Pass {
    let mut shader = Shader::new();
    shader.bind(Operand::Scratch, "scratch", DType::U32, round.to > 1);
    if round.to == 1 {
        bind_outputs(&mut shader, reduce);
    }
    let mut frame = Frame::new(&mut shader, kept, round, true, workgroup_size(adapter));
    let kept_word = shader.param(kept as i64);
    let mut place = base;
    for (o, r) in reduce.outputs.iter().enumerate() {
        let dtype = reduce.expr.dtypes[r.node];
        let mut word = |shader: &mut Shader| {
            let text = format!("scratch[{} + r * {kept_word} + kept]", shader.param(place as i64));
            place += round.from * kept;
            text
        };
        let value = from_word(&word(&mut shader), dtype);
        frame.inner += &format!("let value{o}: {} = {value};\n", held(dtype));
        for &(name, dtype) in extras(r.op) {
            frame.inner += &format!("let other_{name}{o} = {};\n", from_word(&word(&mut shader), dtype));
        }
        frame.inner += &fold(reduce, o, &format!("value{o}"), &format!("other_at{o}"), Some("r == begin"));
    }
    let body = frame.body(&mut shader, reduce, place);
    shader.finish("reduce, fold".into(), &body, frame.groups())
}

/// The part that is the same for all rounds: who folds what, the tree, and where results go.
struct Frame {
    kept: usize,
    round: Round,
    size: usize,
    /// The text that reads the number of results, and that of elements behind each.
    count: String,
    end: String,
    step: String,
    /// Statements before the loop and in it.
    head: String,
    inner: String,
}

impl Frame {
    fn new(shader: &mut Shader, kept: usize, round: Round, along_kept: bool, size: usize) -> Frame {
        let results = kept * round.to;
        let (count, end) = (shader.param(results as i64), shader.param(round.from as i64));
        let mut head = String::new();
        let mut step = format!("{}u", round.lanes);
        if round.to == 1 {
            head += "let kept = job;\nlet split = 0u;\n";
        } else {
            let divisor = shader.divisor(if along_kept { kept } else { round.to }, results);
            head +=
                &format!("let major = {};\nlet minor = job - major * {};\n", divisor.quotient("job"), divisor.extent);
            let (kept, split) = if along_kept { ("minor", "major") } else { ("major", "minor") };
            head += &format!("let kept = {kept};\nlet split = {split};\n");
            step = format!("{} * {step}", shader.param(round.to as i64));
        }
        Frame { kept, round, size, count, end, step, head, inner: String::new() }
    }

    fn groups(&self) -> [u32; 3] {
        fold_groups((self.kept * self.round.to).div_ceil(self.size / self.round.lanes))
    }

    /// The whole shader after its declarations. Partial results go to `base` in scratch memory.
    fn body(&self, shader: &mut Shader, reduce: &Reduce, base: usize) -> String {
        let Frame { size, count, end, step, head, inner, .. } = self;
        let lanes = self.round.lanes;
        let stores = results(shader, reduce, self.round.to, self.kept, base);
        let starts: String = (0..reduce.outputs.len()).map(|o| start(reduce, o)).collect();
        let fold = format!("for (var r = begin; r < end; r += {step}) {{\n{inner}}}\n");
        let (mut shared, work) = (
            String::new(),
            if lanes == 1 {
                format!(
                    "let job = t;\nif (job >= {count}) {{ return; }}\n{head}let begin = split;\nlet end = {end};\n{starts}{fold}{stores}"
                )
            } else {
                // All lanes stay until the last barrier.
                let tree = tree(reduce, lanes);
                format!(
                    "let job = t / {lanes}u;\nlet part = t % {lanes}u;\nlet live = job < {count};\n{head}\
                 let begin = split * {lanes}u + part;\nlet end = select(0u, {end}, live);\n{starts}{fold}{tree}\
                 if (live && part == 0u) {{\n{stores}}}\n"
                )
            },
        );
        if lanes > 1 {
            for (o, r) in reduce.outputs.iter().enumerate() {
                shared += &format!("var<workgroup> shared{o}: array<u32, {size}>;\n");
                for (name, _) in extras(r.op) {
                    shared += &format!("var<workgroup> shared_{name}{o}: array<u32, {size}>;\n");
                }
            }
        }
        format!(
            "{shared}@compute @workgroup_size({size})
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {{
let t = (group.y * groups.x + group.x) * {size}u + lane;
{work}}}
"
        )
    }
}

/// Folds the running results of `lanes` neighbouring invocations into the first of them.
fn tree(reduce: &Reduce, lanes: usize) -> String {
    let (mut puts, mut takes) = (String::new(), String::new());
    for (o, r) in reduce.outputs.iter().enumerate() {
        let dtype = reduce.expr.dtypes[r.node];
        puts += &format!("shared{o}[lane] = {};\n", to_word(&format!("result{o}"), dtype));
        takes +=
            &format!("let value{o}: {} = {};\n", held(dtype), from_word(&format!("shared{o}[lane + width]"), dtype));
        for &(name, dtype) in extras(r.op) {
            puts += &format!("shared_{name}{o}[lane] = {};\n", to_word(&format!("{name}{o}"), dtype));
            let word = format!("shared_{name}{o}[lane + width]");
            takes += &format!("let other_{name}{o} = {};\n", from_word(&word, dtype));
        }
        takes += &fold(reduce, o, &format!("value{o}"), &format!("other_at{o}"), None);
    }
    format!(
        "{puts}workgroupBarrier();
for (var width = {}u; width > 0u; width >>= 1u) {{
if (part < width) {{
{takes}{puts}}}
workgroupBarrier();
}}
",
        lanes / 2
    )
}

fn bind_outputs(shader: &mut Shader, reduce: &Reduce) {
    for o in 0..reduce.outputs.len() {
        shader.bind(Operand::Output(o), &format!("out{o}"), reduce.output_dtype(o), true);
    }
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
        (ReduceOp::SquaredDeviations, _) | (ReduceOp::Sum, DType::F32 | DType::F16) => "0.0",
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
    for &(name, dtype) in extras(r.op) {
        text += &format!("var {name}{o} = {}(0);\n", held(dtype));
    }
    text
}

/// Folds `value` (from `position`, for arg-reductions; a partial result's, for deviations) into the running result. `first`
/// says when it is the first.
fn fold(reduce: &Reduce, o: usize, value: &str, position: &str, first: Option<&str>) -> String {
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
        ReduceOp::SquaredDeviations => format!(
            "if (other_count{o} > 0.0) {{
let all = count{o} + other_count{o};
let apart = other_mean{o} - mean{o};
let share = other_count{o} / all;
{result} += {value} + apart * apart * count{o} * share;
mean{o} += apart * share;
count{o} = all;
}}
"
        ),
        ReduceOp::ArgMax | ReduceOp::ArgMin => {
            let better = match (r.op, is_bool) {
                (ReduceOp::ArgMax, false) => format!("{value} > {result}"),
                (ReduceOp::ArgMax, true) => format!("{value} & !{result}"),
                (_, false) => format!("{value} < {result}"),
                (_, true) => format!("!{value} & {result}"),
            };
            // Partial results come from interleaved elements, so that of equal values any may stand first.
            let first = first.map(|f| format!("({f}) | ")).unwrap_or_default();
            let tie = format!("(({value} == {result}) & ({position} < at{o}))");
            format!(
                "let better{o} = {first}({better}) | {tie};
{result} = select({result}, {value}, better{o});
at{o} = select(at{o}, {position}, better{o});
"
            )
        }
    }
}

/// Stores the running results: the last pass to the outputs, others to scratch memory at `base`.
fn results(shader: &mut Shader, reduce: &Reduce, splits: usize, kept: usize, base: usize) -> String {
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
            text += &format!("scratch[{word} + split * {kept_word} + kept] = {value};\n");
            place += splits * kept;
        };
        put(to_word(&format!("result{o}"), reduce.expr.dtypes[r.node]));
        for &(name, dtype) in extras(r.op) {
            put(to_word(&format!("{name}{o}"), dtype));
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
