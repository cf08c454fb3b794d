//! A shader under construction.

use crate::{Adapter, AdapterKind, DType, Operand, Pass, PassBinding};
use std::fmt::Write;

/// Indices of fewer bits than this are divided by 32-bit products alone (see `divide_small` in `math.wgsl`).
const SMALL_BITS: u32 = 21;

/// Invocations of a workgroup of a generated kernel: a software adapter wants few, to have enough groups to share out.
pub(crate) fn workgroup_size(adapter: &Adapter) -> usize {
    if adapter.kind == AdapterKind::Software { 64 } else { 256 }
}

/// The entry point of a generated kernel, after its `declared` variables: `body` knows the workgroup's number among all (`group_at`)
/// and the invocation's in it (`lane`).
pub(super) fn entry(size: usize, declared: &str, body: &str) -> String {
    format!(
        "{declared}@compute @workgroup_size({size})
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {{
let group_at = group.y * groups.x + group.x;
{body}}}
"
    )
}

/// The parts of a pass, gathered while its text is generated.
pub(crate) struct Shader {
    params: Vec<u32>,
    bindings: Vec<PassBinding>,
    declarations: String,
    f16_bound: bool,
    /// Extensions beside f16 that the text enables.
    pub enabled: Vec<&'static str>,
    names: usize,
}

impl Shader {
    pub fn new() -> Shader {
        Shader {
            params: vec![],
            bindings: vec![],
            declarations: String::new(),
            f16_bound: false,
            enabled: vec![],
            names: 0,
        }
    }

    /// Adds a parameter word; returns the text that reads it. Negative values wrap, as all index arithmetic does.
    pub fn param(&mut self, value: i64) -> String {
        let i = self.params.len();
        self.params.push(value as u32);
        format!("params[{}].{}", i / 4, ["x", "y", "z", "w"][i % 4])
    }

    /// Writes a function `name` into `text` that gives a parameter.
    pub fn constant(&mut self, text: &mut String, name: &str, value: usize) {
        writeln!(text, "fn {name}() -> u32 {{ return {}; }}", self.param(value as i64)).expect("writing to a string");
    }

    /// A name that was not used before.
    pub fn fresh(&mut self, prefix: &str) -> String {
        self.names += 1;
        format!("{prefix}{}", self.names)
    }

    /// Declares a storage buffer of elements of `dtype`.
    pub fn bind(&mut self, operand: Operand, name: &str, dtype: DType, write: bool) {
        self.f16_bound |= dtype == DType::F16;
        self.bind_as(operand, name, stored(dtype), write);
    }

    /// Declares a storage buffer of fours of elements of `dtype`, for reading.
    pub fn bind_fours(&mut self, operand: Operand, name: &str, dtype: DType) {
        self.f16_bound |= dtype == DType::F16;
        self.bind_as(operand, name, &format!("vec4<{}>", stored(dtype)), false);
    }

    /// Declares a storage buffer of elements of a WGSL type.
    pub fn bind_as(&mut self, operand: Operand, name: &str, element: &str, write: bool) {
        self.bindings.push(PassBinding { operand, write });
        let access = if write { "read_write" } else { "read" };
        let binding = self.bindings.len();
        writeln!(self.declarations, "@group(0) @binding({binding}) var<storage, {access}> {name}: array<{element}>;")
            .expect("writing to a string");
    }

    /// A divisor for indices below `end`.
    pub fn divisor(&mut self, n: usize, end: usize) -> Divisor {
        let n = n.max(1);
        let extent = self.param(n as i64);
        let quotient = if end < 1 << SMALL_BITS {
            // What is below the end gives 0 by any larger divisor.
            let (factor, shift) = magic(n.min(1 << SMALL_BITS), SMALL_BITS);
            let [high, low, shift] = [factor >> 11, factor & 0x7ff, shift as u64 - 11].map(|w| self.param(w as i64));
            format!("divide_small(@, {high}, {low}, {shift})")
        } else if n == 1 {
            "@".to_string()
        } else {
            let (factor, shift) = magic(n, 31);
            let [factor, shift] = [factor, shift as u64 - 32].map(|w| self.param(w as i64));
            format!("divide_wide(@, {factor}, {shift})")
        };
        Divisor { extent, quotient }
    }

    /// Writes the coordinates of the linear index `linear` in `shape` into `text`; returns their names.
    pub fn unravel(&mut self, text: &mut String, linear: &str, shape: &[usize]) -> Vec<String> {
        if shape.is_empty() {
            return vec![];
        }
        let mut coords = vec![String::new(); shape.len()];
        let mut rest = linear.to_string();
        let mut end: usize = shape.iter().product();
        for d in (1..shape.len()).rev() {
            let divisor = self.divisor(shape[d], end);
            let (quotient, coord) = (self.fresh("q"), self.fresh("i"));
            writeln!(text, "let {quotient} = {};", divisor.quotient(&rest)).expect("writing to a string");
            writeln!(text, "let {coord} = {rest} - {quotient} * {};", divisor.extent).expect("writing to a string");
            coords[d] = coord;
            rest = quotient;
            end = end.div_ceil(shape[d].max(1));
        }
        coords[0] = rest;
        coords
    }

    /// The finished pass: `body` follows the declarations.
    pub fn finish(mut self, label: String, body: &str, groups: [u32; 3]) -> Pass {
        if self.params.is_empty() {
            self.params.push(0);
        }
        let mut wgsl = String::new();
        if self.f16_bound {
            wgsl.push_str("enable f16;\n");
        }
        for name in &self.enabled {
            writeln!(wgsl, "enable {name};").expect("writing to a string");
        }
        wgsl.push_str(wgrad_shaders::MATH);
        let words = self.params.len().div_ceil(4);
        writeln!(wgsl, "@group(0) @binding(0) var<uniform> params: array<vec4<u32>, {words}>;")
            .expect("writing to a string");
        wgsl.push_str(&self.declarations);
        wgsl.push_str(body);
        Pass { label, wgsl, bindings: self.bindings, params: self.params, groups }
    }
}

/// A factor and a shift that divide: `a / n == (a * factor) >> shift` for every `a` of that many bits. Granlund and Montgomery,
/// "Division by invariant integers", PLDI 1994.
fn magic(n: usize, bits: u32) -> (u64, u32) {
    let shift = bits + usize::BITS - (n - 1).leading_zeros();
    ((1u64 << shift).div_ceil(n as u64), shift)
}

/// Division by a size that is known to the host.
pub(crate) struct Divisor {
    /// The text of the divisor itself.
    pub extent: String,
    quotient: String,
}

impl Divisor {
    /// The text of `value` divided by it.
    pub fn quotient(&self, value: &str) -> String {
        self.quotient.replace('@', value)
    }
}

/// The type of an element in a buffer.
pub(crate) fn stored(dtype: DType) -> &'static str {
    match dtype {
        DType::F32 => "f32",
        DType::F16 => "f16",
        DType::U32 | DType::Bool => "u32",
        DType::I32 => "i32",
    }
}

/// The type of a value in a shader.
pub(crate) fn held(dtype: DType) -> &'static str {
    match dtype {
        DType::F32 | DType::F16 => "f32",
        DType::U32 => "u32",
        DType::I32 => "i32",
        DType::Bool => "bool",
    }
}

/// The value of a loaded element `text`, stored as `from`, read as `to`. The types differ only where an input shares an
/// output's storage.
pub(crate) fn load(text: &str, from: DType, to: DType) -> String {
    let bits = if stored(from) == stored(to) { text.to_string() } else { format!("bitcast<{}>({text})", stored(to)) };
    match to {
        DType::F16 => format!("f32({bits})"),
        DType::Bool => format!("({bits} != 0u)"),
        _ => bits,
    }
}

/// The element that holds the value `text`.
pub(crate) fn store(text: &str, dtype: DType) -> String {
    match dtype {
        DType::F16 => format!("f16({text})"),
        DType::Bool => format!("select(0u, 1u, {text})"),
        _ => text.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The functions of `math.wgsl`, with overflow an error.
    fn divide_small(a: u32, n: usize) -> u32 {
        let (factor, shift) = magic(n, SMALL_BITS);
        let (high, low) = ((factor >> 11) as u32, (factor & 0x7ff) as u32);
        (a * high + ((a * low) >> 11)) >> (shift - 11)
    }

    fn divide_wide(a: u32, n: usize) -> u32 {
        let (factor, shift) = magic(n, 31);
        ((a as u64 * u32::try_from(factor).unwrap() as u64) >> 32 >> (shift - 32)) as u32
    }

    /// Just below, at and above the multiples of a divisor, where a reciprocal is off by one; the least and the greatest.
    fn check(bits: u32, n: usize, divide: fn(u32, usize) -> u32) {
        let end = 1u64 << bits;
        let last = (end - 1) / n as u64 * n as u64;
        let multiples = [0, n as u64, 7 * n as u64, last / 2 / n as u64 * n as u64, last];
        for a in multiples.iter().flat_map(|m| [m.saturating_sub(1), *m, m + 1]).chain([end - 1]).filter(|&a| a < end) {
            assert_eq!(divide(a as u32, n) as u64, a / n as u64, "{a} / {n}");
        }
    }

    #[test]
    fn division_is_exact() {
        for n in (1..5000).chain((5000..1 << SMALL_BITS).step_by(101)).chain((1 << SMALL_BITS) - 3..=1 << SMALL_BITS) {
            check(SMALL_BITS, n, divide_small);
        }
        let powers = (1..31).flat_map(|b| [(1 << b) - 1, 1 << b, (1 << b) + 1]).filter(|&n| n > 1);
        for n in (2..5000).chain(powers).chain((5000..1 << 31).step_by(1_000_003)) {
            check(31, n, divide_wide);
        }
        // All of them, by some divisors.
        for n in [1, 3, 7, 41, 47, 641, 1449, 46_341, 2_097_151] {
            (0..1 << SMALL_BITS).for_each(|a| assert_eq!(divide_small(a, n), a / n as u32, "{a} / {n}"));
        }
    }
}
