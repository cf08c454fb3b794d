//! The generated part of attention's shaders: constants, sizes, and how the words and the bias are read.

use super::codegen::Shader;
use crate::kernels::{Attention, AttentionKernel, AttentionPart, RowPlaces, row_inputs};
use crate::{Adapter, AdapterKind, DType, Operand, Pass, fold_groups};

/// A side of the window that hides nothing, and the bound of all distances.
const FAR: i64 = 1 << 29;

pub(crate) fn passes(kernel: &AttentionKernel, adapter: &Adapter) -> Vec<Pass> {
    if kernel.is_empty() {
        return vec![];
    }
    let a = &kernel.attention;
    let software = adapter.kind == AdapterKind::Software;
    let forward = kernel.part == AttentionPart::Forward;
    let mut shader = Shader::new();
    let (rows, mut text) = (row_inputs(a), String::new());
    let count = if forward { 3 } else { 4 + rows };
    for (i, name) in ["q", "k", "v", "grad", "logs", "sums"].into_iter().take(count).enumerate() {
        shader.bind(Operand::Input(i), name, DType::F32, false);
    }
    if !forward {
        text += "fn log_at(i: u32) -> f32 { return logs[i]; }\n";
        let sums = if rows == 1 { "logs" } else { "sums" };
        text += &format!("fn sum_at(i: u32) -> f32 {{ return {sums}[i]; }}\n");
    }
    options(&mut shader, &mut text, kernel);
    if software {
        text += &format!("fn size() -> u32 {{ return {}; }}\n", shader.param(a.size as i64));
        text += &format!("fn size_v() -> u32 {{ return {}; }}\n", shader.param(a.size_v as i64));
    } else {
        // They set how many registers an invocation has.
        text += &format!("const SIZE: u32 = {}u;\nconst SIZE_V: u32 = {}u;\n", a.size, a.size_v);
    }
    sizes(&mut shader, &mut text, a);
    places(&mut shader, &mut text, kernel);
    shader.bind(Operand::Output(0), "out", DType::F32, true);
    text += wgrad_shaders::ATTENTION;
    text += if software { wgrad_shaders::ATTENTION_TILE_SOFTWARE } else { wgrad_shaders::ATTENTION_TILE };
    if !forward {
        text += wgrad_shaders::ATTENTION_WALK;
    }
    text += match (forward, software) {
        (true, false) => wgrad_shaders::ATTENTION_FORWARD,
        (true, true) => wgrad_shaders::ATTENTION_FORWARD_SOFTWARE,
        (false, false) => wgrad_shaders::ATTENTION_BACKWARD,
        (false, true) => wgrad_shaders::ATTENTION_BACKWARD_SOFTWARE,
    };
    // RowPlaces of the workgroup's own, and others at a time: as the tiles' files have them.
    let [own, other] = if software { [32, 16] } else { [64, 32] };
    let groups = match kernel.part {
        AttentionPart::Forward | AttentionPart::BackwardQuery => a.batch * a.heads * a.length_q.div_ceil(own),
        AttentionPart::BackwardKeyValue => a.batch * a.kv_heads * a.length_k.div_ceil(own),
        AttentionPart::BackwardAll => unreachable!("it runs in parts"),
        AttentionPart::BackwardBias => {
            let [batch, heads, length] = a.bias.expect("a bias gradient is of a bias");
            let rows = if length == 1 { 1 } else { a.length_q.div_ceil(other) };
            batch * heads * rows * a.length_k.div_ceil(own)
        }
    };
    let label = match kernel.part {
        AttentionPart::Forward => "attention",
        AttentionPart::BackwardQuery => "attention, query gradient",
        AttentionPart::BackwardKeyValue => "attention, key and value gradients",
        AttentionPart::BackwardBias => "attention, bias gradient",
        AttentionPart::BackwardAll => unreachable!("it runs in parts"),
    };
    vec![shader.finish(label.to_string(), &text, fold_groups(groups))]
}

/// What is baked into the text: which options there are.
fn options(shader: &mut Shader, text: &mut String, kernel: &AttentionKernel) {
    let a = &kernel.attention;
    let (words, bias) = kernel.extras();
    *text += &format!("const MASKED: bool = {};\nconst MASK_AT: u32 = {}u;\n", a.mask, a.mask_at());
    *text += &format!("const DROPPED: bool = {};\n", a.dropout.is_some());
    *text += &format!("const BIASED: bool = {};\n", bias.is_some());
    let part = match kernel.part {
        AttentionPart::Forward | AttentionPart::BackwardQuery => 0,
        AttentionPart::BackwardKeyValue => 1,
        AttentionPart::BackwardBias => 2,
        AttentionPart::BackwardAll => unreachable!("it runs in parts"),
    };
    *text += &format!("const PART: u32 = {part}u;\n");
    let [batch, heads, length] = a.bias.unwrap_or([1; 3]);
    let own = kernel.part == AttentionPart::BackwardBias;
    // Over an extent of 1 that is full there is nothing to sum.
    *text += &format!("const BIAS_BATCH: bool = {};\n", own && batch == a.batch);
    *text += &format!("const BIAS_HEADS: bool = {};\n", own && heads == a.heads);
    *text += &format!("const BIAS_ROWS: bool = {};\n", own && length != 1);
    match words {
        Some(i) => {
            shader.bind(Operand::Input(i), "words", DType::U32, false);
            *text += "fn word(i: u32) -> u32 { return words[i]; }\n";
        }
        None => *text += "fn word(i: u32) -> u32 { return 0u; }\n",
    }
    match bias {
        Some(i) => {
            shader.bind(Operand::Input(i), "bias", DType::F32, false);
            *text += "fn bias_at(i: u32) -> f32 { return bias[i]; }\n";
        }
        None => *text += "fn bias_at(i: u32) -> f32 { return 0.0; }\n",
    }
}

/// Functions that read parameters.
fn sizes(shader: &mut Shader, text: &mut String, a: &Attention) {
    let side = |s: Option<usize>| s.map_or(FAR, |s| (s as i64).min(FAR));
    let dropout = |f: fn(&crate::kernels::AttentionDropout) -> u32| a.dropout.as_ref().map_or(0, f) as i64;
    let words = [
        ("batches", "u32", a.batch as i64),
        ("heads", "u32", a.heads as i64),
        ("group", "u32", (a.heads / a.kv_heads) as i64),
        ("length_q", "u32", a.length_q as i64),
        ("length_k", "u32", a.length_k as i64),
        ("LOG_AT", "u32", a.count_o() as i64),
        ("stream", "u32", dropout(|d| d.stream)),
        ("rounds", "u32", 10),
        ("threshold", "u32", dropout(|d| d.threshold)),
        ("factor", "f32", dropout(|d| d.factor.to_bits())),
        ("scale", "f32", a.scale.to_bits() as i64),
        ("offset", "i32", a.offset.clamp(-FAR, FAR)),
        ("left", "i32", side(a.left)),
        ("right", "i32", side(a.right)),
    ];
    for (name, kind, value) in words {
        let word = shader.param(value);
        let value = if kind == "u32" { word } else { format!("bitcast<{kind}>({word})") };
        *text += &format!("fn {name}() -> {kind} {{ return {value}; }}\n");
    }
    let [batch, heads, length] = a.bias.unwrap_or([1; 3]);
    let mut stride = a.length_k;
    let mut of = |extent: usize| {
        let own = if extent == 1 { 0 } else { stride };
        stride *= extent;
        shader.param(own as i64)
    };
    let (i, h, b) = (of(length), of(heads), of(batch));
    *text += &format!("fn bias_row(at: Head, i: u32) -> u32 {{ return at.batch * {b} + at.head * {h} + i * {i}; }}\n");
}

/// Functions that say where rows lie.
fn places(shader: &mut Shader, text: &mut String, kernel: &AttentionKernel) {
    let [q, k, v, grad] = kernel.operands;
    let [out, second] = kernel.results;
    let of_keys = kernel.part == AttentionPart::BackwardKeyValue;
    let [logs, sums] = kernel.rows;
    let all: [(&str, RowPlaces, bool); 8] = [
        ("q", q, false),
        ("k", k, true),
        ("v", v, true),
        ("grad", grad, false),
        ("log", logs, false),
        ("sum", sums, false),
        ("out", out, of_keys),
        ("second", second, true),
    ];
    let backward = kernel.part != AttentionPart::Forward;
    for (name, rows, keys) in
        all.into_iter().filter(|(name, ..)| backward || !["grad", "second", "log", "sum"].contains(name))
    {
        let [start, batch, head, row] = [rows.start, rows.batch, rows.head, rows.row].map(|w| shader.param(w as i64));
        let own = if keys { "at.head / group()" } else { "at.head" };
        *text += &format!("fn {name}_step() -> u32 {{ return {row}; }}\n");
        *text +=
            &format!("fn {name}_base(at: Head) -> u32 {{ return {start} + at.batch * {batch} + {own} * {head}; }}\n");
    }
}
