//! The contraction on the CPU. Plain matrices go to the `gemm` crate. Everything else (convolution and its gradients) is
//! cut into blocks of C; for each, the operands' rows are packed, small enough to stay in cache, and multiplied by register
//! tiles. A convolution's patches never exist as a whole matrix.
//!
//! Cuts depend on the sizes alone, so results do not depend on the number of threads.

use super::CpuIo;
use super::broadcast::STRIP;
use super::interpret::{BLOCK, Interpreter, State, run_tasks};
use super::rows::dot;
use super::shifted::Shifted;
use super::target::{Others, Target};
use super::tile::{COLUMNS, INNER_PAD, ROWS};
use super::work::Work;
use crate::DType;
use crate::kernels::Contraction;
use half::f16;
use half::slice::HalfFloatSliceExt;
use std::ops::Range;
use std::sync::Arc;

/// Columns of a packed block: with `K_BLOCK` it fits the second-level cache.
const N_BLOCK: usize = 256;
/// Inner extent that an inner-product block packs at once.
pub(super) const INNER_K: usize = 1024;
/// Rows and columns of a block of a plain product.
const PLAIN: usize = 256;
/// Nodes of an epilogue that is long.
const LONG_EPILOGUE: usize = 8;
/// Parts that a long sum is split into when C has few blocks.
const SPLITS: usize = 16;

pub(crate) fn run(c: &Contraction, io: &CpuIo) {
    let (batch, m, n, k) = c.sizes();
    if batch * m * n == 0 {
        return;
    }
    let form = Form::of(c);
    let (rows, columns) = match form {
        Form::Plain(_) => (PLAIN, plain_columns(c)),
        // Few columns (small images): cut rows as well, so that threads have something to share.
        Form::Outer if n <= N_BLOCK => (m.div_ceil(4).next_multiple_of(ROWS), N_BLOCK / 2),
        Form::Outer => (m, N_BLOCK),
        Form::Inner => (64, 192),
        // Whole images; of few blocks, parts of the rows.
        Form::Broadcast(ref s, Along::N) => {
            let columns = N_BLOCK.next_multiple_of(s.image()).min(n);
            let parts = (4 / (batch * n.div_ceil(columns))).max(1);
            (m.div_ceil(parts).next_multiple_of(STRIP), columns)
        }
        // Whole planes.
        Form::Broadcast(ref s, Along::K) => (2 * STRIP, 576usize.next_multiple_of(s.taps())),
        // Whole planes.
        Form::InnerShifted(ref s) => (64, 192usize.next_multiple_of(s.taps())),
        // An image at a time; of few images, a part of the rows, so that threads have something to share.
        Form::Shifted(_) => {
            let image: usize = c.n[c.n.len() - 2..].iter().product();
            let parts = (8 / (batch * n / image)).max(1);
            (m.div_ceil(parts).next_multiple_of(ROWS), image)
        }
    };
    let epilogue = c.epilogue.as_ref().map(|e| {
        let domain = [&c.batch[..], &c.m, &c.n].concat();
        Interpreter::new(e.expr.clone(), domain, e.outputs.clone(), Interpreter::sources(io, 2, &e.inputs))
    });
    let by_image = matches!(form, Form::Shifted(_) | Form::Broadcast(_, Along::N));
    let blocks = Blocks { batch, m, n, rows: rows.min(m), columns: columns.min(n), by_image };
    let operands = [0, 1].map(|i| Operand::new(io, i, c.operands[i]));
    let work = Work { c, operands: &operands, form, k, packed_a: None };
    let packed_a = match work.form {
        Form::Outer | Form::Shifted(_) if n > blocks.columns => Some(work.pack_a::<ROWS>()),
        Form::Broadcast(_, Along::N) if n > blocks.columns => Some(work.pack_a::<STRIP>()),
        _ => None,
    };
    let work = Work { packed_a, ..work };
    // A long sum may be split where this makes up for few blocks: between elements, or between images.
    let (terms, least) = match &work.form {
        Form::Inner => (k, INNER_K),
        Form::InnerShifted(s) | Form::Broadcast(s, Along::K) => (s.bands(k), 2),
        _ => (k, usize::MAX),
    };
    let splits = (SPLITS / blocks.count()).clamp(1, terms.div_ceil(least).max(1));
    // Sums grow in place, in f32: what is stored as f16 passes through f32 memory, as one part.
    if splits == 1 && c.outputs().iter().all(|&t| t == DType::F32) {
        let target = Target::of(c, io);
        let others = &Others((1..c.outputs().len()).map(|o| io.output(o).0).collect());
        // Blocks whose columns lie apart in C are made elsewhere first, dense.
        let apart = target.run == 1 && n > 1;
        let (block_rows, block_columns) = (blocks.rows, blocks.columns);
        let area = if apart { block_rows * block_columns } else { 0 };
        let rows: Arc<[isize]> = (0..m).map(|r| (r % block_rows * block_columns) as isize).collect();
        let columns: Arc<[isize]> = (0..n).map(|j| (j % block_columns) as isize).collect();
        run_tasks(blocks.count(), |tasks| {
            let mut scratch = Scratch::new(epilogue.as_ref());
            let mut made = vec![0f32; area];
            let dense =
                Target { to: made.as_mut_ptr(), rows: rows.clone(), columns: columns.clone(), run: block_columns };
            for t in tasks {
                let block = blocks.get(t);
                let base = (c.c.offset + dot(&c.c.strides[..c.batch.len()], &unravel(block.batch, &c.batch))) as isize;
                if apart {
                    work.block(&block, 0..terms, &dense, 0, &mut scratch);
                    scratch.finish(&block, (&dense, 0), (&target, base), others, [m, n]);
                } else {
                    work.block(&block, 0..terms, &target, base, &mut scratch);
                    if scratch.epilogue.is_some() {
                        scratch.finish(&block, (&target, base), (&target, base), others, [m, n]);
                    }
                }
            }
        });
        return;
    }
    // Each part of the sum goes to a matrix of its own; the parts are then added in order.
    let mut parts = vec![0f32; splits * batch * m * n];
    let target = Target {
        to: parts.as_mut_ptr(),
        rows: (0..m).map(|r| (r * n) as isize).collect(),
        columns: (0..n as isize).collect(),
        run: n,
    };
    let share = match work.form {
        Form::Inner => k.div_ceil(splits).next_multiple_of(INNER_PAD),
        _ => terms.div_ceil(splits),
    };
    run_tasks(blocks.count() * splits, |tasks| {
        let mut scratch = Scratch::new(None);
        for t in tasks {
            let (block, split) = (blocks.get(t / splits), t % splits);
            let range = (split * share).min(terms)..((split + 1) * share).min(terms);
            let base = (split * batch + block.batch) * m * n;
            work.block(&block, range, &target, base as isize, &mut scratch);
        }
    });
    add_parts(c, io, epilogue.as_ref(), &parts, splits, &blocks);
}

/// Columns of a block of a plain product: more where a long epilogue follows, which is run row by row, and short rows cost it
/// half its speed.
fn plain_columns(c: &Contraction) -> usize {
    let (batch, m, n, _) = c.sizes();
    let long = c.epilogue.as_ref().is_some_and(|e| e.expr.nodes.len() > LONG_EPILOGUE);
    let wide = n.div_ceil(n.div_ceil(BLOCK)).next_multiple_of(64);
    let enough = batch * m.div_ceil(PLAIN) * n.div_ceil(wide.max(1)) >= 8;
    if long && enough { wide.max(PLAIN) } else { PLAIN }
}

/// The elements of an operand, as f32.
pub(super) struct Operand {
    pub from: *const f32,
    /// Holds them where they are not f32 in memory.
    _converted: Vec<f32>,
}

// SAFETY: operands are only read, and outlive the launch.
unsafe impl Sync for Operand {}

impl Operand {
    fn new(io: &CpuIo, i: usize, dtype: DType) -> Operand {
        if dtype != DType::F16 {
            return Operand { from: io.input(i).0, _converted: vec![] };
        }
        let (from, len) = io.input::<f16>(i);
        // SAFETY: the input's own elements; no output may share its memory.
        let converted = unsafe { std::slice::from_raw_parts(from, len) }.to_f32_vec();
        Operand { from: converted.as_ptr(), _converted: converted }
    }
}

/// How the operands are fed to the inner loop.
pub(super) enum Form {
    /// Both are plain matrices: strides of A along m and k, of B along k and n.
    Plain([i64; 4]),
    /// B is read along n: outer products.
    Outer,
    /// Both are read along k, the longer way: inner products.
    Inner,
    /// B is an image seen through shifts: outer products without packing patches.
    Shifted(Shifted),
    /// The same along k: inner products.
    InnerShifted(Shifted),
    /// Such an image, its elements spread over vectors that run along m.
    Broadcast(Shifted, Along),
}

/// Where the positions of an image are.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Along {
    N,
    K,
}

impl Form {
    fn of(c: &Contraction) -> Form {
        let (b, ml, kl) = (c.batch.len(), c.m.len(), c.k.len());
        if c.a.coords.is_empty() && c.b.coords.is_empty() {
            let (a, bs) = (&c.a.base.strides, &c.b.base.strides);
            let strides = (
                uniform(&c.m, &a[b..b + ml]),
                uniform(&c.k, &a[b + ml..]),
                uniform(&c.k, &bs[b..b + kl]),
                uniform(&c.n, &bs[b + kl..]),
            );
            let writes =
                uniform(&c.m, &c.c.strides[b..b + ml]).is_some() && uniform(&c.n, &c.c.strides[b + ml..]).is_some();
            if let ((Some(am), Some(ak), Some(bk), Some(bn)), true) = (strides, writes) {
                return Form::Plain([am, ak, bk, bn]);
            }
        }
        if let Some(shifted) = Shifted::along_n(c) {
            let small = shifted.is_small(COLUMNS);
            return if small { Form::Broadcast(shifted, Along::N) } else { Form::Shifted(shifted) };
        }
        if let Some(shifted) = Shifted::along_k(c).filter(|s| s.rows_are_dense(c)) {
            let small = shifted.is_small(INNER_PAD) || c.sizes().1 >= STRIP;
            return if small { Form::Broadcast(shifted, Along::K) } else { Form::InnerShifted(shifted) };
        }
        // The length of a run of B that is close together in memory, along either side.
        let run = |extents: &[usize], end: usize| match extents.last() {
            Some(&n) if c.b.affines().all(|a| a.strides[end - 1].abs() <= 4) => n,
            _ => 1,
        };
        let along_k = run(&c.k, b + kl);
        let a_along_k = c.a.base.strides.last().is_some_and(|&s| s == 1) && !c.k.is_empty();
        if a_along_k && along_k > run(&c.n, b + kl + c.n.len()) { Form::Inner } else { Form::Outer }
    }
}

/// C cut into blocks.
struct Blocks {
    batch: usize,
    m: usize,
    n: usize,
    rows: usize,
    columns: usize,
    /// Blocks of the same columns follow each other: they read the same image.
    by_image: bool,
}

pub(super) struct Block {
    pub batch: usize,
    pub rows: Range<usize>,
    pub columns: Range<usize>,
}

impl Blocks {
    fn count(&self) -> usize {
        self.batch * self.m.div_ceil(self.rows) * self.n.div_ceil(self.columns)
    }

    fn get(&self, t: usize) -> Block {
        let (rows, columns) = (self.m.div_ceil(self.rows), self.n.div_ceil(self.columns));
        let others = self.batch * rows;
        let (t, column) = if self.by_image { (t % others, t / others) } else { (t / columns, t % columns) };
        let (batch, row, column) = (t / rows, t % rows * self.rows, column * self.columns);
        Block { batch, rows: row..(row + self.rows).min(self.m), columns: column..(column + self.columns).min(self.n) }
    }
}

/// What a thread needs of its own.
pub(super) struct Scratch<'a> {
    pub a: Vec<f32>,
    pub b: Vec<f32>,
    pub row: Vec<f32>,
    /// The image whose copies `b` holds, by where it starts.
    pub copied: Option<i64>,
    epilogue: Option<(&'a Interpreter, State)>,
}

impl Scratch<'_> {
    fn new(epilogue: Option<&Interpreter>) -> Scratch<'_> {
        Scratch { a: vec![], b: vec![], row: vec![], copied: None, epilogue: epilogue.map(|it| (it, State::new(it))) }
    }

    /// Applies the epilogue, if there is one, to a finished block, and stores it.
    fn finish(
        &mut self,
        block: &Block,
        (from, from_base): (&Target, isize),
        (to, base): (&Target, isize),
        others: &Others,
        [m, n]: [usize; 2],
    ) {
        let mut values = [0f32; BLOCK];
        for i in block.rows.clone() {
            let row = (block.batch * m + i) * n;
            let (first, end) = (row + block.columns.start, row + block.columns.end);
            let mut at = first;
            while at < end {
                let len = match self.epilogue {
                    Some((it, _)) => it.blocks(at, end).next().map_or(0, |(_, len)| len),
                    None => BLOCK.min(end - at),
                };
                let j = at - row;
                from.get(from_base, i, j, &mut values[..len]);
                self.apply(at, &mut values[..len]);
                to.put(base, i, j, &values[..len], true);
                for (o, &other) in others.0.iter().enumerate() {
                    self.output(o + 1, &mut values[..len]);
                    to.put_at(other, base, i, j, &values[..len], true);
                }
                at += len;
            }
        }
    }

    /// Turns sums into results, from linear index `at` on.
    fn apply(&mut self, at: usize, values: &mut [f32]) {
        let Some((it, state)) = &mut self.epilogue else { return };
        state.give(it, values);
        state.evaluate(it, at, values.len());
        self.output(0, values);
    }

    /// Results of output `o`, once they are there.
    fn output(&mut self, o: usize, values: &mut [f32]) {
        let Some((it, state)) = &mut self.epilogue else { return };
        let words = state.output(it, o, values.len());
        values.iter_mut().zip(words).for_each(|(v, w)| *v = f32::from_bits(*w));
    }
}

/// Adds up the parts of a split sum, in order, and applies the epilogue.
fn add_parts(
    c: &Contraction,
    io: &CpuIo,
    epilogue: Option<&Interpreter>,
    parts: &[f32],
    splits: usize,
    blocks: &Blocks,
) {
    let (m, n, size) = (blocks.m, blocks.n, parts.len() / splits);
    let target = Target::of(c, io);
    let outputs = c.outputs();
    let others = Others((0..outputs.len()).map(|o| io.output(o).0).collect());
    let others = &others;
    run_tasks(blocks.batch * m, |tasks| {
        let mut scratch = Scratch::new(epilogue);
        let mut sum = vec![0f32; n];
        let mut more = vec![vec![0f32; n]; outputs.len() - 1];
        for t in tasks {
            let (batch, i) = (t / m, t % m);
            sum.copy_from_slice(&parts[t * n..(t + 1) * n]);
            for s in 1..splits {
                let part = &parts[s * size + t * n..s * size + (t + 1) * n];
                sum.iter_mut().zip(part).for_each(|(a, b)| *a += b);
            }
            for (piece, j) in sum.chunks_mut(BLOCK).zip((0..n).step_by(BLOCK)) {
                scratch.apply(t * n + j, piece);
                for (o, values) in more.iter_mut().enumerate() {
                    scratch.output(o + 1, &mut values[j..j + piece.len()]);
                }
            }
            let base = (c.c.offset + dot(&c.c.strides[..c.batch.len()], &unravel(batch, &c.batch))) as isize;
            for (o, &dtype) in outputs.iter().enumerate() {
                let (to, values) = (others.0[o], if o == 0 { &sum } else { &more[o - 1] });
                if dtype == DType::F16 {
                    // SAFETY: as in `put`.
                    let row = unsafe { to.cast::<f16>().offset(base + target.rows[i]) };
                    let places = values.iter().zip(&*target.columns);
                    places.for_each(|(&v, &at)| unsafe { *row.offset(at) = f16::from_f32(v) });
                } else {
                    target.put_at(to, base, i, 0, values, true);
                }
            }
        }
    });
}

pub(super) fn unravel(i: usize, extents: &[usize]) -> Vec<usize> {
    let mut index = vec![0; extents.len()];
    unravel_into(i, extents, &mut index);
    index
}

#[inline(always)]
pub(super) fn unravel_into(mut i: usize, extents: &[usize], index: &mut [usize]) {
    for d in (0..extents.len()).rev() {
        index[d] = i % extents[d];
        i /= extents[d];
    }
}

/// The one stride that walks all these sub-axes in row-major order, if there is one.
fn uniform(extents: &[usize], strides: &[i64]) -> Option<i64> {
    let mut own = None;
    let mut expected: Option<i64> = None;
    for (&n, &s) in extents.iter().zip(strides).rev() {
        if n == 1 {
            continue;
        }
        if expected.is_some_and(|e| e != s) {
            return None;
        }
        expected = Some(s * n as i64);
        own = own.or(Some(s));
    }
    Some(own.unwrap_or(0))
}
