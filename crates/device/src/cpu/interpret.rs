//! Runs expressions over blocks of the domain: each node fills one cache-sized block, then the next node runs. Loops are
//! compiled for the widest vectors the processor has (`pulp`).

use super::CpuIo;
use super::ops::{binary, cast, philox_block, select, unary};
use super::walk::{self, Run};
use crate::{Affine, DType, Expr, ExprId, ExprNode, expr::collapse};
use half::f16;
use rayon::prelude::*;

/// Elements that a node computes at once: 2 KiB, so that an expression of twenty nodes stays in the first-level cache.
pub(super) const BLOCK: usize = 512;
/// Elements that a thread takes at once.
const TASK: usize = 32 * BLOCK;

/// A block of 32-bit words: f32, u32, i32 or bool, as the node's type says.
#[derive(Clone)]
#[repr(C, align(64))]
pub(super) struct Block(pub [u32; BLOCK]);

/// An expression made ready for a domain.
pub(crate) struct Interpreter {
    pub(super) expr: Expr,
    pub(super) domain: Vec<usize>,
    /// Dimensions of the domain that are kept, when it is a reduction's.
    pub(super) kept: usize,
    inputs: Vec<DType>,
    /// For each node, the block that it fills.
    slots: Vec<usize>,
    slot_count: usize,
    /// Whether a load walks its input as the domain is walked.
    linear: Vec<bool>,
}

impl Interpreter {
    pub fn new(expr: &Expr, domain: &[usize], kept: usize, outputs: &[ExprId], inputs: &[DType]) -> Interpreter {
        let (mut expr, mut domain) = (expr.clone(), domain.to_vec());
        let kept = collapse(&mut domain, kept, &mut expr);
        if domain.is_empty() {
            domain.push(1);
            expr.affines_mut().into_iter().for_each(|a| a.strides.push(0));
        }
        Interpreter::ready(expr, domain, kept, outputs, inputs.to_vec())
    }

    /// The same expression with the reduced dimensions walked outside the kept ones.
    pub fn reduced_outside(&self, outputs: &[ExprId]) -> Interpreter {
        let (mut expr, mut domain) = (self.expr.clone(), self.domain.clone());
        domain.rotate_left(self.kept);
        expr.affines_mut().into_iter().for_each(|a| a.strides.rotate_left(self.kept));
        Interpreter::ready(expr, domain, self.kept, outputs, self.inputs.clone())
    }

    fn ready(expr: Expr, domain: Vec<usize>, kept: usize, outputs: &[ExprId], inputs: Vec<DType>) -> Interpreter {
        let linear = expr
            .nodes
            .iter()
            .map(|n| matches!(n, ExprNode::Load { access, .. } if access.is_linear(&domain)))
            .collect();
        let (slots, slot_count) = assign_slots(&expr, outputs, &domain);
        Interpreter { expr, domain, kept, inputs, slots, slot_count, linear }
    }

    /// The same, with input 0 of the expression being input `first` of the kernel.
    pub fn with_first_input(mut self, first: usize) -> Interpreter {
        for node in &mut self.expr.nodes {
            if let ExprNode::Load { input, .. } = node {
                *input += first;
            }
        }
        // Indexed by the kernel's inputs; those before `first` are not loaded.
        self.inputs.splice(0..0, std::iter::repeat_n(DType::F32, first));
        self
    }

    /// The node that stands for a contraction's sum, if the expression uses it.
    pub fn accumulator(&self) -> Option<ExprId> {
        self.expr.nodes.iter().position(|n| *n == ExprNode::Accumulator)
    }

    /// Number of elements in the domain.
    pub fn len(&self) -> usize {
        self.domain.iter().product()
    }

    /// Stores `outputs` for every index.
    pub fn map(&self, io: &CpuIo, outputs: &[ExprId]) {
        let n = self.len();
        let task = |state: &mut State, t: usize| {
            let (start, end) = (t * TASK, ((t + 1) * TASK).min(n));
            pulp::Arch::new().dispatch(|| {
                for at in (start..end).step_by(BLOCK) {
                    let len = BLOCK.min(end - at);
                    state.evaluate(self, io, at, len);
                    for (o, &node) in outputs.iter().enumerate() {
                        // SAFETY: tasks store disjoint ranges.
                        unsafe { store(io, o, at, &state.block(self, node).0[..len], self.expr.dtypes[node]) }
                    }
                }
            })
        };
        run_tasks(n.div_ceil(TASK), |tasks| {
            let mut state = State::new(self, io);
            tasks.for_each(|t| task(&mut state, t));
        });
    }

    /// The value of a load that reads one element everywhere.
    fn scalar(&self, io: &CpuIo, id: ExprId) -> Option<u32> {
        match &self.expr.nodes[id] {
            ExprNode::Const(bits) => Some(*bits),
            ExprNode::Load { input, access } if access.is_scalar(&self.domain) => {
                // SAFETY: the planner gives accesses that stay inside their buffers.
                Some(unsafe { load_one(io, *input, self.inputs[*input], access.base.offset as usize) })
            }
            _ => None,
        }
    }
}

/// Runs `tasks` tasks on the thread pool, or right here if there is only one.
pub(super) fn run_tasks(tasks: usize, body: impl Fn(std::ops::Range<usize>) + Sync) {
    match tasks {
        0 => return, // nothing may be read: inputs may be empty
        1 => return body(0..1),
        _ => {}
    }
    // Each job makes its own blocks, so jobs should not be too small; four a thread even out the load.
    let job = tasks.div_ceil(rayon::current_num_threads() * 4);
    (0..tasks.div_ceil(job)).into_par_iter().for_each(|j| body(j * job..((j + 1) * job).min(tasks)));
}

/// Gives each node a block, reusing those whose values are no longer needed. Constants keep theirs.
fn assign_slots(expr: &Expr, outputs: &[ExprId], domain: &[usize]) -> (Vec<usize>, usize) {
    let n = expr.nodes.len();
    let mut last_use = vec![0; n];
    for id in 0..n {
        for a in expr.args(id) {
            last_use[a] = id;
        }
    }
    // Filled once, before the first block: nobody else may write there.
    let fixed = |id: ExprId| match &expr.nodes[id] {
        ExprNode::Const(_) | ExprNode::Accumulator => true,
        ExprNode::Load { access, .. } => access.is_scalar(domain),
        _ => false,
    };
    for id in 0..n {
        if fixed(id) || outputs.contains(&id) {
            last_use[id] = usize::MAX;
        }
    }
    let (mut slots, mut free, mut count) = (vec![0; n], vec![], 0);
    for id in 0..n {
        let reused = if fixed(id) { None } else { free.pop() };
        slots[id] = reused.unwrap_or_else(|| {
            count += 1;
            count - 1
        });
        // Freed only now: a node's own block must differ from its arguments'.
        let mut done = expr.args(id);
        done.sort_unstable();
        done.dedup();
        free.extend(done.into_iter().filter(|&a| last_use[a] == id).map(|a| slots[a]));
    }
    (slots, count)
}

/// The blocks of one thread.
pub(super) struct State {
    blocks: Vec<Block>,
    runs: Vec<Run>,
    index: Vec<usize>,
}

impl State {
    pub fn new(interpreter: &Interpreter, io: &CpuIo) -> State {
        let mut blocks = vec![Block([0; BLOCK]); interpreter.slot_count];
        for id in 0..interpreter.expr.nodes.len() {
            if let Some(bits) = interpreter.scalar(io, id) {
                blocks[interpreter.slots[id]].0.fill(bits);
            }
        }
        State { blocks, runs: vec![], index: vec![] }
    }

    #[inline(always)]
    pub fn block(&self, i: &Interpreter, id: ExprId) -> &Block {
        &self.blocks[i.slots[id]]
    }

    /// Fills the block of a node from outside (a contraction's sums).
    #[inline(always)]
    pub fn block_mut(&mut self, i: &Interpreter, id: ExprId) -> &mut Block {
        &mut self.blocks[i.slots[id]]
    }

    /// Computes every node at the `len` indices from linear index `start`. Elements past `len` hold leftovers.
    #[inline(always)]
    pub fn evaluate(&mut self, it: &Interpreter, io: &CpuIo, start: usize, len: usize) {
        self.runs.clear();
        for id in 0..it.expr.nodes.len() {
            let slot = it.slots[id];
            let out: *mut Block = &mut self.blocks[slot];
            // SAFETY: a node's block differs from its arguments' (see `assign_slots`).
            let out = unsafe { &mut *out };
            let arg = |a: ExprId| &self.blocks[it.slots[a]].0;
            match &it.expr.nodes[id] {
                ExprNode::Const(_) | ExprNode::Accumulator => {}
                ExprNode::Load { input, access } => {
                    let dtype = it.inputs[*input];
                    if it.linear[id] {
                        // SAFETY: linear loads stay inside their buffers, which hold the whole domain.
                        unsafe { load_run(io, *input, dtype, start as i64, 1, &mut out.0[..len]) }
                    } else if !access.is_scalar(&it.domain) {
                        self.walk(it, start, len);
                        let rank = it.domain.len();
                        for r in &self.runs {
                            let at = &self.index[r.index..r.index + rank];
                            let to = &mut out.0[r.start..r.start + r.len];
                            // SAFETY: the planner gives accesses that stay inside their buffers.
                            walk::read_run(access, at, to, |p, s, to| unsafe { load_run(io, *input, dtype, p, s, to) });
                        }
                    }
                }
                ExprNode::Index(affine) => self.positions(it, start, len, affine, out),
                ExprNode::Mask(coords) => {
                    self.walk(it, start, len);
                    for r in &self.runs {
                        let at = &self.index[r.index..r.index + it.domain.len()];
                        walk::mask_run(coords, at, &mut out.0[r.start..r.start + r.len]);
                    }
                }
                ExprNode::Unary(op, a) => unary(*op, it.expr.dtypes[*a], arg(*a), &mut out.0),
                ExprNode::Binary(op, a, b) => binary(*op, it.expr.dtypes[*a], arg(*a), arg(*b), &mut out.0),
                ExprNode::Select(c, a, b) => select(arg(*c), arg(*a), arg(*b), &mut out.0),
                ExprNode::Cast(a) => cast(it.expr.dtypes[*a], it.expr.dtypes[id], arg(*a), &mut out.0),
                ExprNode::Bitcast(a) => out.0.copy_from_slice(arg(*a)),
                ExprNode::Philox { args, lane } => {
                    philox_block(args.map(arg), *lane, &mut out.0[..len]);
                }
            }
            if it.expr.dtypes[id] == DType::F16
                && matches!(it.expr.nodes[id], ExprNode::Unary(..) | ExprNode::Binary(..))
            {
                out.0.iter_mut().for_each(|x| *x = f16::from_f32(f32::from_bits(*x)).to_f32().to_bits());
            }
        }
    }

    /// Splits the block into runs, once for all the nodes that need them.
    #[inline(always)]
    fn walk(&mut self, it: &Interpreter, start: usize, len: usize) {
        if self.runs.is_empty() {
            walk::runs(&it.domain, start, len, &mut self.index, &mut self.runs);
        }
    }

    #[inline(always)]
    fn positions(&mut self, it: &Interpreter, start: usize, len: usize, affine: &Affine, out: &mut Block) {
        self.walk(it, start, len);
        let rank = it.domain.len();
        for r in &self.runs {
            let at = affine.at(&self.index[r.index..r.index + rank]);
            let step = affine.strides[rank - 1];
            for (i, x) in out.0[r.start..r.start + r.len].iter_mut().enumerate() {
                *x = (at + step * i as i64) as u32;
            }
        }
    }
}

/// Reads `to.len()` elements from element `p` on, `step` apart, as words.
///
/// # Safety
/// All of them must lie inside input `input`.
#[inline(always)]
unsafe fn load_run(io: &CpuIo, input: usize, dtype: DType, p: i64, step: i64, to: &mut [u32]) {
    if dtype == DType::F16 {
        let from = io.input::<f16>(input).0;
        for (i, x) in to.iter_mut().enumerate() {
            // SAFETY: as promised by the caller.
            *x = unsafe { *from.offset((p + step * i as i64) as isize) }.to_f32().to_bits();
        }
        return;
    }
    let (from, n) = io.input::<u32>(input);
    debug_assert!(to.is_empty() || (p >= 0 && (p as usize) < n && p + step * (to.len() as i64 - 1) < n as i64));
    // SAFETY: as promised by the caller.
    unsafe {
        match step {
            1 => std::ptr::copy_nonoverlapping(from.offset(p as isize), to.as_mut_ptr(), to.len()),
            0 => to.fill(*from.offset(p as isize)),
            _ => {
                for (i, x) in to.iter_mut().enumerate() {
                    *x = *from.offset((p + step * i as i64) as isize);
                }
            }
        }
    }
}

unsafe fn load_one(io: &CpuIo, input: usize, dtype: DType, p: usize) -> u32 {
    let mut word = [0];
    // SAFETY: as promised by the caller.
    unsafe { load_run(io, input, dtype, p as i64, 0, &mut word) };
    word[0]
}

/// Stores words as elements `at..` of output `o`.
///
/// # Safety
/// No other thread may touch that range.
#[inline(always)]
pub(super) unsafe fn store(io: &CpuIo, o: usize, at: usize, words: &[u32], dtype: DType) {
    if dtype == DType::F16 {
        let (to, n) = io.output::<f16>(o);
        assert!(at + words.len() <= n);
        for (i, &w) in words.iter().enumerate() {
            // SAFETY: just checked.
            unsafe { *to.add(at + i) = f16::from_f32(f32::from_bits(w)) }
        }
        return;
    }
    let (to, n) = io.output::<u32>(o);
    assert!(at + words.len() <= n);
    // SAFETY: just checked.
    unsafe { std::ptr::copy_nonoverlapping(words.as_ptr(), to.add(at), words.len()) }
}
