//! The contraction on the CPU: operands that are not plain matrices are packed panel by panel, small enough to stay in
//! the second-level cache, and each panel goes through the `gemm` crate's kernel on one thread. A convolution never
//! exists as a whole matrix.

use super::CpuIo;
use super::interpret::{BLOCK, Interpreter, State, run_tasks};
use super::walk::{Run, read_run, runs};
use crate::kernels::Contraction;
use crate::{Access, Affine, Coord};

/// Elements of a packed panel: 256 KiB.
const PANEL: usize = 1 << 16;
/// Multiply-adds that one task does at least, if there are as many.
const TASK: usize = 1 << 20;
/// Most parts that a long sum is split into.
const SPLITS: usize = 16;

pub(crate) fn run(c: &Contraction, io: &CpuIo) {
    let (batch, m, n, _) = c.sizes();
    if batch * m * n == 0 {
        return;
    }
    let plan = Plan::new(c);
    let a = PackedA::new(&plan, io);
    if plan.splits == 1 {
        run_tasks(plan.tasks(), |tasks| {
            let mut scratch = Scratch::new(c, io);
            tasks.for_each(|t| plan.task(t, &a, io, &mut scratch, io.output::<f32>(0).0, &plan.c_outer));
        });
        return;
    }
    // Each part of the sum goes to a matrix of its own; the parts are then added in order.
    let size = batch * m * n;
    let mut parts = vec![0f32; plan.splits * size];
    let start = Shared(parts.as_mut_ptr());
    let dense = Affine::row_major(&[batch, m, n]);
    run_tasks(plan.tasks() * plan.splits, |tasks| {
        let mut scratch = Scratch::new(c, io);
        for t in tasks {
            let (t, split) = (t / plan.splits, t % plan.splits);
            // SAFETY: each split has its own range.
            let to = unsafe { start.get().add(split * size) };
            plan.partial(t, split, &a, io, &mut scratch, to, &dense);
        }
    });
    add_parts(c, io, &parts, plan.splits, [batch, m, n]);
}

#[derive(Clone, Copy)]
struct Shared(*mut f32);
// SAFETY: users write disjoint ranges.
unsafe impl Sync for Shared {}
unsafe impl Send for Shared {}
impl Shared {
    fn get(self) -> *mut f32 {
        self.0
    }
}

/// How the work is cut: n and k into outer sub-axes, which are walked, and inner ones, which a matrix product takes at
/// once because C (for n) and A (for k) walk them with one stride.
struct Plan<'a> {
    c: &'a Contraction,
    /// Number of leading sub-axes of n and k that are outer.
    n_outer: usize,
    k_outer: usize,
    /// Extents of the inner parts.
    n: usize,
    k: usize,
    /// Rows and inner columns of a task.
    rows: usize,
    columns: usize,
    splits: usize,
    c_outer: Affine,
}

impl<'a> Plan<'a> {
    fn new(c: &'a Contraction) -> Plan<'a> {
        let (b, ml, kl) = (c.batch.len(), c.m.len(), c.k.len());
        let n_outer = outer(&c.n, &c.c.strides[b + ml..]);
        // A without guards is read in place where it has one stride along k; a packed A always has.
        let k_outer = if c.a.coords.is_empty() && uniform(&c.m, &c.a.base.strides[b..b + ml]).is_some() {
            outer(&c.k, &c.a.base.strides[b + ml..])
        } else {
            0
        };
        // Packing A is for small weights; a large A (an activation) is walked image by image instead.
        let (batch, m, n_all, k_all) = c.sizes();
        let n: usize = c.n[n_outer..].iter().product();
        let k: usize = c.k[k_outer..].iter().product();
        // A plain B needs no panel; a packed one should serve all rows.
        let plain = c.b.coords.is_empty()
            && uniform(&c.k[k_outer..], &c.b.base.strides[b + k_outer..b + kl]).is_some()
            && uniform(&c.n[n_outer..], &c.b.base.strides[b + kl + n_outer..]).is_some();
        let (rows, columns) = if plain {
            (m.min(256), n.min(256))
        } else {
            (m, (PANEL / k.max(1)).next_multiple_of(16).clamp(32, 1024).min(n.max(1)))
        };
        let tasks = batch * c.n[..n_outer].iter().product::<usize>() * m.div_ceil(rows) * n.div_ceil(columns);
        // Few outputs and a long sum (a weight gradient): split the sum, by sizes alone so that results do not depend on
        // the number of threads.
        let k_outers: usize = c.k[..k_outer].iter().product();
        let splits = if tasks < SPLITS && k_outers > 1 {
            let by_work = (m * n_all * k_all * batch / TASK).max(1);
            (SPLITS / tasks.max(1)).min(k_outers).min(by_work).max(1)
        } else {
            1
        };
        Plan { c, n_outer, k_outer, n, k, rows, columns, splits, c_outer: c.c.clone() }
    }

    fn n_outers(&self) -> usize {
        self.c.n[..self.n_outer].iter().product()
    }

    fn tasks(&self) -> usize {
        let (batch, m, ..) = self.c.sizes();
        batch * self.n_outers() * m.div_ceil(self.rows) * self.n.div_ceil(self.columns)
    }

    /// Computes one block of C and applies the epilogue.
    fn task(&self, t: usize, a: &PackedA, io: &CpuIo, scratch: &mut Scratch, to: *mut f32, c: &Affine) {
        let block = self.block(t);
        let all: usize = self.c.k[..self.k_outer].iter().product();
        self.product(&block, 0..all, a, io, scratch, self.address(&block, to, c), self.c_strides(c));
        if let Some((interpreter, state)) = &mut scratch.epilogue {
            let node = self.c.epilogue.as_ref().expect("its interpreter exists").output;
            let (to, (row_step, step)) = (self.address(&block, to, c), self.c_strides(c));
            let (_, m, n_all, _) = self.c.sizes();
            let acc = interpreter.accumulator();
            pulp::Arch::new().dispatch(|| {
                for r in 0..block.rows.len() {
                    let line = ((block.batch * m + block.rows.start + r) * n_all) + block.n_outer * self.n;
                    for at in (block.columns.clone()).step_by(BLOCK) {
                        let len = BLOCK.min(block.columns.end - at);
                        // SAFETY: inside this task's block of C.
                        let place = |i: usize| unsafe {
                            to.offset(r as isize * row_step + (at - block.columns.start + i) as isize * step)
                        };
                        if let Some(acc) = acc {
                            let words = &mut state.block_mut(interpreter, acc).0;
                            (0..len).for_each(|i| words[i] = unsafe { *place(i) }.to_bits());
                        }
                        state.evaluate(interpreter, io, line + at, len);
                        let words = &state.block(interpreter, node).0;
                        (0..len).for_each(|i| unsafe { *place(i) = f32::from_bits(words[i]) });
                    }
                }
            })
        }
    }

    /// Computes one block of one part of the sum, into a dense C.
    fn partial(
        &self,
        t: usize,
        split: usize,
        a: &PackedA,
        io: &CpuIo,
        scratch: &mut Scratch,
        to: *mut f32,
        dense: &Affine,
    ) {
        let block = self.block(t);
        let all: usize = self.c.k[..self.k_outer].iter().product();
        let share = all.div_ceil(self.splits);
        let range = (split * share).min(all)..((split + 1) * share).min(all);
        let (_, m, n_all, _) = self.c.sizes();
        let place = (block.batch * m + block.rows.start) * n_all + block.n_outer * self.n + block.columns.start;
        // SAFETY: inside the part.
        let to = unsafe { to.add(place) };
        self.product(&block, range, a, io, scratch, to, (dense.strides[1] as isize, 1));
    }

    fn block(&self, t: usize) -> Block {
        let (_, m, ..) = self.c.sizes();
        let (row_blocks, column_blocks) = (m.div_ceil(self.rows), self.n.div_ceil(self.columns));
        let (t, column) = (t / column_blocks, t % column_blocks * self.columns);
        let (t, row) = (t / row_blocks, t % row_blocks * self.rows);
        Block {
            batch: t / self.n_outers(),
            n_outer: t % self.n_outers(),
            rows: row..(row + self.rows).min(m),
            columns: column..(column + self.columns).min(self.n),
        }
    }

    /// Strides of C along m and inner n.
    fn c_strides(&self, c: &Affine) -> (isize, isize) {
        let (b, ml) = (self.c.batch.len(), self.c.m.len());
        let row = uniform(&self.c.m, &c.strides[b..b + ml]).expect("C's rows have one stride");
        let column = uniform(&self.c.n[self.n_outer..], &c.strides[b + ml + self.n_outer..]);
        (row as isize, column.expect("inner n has one stride") as isize)
    }

    fn address(&self, block: &Block, to: *mut f32, c: &Affine) -> *mut f32 {
        let (b, ml) = (self.c.batch.len(), self.c.m.len());
        let (row, column) = self.c_strides(c);
        let outer = dot(&c.strides[..b], &unravel(block.batch, &self.c.batch))
            + dot(&c.strides[b + ml..b + ml + self.n_outer], &unravel(block.n_outer, &self.c.n[..self.n_outer]));
        let at = c.offset as isize
            + outer as isize
            + block.rows.start as isize * row
            + block.columns.start as isize * column;
        // SAFETY: the writer's range is inside the output.
        unsafe { to.offset(at) }
    }

    /// C block = sum over `k_outers` of A block times B block.
    fn product(
        &self,
        block: &Block,
        k_outers: std::ops::Range<usize>,
        a: &PackedA,
        io: &CpuIo,
        scratch: &mut Scratch,
        to: *mut f32,
        (c_row, c_column): (isize, isize),
    ) {
        let (rows, columns) = (block.rows.len(), block.columns.len());
        if k_outers.is_empty() || self.k == 0 {
            for r in 0..rows as isize {
                for j in 0..columns as isize {
                    // SAFETY: inside the block.
                    unsafe { *to.offset(r * c_row + j * c_column) = 0.0 }
                }
            }
            return;
        }
        for (i, k_outer) in k_outers.enumerate() {
            let (pa, a_row, a_column) = a.place(self, block, k_outer, io);
            let (pb, b_row, b_column) = self.pack_b(block, k_outer, io, scratch);
            // SAFETY: the pointers cover rows x k, k x columns and rows x columns with these strides.
            unsafe {
                gemm::gemm(
                    rows,
                    columns,
                    self.k,
                    to,
                    c_column,
                    c_row,
                    i > 0,
                    pa,
                    a_column,
                    a_row,
                    pb,
                    b_column,
                    b_row,
                    1.0f32,
                    1.0f32,
                    false,
                    false,
                    false,
                    gemm::Parallelism::None,
                )
            }
        }
    }

    /// B's block as a matrix: in place if it is one, else packed. Returns start, stride along k, stride along n.
    fn pack_b(&self, block: &Block, k_outer: usize, io: &CpuIo, scratch: &mut Scratch) -> (*const f32, isize, isize) {
        let (c, b) = (self.c, self.c.batch.len());
        let kl = c.k.len();
        // Fix batch and outer indices; what remains is a function of the inner sub-axes of k and n.
        let fixed = [
            (0, unravel(block.batch, &c.batch)),
            (b, unravel(k_outer, &c.k[..self.k_outer])),
            (b + kl, unravel(block.n_outer, &c.n[..self.n_outer])),
        ];
        let k_axes = b + self.k_outer..b + kl;
        let n_axes = b + kl + self.n_outer..b + kl + c.n.len();
        let (k_extents, n_extents) = (&c.k[self.k_outer..], &c.n[self.n_outer..]);
        let from = io.input::<f32>(1).0;
        if c.b.coords.is_empty() {
            let strides = (
                uniform(k_extents, &c.b.base.strides[k_axes.clone()]),
                uniform(n_extents, &c.b.base.strides[n_axes.clone()]),
            );
            if let (Some(k), Some(n)) = strides {
                let at = c.b.base.offset + offset(&c.b.base, &fixed) + n * block.columns.start as i64;
                // SAFETY: the reader's range is inside the input.
                return (unsafe { from.offset(at as isize) }, k as isize, n as isize);
            }
        }
        // Pack along whichever side has the longer contiguous runs.
        let run = |extents: &[usize], axis: usize| {
            let unit = c.b.affines().all(|a| a.strides[axis].abs() <= 1);
            if unit { *extents.last().unwrap_or(&1) } else { 1 }
        };
        let along_k = !k_axes.is_empty()
            && (n_axes.is_empty() || run(k_extents, k_axes.end - 1) > run(n_extents, n_axes.end - 1));
        let columns = block.columns.len();
        scratch.panel.resize(self.k * columns, 0);
        if along_k {
            let (access, domain) = inner_access(&c.b, &fixed, &[n_axes, k_axes], &[n_extents, k_extents]);
            let start = block.columns.start * self.k;
            fill(&access, &domain, start, self.k * columns, from, &mut scratch.panel, &mut scratch.walk);
            (scratch.panel.as_ptr().cast(), 1, self.k as isize)
        } else {
            let (access, domain) = inner_access(&c.b, &fixed, &[k_axes, n_axes], &[k_extents, n_extents]);
            for k in 0..self.k {
                let start = k * self.n + block.columns.start;
                let to = &mut scratch.panel[k * columns..(k + 1) * columns];
                fill(&access, &domain, start, columns, from, to, &mut scratch.walk);
            }
            (scratch.panel.as_ptr().cast(), columns as isize, 1)
        }
    }
}

/// Part of C.
struct Block {
    batch: usize,
    n_outer: usize,
    rows: std::ops::Range<usize>,
    columns: std::ops::Range<usize>,
}

/// What a thread needs of its own.
struct Scratch {
    panel: Vec<u32>,
    walk: (Vec<usize>, Vec<Run>),
    epilogue: Option<(Interpreter, State)>,
}

impl Scratch {
    fn new(c: &Contraction, io: &CpuIo) -> Scratch {
        Scratch { panel: vec![], walk: (vec![], vec![]), epilogue: epilogue(c, io) }
    }
}

fn epilogue(c: &Contraction, io: &CpuIo) -> Option<(Interpreter, State)> {
    let e = c.epilogue.as_ref()?;
    let domain = [&c.batch[..], &c.m, &c.n].concat();
    let interpreter = Interpreter::new(&e.expr, &domain, domain.len(), &[e.output], &e.inputs).with_first_input(2);
    let state = State::new(&interpreter, io);
    Some((interpreter, state))
}

/// A as a matrix for each batch: in place, or packed once for all tasks.
struct PackedA {
    packed: Option<Vec<u32>>,
}

impl PackedA {
    fn new(plan: &Plan, io: &CpuIo) -> PackedA {
        let (c, b, ml) = (plan.c, plan.c.batch.len(), plan.c.m.len());
        let plain = c.a.coords.is_empty()
            && uniform(&c.m, &c.a.base.strides[b..b + ml]).is_some()
            && uniform(&c.k[plan.k_outer..], &c.a.base.strides[b + ml + plan.k_outer..]).is_some();
        if plain {
            return PackedA { packed: None };
        }
        debug_assert_eq!(plan.k_outer, 0);
        let (batch, m, _, k) = c.sizes();
        let mut packed = vec![0; batch * m * k];
        let domain = domain_or_one([&c.batch[..], &c.m, &c.k].concat());
        let mut access = c.a.clone();
        pad_rank(&mut access, domain.len());
        let n = packed.len();
        fill(&access, &domain, 0, n, io.input::<f32>(0).0, &mut packed, &mut (vec![], vec![]));
        PackedA { packed: Some(packed) }
    }

    /// Start, stride along m, stride along inner k.
    fn place(&self, plan: &Plan, block: &Block, k_outer: usize, io: &CpuIo) -> (*const f32, isize, isize) {
        let (c, b, ml) = (plan.c, plan.c.batch.len(), plan.c.m.len());
        let (_, m, _, k) = c.sizes();
        if let Some(packed) = &self.packed {
            let at = (block.batch * m + block.rows.start) * k;
            return (packed[at..].as_ptr().cast(), k as isize, 1);
        }
        let row = uniform(&c.m, &c.a.base.strides[b..b + ml]).expect("checked in new");
        let column = uniform(&c.k[plan.k_outer..], &c.a.base.strides[b + ml + plan.k_outer..]).expect("checked in new");
        let fixed = [(0, unravel(block.batch, &c.batch)), (b + ml, unravel(k_outer, &c.k[..plan.k_outer]))];
        let at = c.a.base.offset + offset(&c.a.base, &fixed) + row * block.rows.start as i64;
        // SAFETY: the reader's range is inside the input.
        (unsafe { io.input::<f32>(0).0.offset(at as isize) }, row as isize, column as isize)
    }
}

/// Adds up the parts of a split sum, in order, and applies the epilogue.
fn add_parts(c: &Contraction, io: &CpuIo, parts: &[f32], splits: usize, [batch, m, n]: [usize; 3]) {
    let size = batch * m * n;
    let domain = domain_or_one([&c.batch[..], &c.m, &c.n].concat());
    let mut writer = Access { base: c.c.clone(), coords: vec![] };
    pad_rank(&mut writer, domain.len());
    let to = Shared(io.output::<f32>(0).0);
    run_tasks(size.div_ceil(32 * BLOCK), |tasks| {
        let mut epilogue = epilogue(c, io);
        let (mut index, mut list) = (vec![], vec![]);
        let mut sum = [0f32; BLOCK];
        for at in tasks.flat_map(|t| (t * 32 * BLOCK..((t + 1) * 32 * BLOCK).min(size)).step_by(BLOCK)) {
            let len = BLOCK.min(size - at);
            sum[..len].copy_from_slice(&parts[at..at + len]);
            for s in 1..splits {
                let part = &parts[s * size + at..s * size + at + len];
                sum[..len].iter_mut().zip(part).for_each(|(a, b)| *a += b);
            }
            if let Some((interpreter, state)) = &mut epilogue {
                if let Some(acc) = interpreter.accumulator() {
                    let words = &mut state.block_mut(interpreter, acc).0;
                    (0..len).for_each(|i| words[i] = sum[i].to_bits());
                }
                state.evaluate(interpreter, io, at, len);
                let node = c.epilogue.as_ref().expect("its interpreter exists").output;
                let words = &state.block(interpreter, node).0;
                (0..len).for_each(|i| sum[i] = f32::from_bits(words[i]));
            }
            list.clear();
            runs(&domain, at, len, &mut index, &mut list);
            for r in &list {
                let p = writer.base.at(&index[r.index..r.index + domain.len()]) as isize;
                let step = writer.base.strides[domain.len() - 1] as isize;
                for i in 0..r.len {
                    // SAFETY: the writer's range is inside the output, and each element is written once.
                    unsafe { *to.get().offset(p + step * i as isize) = sum[r.start + i] }
                }
            }
        }
    });
}

/// Reads `len` elements from linear index `start` of `domain`.
fn fill(
    access: &Access,
    domain: &[usize],
    start: usize,
    len: usize,
    from: *const f32,
    to: &mut [u32],
    (index, list): &mut (Vec<usize>, Vec<Run>),
) {
    list.clear();
    if len == 0 {
        return;
    }
    runs(domain, start, len, index, list);
    let from: *const u32 = from.cast();
    for r in list.iter() {
        let at = &index[r.index..r.index + domain.len()];
        read_run(access, at, &mut to[r.start..r.start + r.len], |p, step, to| {
            // SAFETY: the reader's range is inside the input.
            unsafe {
                match step {
                    1 => std::ptr::copy_nonoverlapping(from.offset(p as isize), to.as_mut_ptr(), to.len()),
                    _ => {
                        for (i, x) in to.iter_mut().enumerate() {
                            *x = *from.offset((p + step * i as i64) as isize);
                        }
                    }
                }
            }
        });
    }
}

/// The access as a function of some of its axes only, in the given order, the `fixed` ones (first axis, indices) put in.
fn inner_access(
    access: &Access,
    fixed: &[(usize, Vec<usize>)],
    axes: &[std::ops::Range<usize>; 2],
    extents: &[&[usize]; 2],
) -> (Access, Vec<usize>) {
    let domain = domain_or_one([extents[0], extents[1]].concat());
    let inner = |a: &Affine| {
        let mut strides = [&a.strides[axes[0].clone()], &a.strides[axes[1].clone()]].concat();
        strides.resize(domain.len(), 0);
        Affine { strides, offset: a.offset + offset(a, fixed) }
    };
    let access = Access {
        base: inner(&access.base),
        coords: access.coords.iter().map(|c| Coord { affine: inner(&c.affine), ..c.clone() }).collect(),
    };
    (access, domain)
}

/// What fixed indices add to an affine function.
fn offset(a: &Affine, fixed: &[(usize, Vec<usize>)]) -> i64 {
    fixed.iter().map(|(first, index)| dot(&a.strides[*first..*first + index.len()], index)).sum()
}

fn domain_or_one(mut domain: Vec<usize>) -> Vec<usize> {
    if domain.is_empty() {
        domain.push(1);
    }
    domain
}

fn pad_rank(access: &mut Access, rank: usize) {
    access.affines_mut().for_each(|a| a.strides.resize(rank, 0));
}

fn dot(strides: &[i64], index: &[usize]) -> i64 {
    strides.iter().zip(index).map(|(s, &i)| s * i as i64).sum()
}

fn unravel(mut i: usize, extents: &[usize]) -> Vec<usize> {
    let mut index = vec![0; extents.len()];
    for d in (0..extents.len()).rev() {
        index[d] = i % extents[d];
        i /= extents[d];
    }
    index
}

/// The one stride that walks all these sub-axes in row-major order, if there is one.
fn uniform(extents: &[usize], strides: &[i64]) -> Option<i64> {
    let mut expected: Option<i64> = None;
    for (&n, &s) in extents.iter().zip(strides).rev() {
        if n == 1 {
            continue;
        }
        match expected {
            Some(e) if e != s => return None,
            _ => {}
        }
        expected = Some(s * n as i64);
    }
    // The stride of the last sub-axis that is not 1.
    let last = extents.iter().zip(strides).rev().find(|(n, _)| **n != 1);
    Some(last.map_or(0, |(_, &s)| s))
}

/// How many leading sub-axes must be walked outside for the rest to have one stride.
fn outer(extents: &[usize], strides: &[i64]) -> usize {
    (0..=extents.len()).find(|&o| uniform(&extents[o..], &strides[o..]).is_some()).unwrap_or(extents.len())
}
