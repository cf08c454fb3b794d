//! Folds over segments of rows named by an index: what scatters, segment reductions, gradients of gathers and products with
//! sparse matrices have in common.

use crate::gpu::codegen::{Shader, workgroup_size};
use crate::{Adapter, Cost, CpuIo, DType, Kernel, Operand, Pass, cpu, fold_groups};

/// Positions that are folded together before they are joined with others: no sum has more terms in a row than these, or
/// than there are chunks.
pub(crate) const CHUNK: usize = 256;

/// How a segment is folded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SegmentFold {
    /// f32: the sum. Of nothing: 0.
    Sum,
    /// u32: the first position of the greatest element. Of nothing: `u32::MAX`.
    ArgMax,
}

/// `out[s][d] = fold over p from starts[s] to starts[s + 1] of weight[p] * source[rows[p]][d]`.
///
/// Inputs: `source` [source, width]; `starts` u32 [segments + 1], ascending; `rows` u32 `[positions]`, if [`Self::indexed`],
/// else position p is row p; `weight` f32 `[positions]`, if [`Self::weighted`]. Rows that do not exist are left out, and so
/// are positions that do not.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Segments {
    /// How.
    pub fold: SegmentFold,
    /// Segments.
    pub segments: usize,
    /// Elements of a row.
    pub width: usize,
    /// Rows of the source.
    pub source: usize,
    /// Positions; as many as rows where there is no index.
    pub positions: usize,
    /// Whether there is an index.
    pub indexed: bool,
    /// Whether there are weights; for sums only.
    pub weighted: bool,
}

impl Segments {
    /// Whole chunks, if segments may be so long that these are worth a pass of their own.
    fn chunks(&self) -> usize {
        if self.positions >= 4 * CHUNK { self.positions / CHUNK } else { 0 }
    }

    /// Elements that an invocation works on side by side.
    fn lanes(&self) -> usize {
        if self.fold == SegmentFold::Sum && self.width.is_multiple_of(4) { 4 } else { 1 }
    }

    /// The bindings and functions of both passes.
    fn preamble(&self, size: usize) -> (Shader, String) {
        let value = match (self.fold, self.lanes()) {
            (SegmentFold::Sum, 4) => "vec4<f32>",
            (SegmentFold::Sum, _) => "f32",
            (SegmentFold::ArgMax, _) => "u32",
        };
        let (mut shader, mut text) = (Shader::new(), String::new());
        text += &format!("const SIZE = {size}u;\nconst CHUNK = {CHUNK}u;\nalias Value = {value};\n");
        shader.bind_as(Operand::Input(0), "source", value, false);
        shader.bind(Operand::Input(1), "starts", DType::U32, false);
        shader.constant(&mut text, "segment_count", self.segments);
        shader.constant(&mut text, "source_count", self.source);
        shader.constant(&mut text, "width", self.width / self.lanes());
        let mut row = "p";
        if self.indexed {
            shader.bind(Operand::Input(2), "rows", DType::U32, false);
            row = "rows[p]";
        }
        let element = "source[row * width() + column]";
        let weighted = if self.weighted {
            shader.bind(Operand::Input(2 + self.indexed as usize), "weight", DType::F32, false);
            format!("weight[p] * {element}")
        } else {
            element.to_string()
        };
        let kept = format!("let row = {row};\nif (row >= source_count()) {{ return folded; }}");
        text += &match self.fold {
            SegmentFold::Sum => format!(
                "fn empty() -> Value {{ return Value(); }}
fn fold(folded: Value, p: u32, column: u32) -> Value {{
{kept}
return folded + {weighted};
}}
fn join(folded: Value, more: Value, column: u32) -> Value {{ return folded + more; }}
"
            ),
            SegmentFold::ArgMax => format!(
                "fn empty() -> Value {{ return 0xffffffffu; }}
fn key(p: u32, column: u32) -> u32 {{
let row = {row};
return {element};
}}
fn fold(folded: Value, p: u32, column: u32) -> Value {{
{kept}
if (folded == empty()) {{ return p; }}
return select(folded, p, {element} > key(folded, column));
}}
fn join(folded: Value, more: Value, column: u32) -> Value {{
if (folded == empty()) {{ return more; }}
if (more == empty()) {{ return folded; }}
return select(folded, more, key(more, column) > key(folded, column));
}}
"
            ),
        };
        (shader, text)
    }
}

impl Kernel for Segments {
    fn name(&self) -> String {
        format!("segments {}x{} of {}", self.segments, self.width, self.positions)
    }

    fn run_cpu(&self, io: &CpuIo) {
        cpu::index::segments(self, io);
    }

    fn passes(&self, adapter: &Adapter, _aliases: &[Option<usize>]) -> Vec<Pass> {
        let (count, chunks) = (self.segments * self.width, self.chunks());
        if count == 0 {
            return vec![];
        }
        let size = workgroup_size(adapter);
        let mut passes = vec![];
        let groups = |columns: usize| fold_groups((columns / self.lanes()).div_ceil(size));
        if chunks > 0 {
            let (mut shader, mut text) = self.preamble(size);
            shader.bind_as(Operand::Scratch, "partials", "Value", true);
            shader.constant(&mut text, "chunk_count", chunks);
            text += wgrad_shaders::SEGMENT_PARTS;
            passes.push(shader.finish("segments, parts".into(), &text, groups(chunks * self.width)));
        }
        let (mut shader, mut text) = self.preamble(size);
        text += &format!("const CHUNKED = {};\n", chunks > 0);
        if chunks > 0 {
            shader.bind_as(Operand::Scratch, "partials", "Value", false);
            text += "fn part(chunk: u32, column: u32) -> Value { return partials[chunk * width() + column]; }\n";
        } else {
            text += "fn part(chunk: u32, column: u32) -> Value { return empty(); }\n";
        }
        shader.bind_as(Operand::Output(0), "result", "Value", true);
        shader.constant(&mut text, "position_count", self.positions);
        text += wgrad_shaders::SEGMENTS;
        passes.push(shader.finish("segments".into(), &text, groups(count)));
        passes
    }

    fn scratch(&self, _: &Adapter) -> usize {
        4 * self.chunks() * self.width
    }

    fn cost(&self) -> Cost {
        let read = self.positions * (self.width + self.indexed as usize + self.weighted as usize);
        Cost {
            flops: (self.positions * self.width * (1 + self.weighted as usize)) as f64,
            bytes: 4.0 * (read + self.segments * (self.width + 1)) as f64,
        }
    }
}
