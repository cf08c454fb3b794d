//! Recurrences along an axis: running sums and products, discounted returns, running maxima.

use crate::gpu::codegen::{Shader, workgroup_size};
use crate::{Adapter, AdapterKind, Cost, CpuIo, DType, Kernel, Operand, Pass, cpu, fold_groups};

/// What a step does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// f32: `y[i] = y[i - 1] + b[i]`, from 0.
    Add,
    /// f32: `y[i] = a[i] * y[i - 1] + b[i]`, from 0. Inputs: b, a.
    MulAdd,
    /// Of u32 keys: the place along the axis of the greatest so far, the last of equal ones.
    Greatest,
}

/// The states of a recurrence along the middle axis of [outer, n, inner], for each outer and inner.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Recurrence {
    /// What a step does.
    pub step: Step,
    /// Extents before the axis.
    pub outer: usize,
    /// Steps.
    pub n: usize,
    /// Extents after the axis.
    pub inner: usize,
    /// Whether it runs from the end to the start.
    pub reverse: bool,
}

impl Recurrence {
    fn lines(&self) -> usize {
        self.outer * self.inner
    }

    /// Steps of a chunk. Lines are cut where there are too few to fill the adapter; about as many chunks as steps in one,
    /// so that no pass walks further than another.
    fn chunk(&self, adapter: &Adapter) -> usize {
        let fill = if adapter.kind == AdapterKind::Software { 64 } else { 8192 };
        if self.n <= 128 || self.lines() >= fill { self.n } else { (self.n.isqrt()).next_power_of_two() }
    }

    /// Bytes of a part: a factor and a term, or a place.
    fn part_bytes(&self) -> usize {
        if self.step == Step::MulAdd { 8 } else { 4 }
    }

    /// Chunks of all lines but each line's last.
    fn parts(&self, adapter: &Adapter) -> usize {
        self.lines() * (self.n.div_ceil(self.chunk(adapter).max(1)).max(1) - 1)
    }

    fn preamble(&self, adapter: &Adapter, size: usize) -> (Shader, String) {
        let (mut shader, mut text) = (Shader::new(), format!("const SIZE = {size}u;\n"));
        shader.constant(&mut text, "line_count", self.lines());
        shader.constant(&mut text, "line_length", self.n);
        shader.constant(&mut text, "chunk", self.chunk(adapter));
        shader.constant(&mut text, "inner_count", self.inner);
        shader.constant(&mut text, "is_reverse", self.reverse as usize);
        shader.constant(&mut text, "part_count", self.parts(adapter));
        text += "fn element_at(line: u32, i: u32) -> u32 {
let outer = line / inner_count();
let place = select(i, line_length() - 1u - i, is_reverse() == 1u);
return (outer * line_length() + place) * inner_count() + line - outer * inner_count();
}
";
        (shader, text)
    }

    /// Binds the elements, and defines what a step does.
    fn steps(&self, shader: &mut Shader, text: &mut String) {
        if self.step == Step::MulAdd {
            shader.bind(Operand::Input(0), "terms", DType::F32, false);
            shader.bind(Operand::Input(1), "factors", DType::F32, false);
        } else {
            let dtype = if self.step == Step::Add { DType::F32 } else { DType::U32 };
            shader.bind(Operand::Input(0), "terms", dtype, false);
        }
        *text += match self.step {
            Step::Add => "fn advance(state: State, at: u32) -> State { return state + terms[at]; }\n",
            Step::MulAdd => "fn advance(state: State, at: u32) -> State { return factors[at] * state + terms[at]; }\n",
            Step::Greatest => {
                "fn advance(state: State, at: u32) -> State {
if (state == start()) { return at; }
return select(state, at, terms[at] >= terms[state]);
}
"
            }
        };
    }

    /// States and parts.
    fn types(&self) -> &'static str {
        match self.step {
            Step::Add => {
                "alias State = f32;\nalias Part = f32;
fn start() -> State { return 0.0; }
fn no_steps() -> Part { return 0.0; }
"
            }
            Step::MulAdd => {
                "alias State = f32;\nalias Part = vec2<f32>;
fn start() -> State { return 0.0; }
fn no_steps() -> Part { return Part(1.0, 0.0); }
"
            }
            Step::Greatest => {
                "alias State = u32;\nalias Part = u32;
fn start() -> State { return 0xffffffffu; }
fn no_steps() -> Part { return start(); }
"
            }
        }
    }

    fn parts_pass(&self, adapter: &Adapter, size: usize) -> Pass {
        let (mut shader, mut text) = self.preamble(adapter, size);
        text += self.types();
        self.steps(&mut shader, &mut text);
        shader.bind_as(Operand::Scratch, "parts", "Part", true);
        text += match self.step {
            Step::MulAdd => {
                "fn extend(part: Part, at: u32) -> Part {
return Part(factors[at] * part.x, advance(part.y, at));
}
"
            }
            _ => "fn extend(part: Part, at: u32) -> Part { return advance(part, at); }\n",
        };
        text += wgrad_shaders::RECURRENCE_PARTS;
        shader.finish("recurrence, parts".into(), &text, fold_groups(self.parts(adapter).div_ceil(size)))
    }

    fn carry_pass(&self, adapter: &Adapter, size: usize) -> Pass {
        let (mut shader, mut text) = self.preamble(adapter, size);
        text += self.types();
        if self.step == Step::Greatest {
            self.steps(&mut shader, &mut text);
        }
        shader.bind_as(Operand::Scratch, "parts", "Part", true);
        text += match self.step {
            Step::Add => {
                "fn apply(i: u32, state: State) -> State { return state + parts[i]; }
fn keep(i: u32, state: State) { parts[i] = state; }
"
            }
            // A product of many factors may be infinite, and 0 times that is not 0.
            Step::MulAdd => {
                "fn apply(i: u32, state: State) -> State {
return select(parts[i].x * state, 0.0, state == 0.0) + parts[i].y;
}
fn keep(i: u32, state: State) { parts[i] = Part(0.0, state); }
"
            }
            Step::Greatest => {
                "fn apply(i: u32, state: State) -> State { return advance(state, parts[i]); }
fn keep(i: u32, state: State) { parts[i] = state; }
"
            }
        };
        text += wgrad_shaders::RECURRENCE_CARRY;
        shader.finish("recurrence, carry".into(), &text, fold_groups(self.lines().div_ceil(size)))
    }

    fn last_pass(&self, adapter: &Adapter, size: usize) -> Pass {
        let (mut shader, mut text) = self.preamble(adapter, size);
        let work = self.parts(adapter) + self.lines();
        text += self.types();
        self.steps(&mut shader, &mut text);
        shader.constant(&mut text, "work_count", work);
        if self.parts(adapter) > 0 {
            shader.bind_as(Operand::Scratch, "parts", "Part", false);
            let kept = if self.step == Step::MulAdd { ".y" } else { "" };
            text += &format!(
                "fn incoming(number: u32, line: u32) -> State {{
if (number == 0u) {{ return start(); }}
return parts[(number - 1u) * line_count() + line]{kept};
}}
"
            );
        } else {
            text += "fn incoming(number: u32, line: u32) -> State { return start(); }\n";
        }
        text += match self.step {
            // States are positions in memory.
            Step::Greatest => "fn finished(at: u32) -> u32 { return at / inner_count() % line_length(); }\n",
            _ => "fn finished(state: State) -> State { return state; }\n",
        };
        shader.bind_as(Operand::Output(0), "result", "State", true);
        text += wgrad_shaders::RECURRENCE;
        shader.finish("recurrence".into(), &text, fold_groups(work.div_ceil(size)))
    }
}

impl Kernel for Recurrence {
    fn name(&self) -> String {
        format!("recurrence {}x{}x{}", self.outer, self.n, self.inner)
    }

    fn run_cpu(&self, io: &CpuIo) {
        cpu::recurrence::run(self, io);
    }

    fn passes(&self, adapter: &Adapter, _aliases: &[Option<usize>]) -> Vec<Pass> {
        if self.lines() * self.n == 0 {
            return vec![];
        }
        let size = workgroup_size(adapter);
        let mut passes = vec![];
        if self.parts(adapter) > 0 {
            passes.push(self.parts_pass(adapter, size));
            passes.push(self.carry_pass(adapter, size));
        }
        passes.push(self.last_pass(adapter, size));
        passes
    }

    fn scratch(&self, adapter: &Adapter) -> usize {
        self.parts(adapter) * self.part_bytes()
    }

    fn cost(&self) -> Cost {
        let n = (self.lines() * self.n) as f64;
        let scaled = (self.step == Step::MulAdd) as usize as f64;
        Cost { flops: n * (1.0 + scaled), bytes: 4.0 * n * (2.0 + scaled) }
    }
}
