//! Stable sorting of rows: which element comes where.

use crate::gpu::codegen::{Shader, workgroup_size};
use crate::{Adapter, Cost, CpuIo, DType, Kernel, Operand, Pass, cpu, fold_groups};

/// Elements that the first pass puts in order.
const RUN: usize = 64;
/// Outputs of an invocation of a merging pass.
const ITEMS: usize = 8;

/// `out[r][p]` is the place in row r of the key that comes p-th, ascending; equal keys keep their order. Input: u32 keys;
/// output: u32 places. By merging, in a fixed order of comparisons.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Sort {
    /// Rows.
    pub rows: usize,
    /// Elements of a row.
    pub n: usize,
}

impl Sort {
    fn count(&self) -> usize {
        self.rows * self.n
    }

    /// Lengths of the runs that are merged, pass by pass.
    fn merges(&self) -> Vec<usize> {
        std::iter::successors(Some(RUN), |run| Some(run * 2)).take_while(|&run| run < self.n).collect()
    }

    /// A buffer for keys and places, by turns: a pass reads one and writes the other, and the last one writes the places to
    /// the output. `second` names the one that is scratch memory alone.
    fn buffer(&self, text: &mut String, shader: &mut Shader, name: &str, second: bool) -> (String, String) {
        let (keys, places) = (format!("{name}_keys"), format!("{name}_places"));
        shader.constant(text, &keys, if second { self.count() } else { 0 });
        shader.constant(text, &places, if second { 2 * self.count() } else { 0 });
        (format!("scratch[{keys}() + i]"), format!("{places}() + i"))
    }

    fn runs(&self, size: usize, to_second: bool) -> Pass {
        let (mut shader, mut text) = (Shader::new(), format!("const SIZE = {size}u;\nconst RUN = {RUN}u;\n"));
        shader.bind(Operand::Input(0), "keys", DType::U32, false);
        shader.bind(Operand::Output(0), "order", DType::U32, true);
        if self.merges().is_empty() {
            text += "fn put(i: u32, key: u32, place: u32) { order[i] = place; }\n";
        } else {
            shader.bind(Operand::Scratch, "scratch", DType::U32, true);
            self.put(&mut text, &mut shader, to_second);
        }
        shader.constant(&mut text, "element_count", self.count());
        shader.constant(&mut text, "row_length", self.n);
        text += wgrad_shaders::SORT_RUNS;
        shader.finish("sort, runs".into(), &text, fold_groups(self.count().div_ceil(size)))
    }

    fn merge(&self, size: usize, run: usize, to_second: bool) -> Pass {
        let (mut shader, mut text) = (Shader::new(), format!("const SIZE = {size}u;\nconst ITEMS = {ITEMS}u;\n"));
        shader.bind(Operand::Output(0), "order", DType::U32, true);
        shader.bind(Operand::Scratch, "scratch", DType::U32, true);
        self.put(&mut text, &mut shader, to_second);
        let (key, place) = self.buffer(&mut text, &mut shader, "from", !to_second);
        text += &format!("fn key_at(i: u32) -> u32 {{ return {key}; }}\n");
        let from = if to_second { "order[i]".into() } else { format!("scratch[{place}]") };
        text += &format!("fn place_at(i: u32) -> u32 {{ return {from}; }}\n");
        let parts = self.n.div_ceil(ITEMS);
        shader.constant(&mut text, "part_count", self.rows * parts);
        shader.constant(&mut text, "parts_of_row", parts);
        shader.constant(&mut text, "row_length", self.n);
        shader.constant(&mut text, "run_length", run);
        text += wgrad_shaders::SORT_MERGE;
        shader.finish("sort, merge".into(), &text, fold_groups((self.rows * parts).div_ceil(size)))
    }

    fn put(&self, text: &mut String, shader: &mut Shader, to_second: bool) {
        let (key, place) = self.buffer(text, shader, "to", to_second);
        let to = if to_second { format!("scratch[{place}]") } else { "order[i]".into() };
        *text += &format!("fn put(i: u32, key: u32, place: u32) {{\n{key} = key;\n{to} = place;\n}}\n");
    }
}

impl Kernel for Sort {
    fn name(&self) -> String {
        format!("sort {}x{}", self.rows, self.n)
    }

    fn run_cpu(&self, io: &CpuIo) {
        cpu::index::sort(self, io);
    }

    fn passes(&self, adapter: &Adapter, _aliases: &[Option<usize>]) -> Vec<Pass> {
        if self.count() == 0 {
            return vec![];
        }
        let size = workgroup_size(adapter);
        let merges = self.merges();
        // An odd number of passes to come, and the first one writes to the second buffer.
        let mut to_second = merges.len() % 2 == 1;
        let mut passes = vec![self.runs(size, to_second)];
        for run in merges {
            to_second = !to_second;
            passes.push(self.merge(size, run, to_second));
        }
        passes
    }

    fn scratch(&self, _: &Adapter) -> usize {
        if self.merges().is_empty() { 0 } else { 12 * self.count() }
    }

    fn cost(&self) -> Cost {
        Cost { flops: 0.0, bytes: 8.0 * self.count() as f64 }
    }
}
