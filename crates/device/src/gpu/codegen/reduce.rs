//! Fused reductions as WGSL.
//!
//! The R elements behind each output element are shared out over S partial results, and, on a GPU, each of those over
//! several lanes that end by folding a tree in workgroup memory. A second round folds the S partial results. Numbers
//! follow from the sizes and the kind of adapter alone, so the order of a sum is fixed.

use super::fold::{Running, extras, fold, from_word, is_arg, share, start, take, to_word, tree};
use super::map::bind_inputs;
use super::shader::{entry, held, store};
use super::{Emitter, Shader, workgroup_size};
use crate::expr::reachable;
use crate::kernels::Reduce;
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
pub(super) const LONGEST: usize = 4096;

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
pub(super) fn lanes(n: usize) -> usize {
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

fn running(reduce: &Reduce, o: usize) -> Running {
    let r = reduce.outputs[o];
    Running { o, op: r.op, dtype: reduce.expr.dtypes[r.node] }
}

fn all(reduce: &Reduce) -> Vec<Running> {
    (0..reduce.outputs.len()).map(|o| running(reduce, o)).collect()
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
        frame.inner += &take(running(reduce, o), value, "r", "r == begin");
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
        frame.inner += &fold(running(reduce, o), &format!("value{o}"), &format!("other_at{o}"), Some("r == begin"));
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
        let starts: String = all(reduce).into_iter().map(start).collect();
        let fold = format!("for (var r = begin; r < end; r += {step}) {{\n{inner}}}\n");
        let (mut shared, work) = (
            String::new(),
            if lanes == 1 {
                format!(
                    "let job = t;\nif (job >= {count}) {{ return; }}\n{head}let begin = split;\nlet end = {end};\n{starts}{fold}{stores}"
                )
            } else {
                // All lanes stay until the last barrier.
                let tree = tree(&all(reduce), lanes);
                format!(
                    "let job = t / {lanes}u;\nlet part = t % {lanes}u;\nlet live = job < {count};\n{head}\
                 let begin = split * {lanes}u + part;\nlet end = select(0u, {end}, live);\n{starts}{fold}{tree}\
                 if (live && part == 0u) {{\n{stores}}}\n"
                )
            },
        );
        if lanes > 1 {
            shared = all(reduce).into_iter().map(|r| share(r, *size)).collect();
        }
        entry(*size, &shared, &format!("let t = group_at * {size}u + lane;\n{work}"))
    }
}

fn bind_outputs(shader: &mut Shader, reduce: &Reduce) {
    for o in 0..reduce.outputs.len() {
        shader.bind(Operand::Output(o), &format!("out{o}"), reduce.output_dtype(o), true);
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
