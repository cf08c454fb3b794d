//! Running results of folds in WGSL, and how those of neighbouring invocations become one.

use super::shader::held;
use crate::DType;
use crate::kernels::ReduceOp;

/// The running result number `o`, in variables of that number.
#[derive(Clone, Copy)]
pub(super) struct Running {
    pub o: usize,
    pub op: ReduceOp,
    /// Of the values that are folded.
    pub dtype: DType,
}

pub(super) fn is_arg(op: ReduceOp) -> bool {
    matches!(op, ReduceOp::ArgMax | ReduceOp::ArgMin)
}

/// What a partial result has beside its value.
pub(super) fn extras(op: ReduceOp) -> &'static [(&'static str, DType)] {
    match op {
        ReduceOp::ArgMax | ReduceOp::ArgMin => &[("at", DType::U32)],
        ReduceOp::SquaredDeviations => &[("mean", DType::F32), ("count", DType::F32)],
        _ => &[],
    }
}

/// Declares the running result of output `o`.
pub(super) fn start(r: Running) -> String {
    let Running { o, dtype, .. } = r;
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
pub(super) fn fold(r: Running, value: &str, position: &str, first: Option<&str>) -> String {
    let Running { o, dtype, .. } = r;
    let is_bool = dtype == DType::Bool;
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

/// Folds one element's value into the running result. `first` says when it is the first.
pub(super) fn take(r: Running, value: &str, position: &str, first: &str) -> String {
    let o = r.o;
    match r.op {
        ReduceOp::SquaredDeviations => format!(
            "count{o} += 1.0;
let step{o} = {value} - mean{o};
mean{o} += step{o} / count{o};
result{o} += step{o} * ({value} - mean{o});
"
        ),
        _ => fold(r, value, position, Some(first)),
    }
}

/// Declares the workgroup memory in which a tree of `size` invocations folds.
pub(super) fn share(r: Running, size: usize) -> String {
    let o = r.o;
    let mut text = format!("var<workgroup> shared{o}: array<u32, {size}>;\n");
    for (name, _) in extras(r.op) {
        text += &format!("var<workgroup> shared_{name}{o}: array<u32, {size}>;\n");
    }
    text
}

/// Folds the running results of `lanes` neighbouring invocations into the first of them.
pub(super) fn tree(all: &[Running], lanes: usize) -> String {
    let (mut puts, mut takes) = (String::new(), String::new());
    for &r in all {
        let Running { o, dtype, .. } = r;
        puts += &format!("shared{o}[lane] = {};\n", to_word(&format!("result{o}"), dtype));
        takes +=
            &format!("let value{o}: {} = {};\n", held(dtype), from_word(&format!("shared{o}[lane + width]"), dtype));
        for &(name, dtype) in extras(r.op) {
            puts += &format!("shared_{name}{o}[lane] = {};\n", to_word(&format!("{name}{o}"), dtype));
            let word = format!("shared_{name}{o}[lane + width]");
            takes += &format!("let other_{name}{o} = {};\n", from_word(&word, dtype));
        }
        takes += &fold(r, &format!("value{o}"), &format!("other_at{o}"), None);
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

pub(super) fn to_word(value: &str, dtype: DType) -> String {
    match dtype {
        DType::Bool => format!("select(0u, 1u, {value})"),
        DType::U32 => value.to_string(),
        _ => format!("bitcast<u32>({value})"),
    }
}

pub(super) fn from_word(word: &str, dtype: DType) -> String {
    match dtype {
        DType::Bool => format!("{word} != 0u"),
        DType::U32 => word.to_string(),
        _ => format!("bitcast<{}>({word})", held(dtype)),
    }
}
