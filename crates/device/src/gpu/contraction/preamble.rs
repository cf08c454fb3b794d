//! The generated part of a contraction's shaders: readers, writer, and who does what.

use super::plan::{Plan, Tile};
use crate::gpu::codegen::{Emitter, Shader, Source, load, store, workgroup_size};
use crate::kernels::Contraction;
use crate::{Access, Adapter, Affine, Coord, DType, Operand, Pass, fold_groups};
use std::ops::Range;

const BATCH: usize = 0;
const ROW: usize = 1;
const COL: usize = 2;
const INNER: usize = 3;
/// Type names of the groups' coordinates, and the functions that yield them.
const TYPES: [&str; 4] = ["Batch", "Row", "Col", "Inner"];
const FUNCTIONS: [&str; 4] = ["batch_at", "row_at", "col_at", "inner_at"];
/// What a function calls its parameter of each type.
const NAMES: [&str; 4] = ["b", "m", "n", "k"];

const TILE_STRUCT: &str =
    "struct Tile { inside: bool, batch: u32, row: u32, col: u32, split: u32, begin: u32, end: u32 }\n";

/// The function `folded` of matrix-vector products: by the subgroup, which is the workgroup, or by a tree.
const SUBGROUP_FOLD: &str = "fn folded(sum: f32, lane: u32) -> f32 { return subgroupAdd(sum); }\n";
const WORKGROUP_FOLD: &str = "var<workgroup> partial_sums: array<f32, SIZE>;
fn folded(sum: f32, lane: u32) -> f32 {
    partial_sums[lane] = sum;
    workgroupBarrier();
    for (var width = SIZE / 2u; width > 0u; width >>= 1u) {
        if (lane < width) {
            partial_sums[lane] += partial_sums[lane + width];
        }
        workgroupBarrier();
    }
    return partial_sums[0];
}
";

/// The pass that multiplies.
pub(super) fn tiled_pass(c: &Contraction, plan: &Plan) -> Pass {
    let mut shader = Shader::new();
    let (a, b) = if plan.swapped { (1, 0) } else { (0, 1) };
    let dtypes = [c.operands[a], c.operands[b]];
    let fours = [plan.fours(&plan.a, ROW), plan.fours(&plan.b, COL)];
    for (i, (operand, name)) in [(a, "a"), (b, "b")].into_iter().enumerate() {
        match fours[i] {
            true => shader.bind_fours(Operand::Input(operand), name, dtypes[i]),
            false => shader.bind(Operand::Input(operand), name, dtypes[i], false),
        }
    }
    let mut text = String::from(TILE_STRUCT);
    match plan.tile {
        Tile::Direct { size } => text += &format!("const SIZE: u32 = {size}u;\n"),
        Tile::Row { size, subgroup } => {
            text += &format!("const SIZE: u32 = {size}u;\n{}", if subgroup { SUBGROUP_FOLD } else { WORKGROUP_FOLD });
        }
        Tile::Lanes { rows, wide } => {
            text += &format!("const ROWS: u32 = {rows}u;\nconst WIDE: bool = {wide};\n");
            shader.constant(&mut text, "tile_rows", rows);
        }
        Tile::Software { rows } => text += &format!("const ROWS: u32 = {rows}u;\n"),
        Tile::Matrix { size, lanes, hardware } => {
            text += &format!("const SIZE: u32 = {size}u;\nconst SUBGROUP: u32 = {lanes}u;\n");
            along(&mut text, plan, fours);
            matrices(&mut shader, &mut text, size, hardware);
        }
        Tile::Gpu { threads, blocks, depth } => {
            let sizes = [("THREADS", threads), ("GROUPS", blocks)];
            for (name, [m, n]) in sizes {
                text += &format!("const {name}_M: u32 = {m}u;\nconst {name}_N: u32 = {n}u;\n");
            }
            text += &format!("const DEPTH: u32 = {depth}u;\n");
            along(&mut text, plan, fours);
        }
    }
    let tiles = tiles(&mut shader, &mut text, plan);
    for group in [BATCH, ROW, COL, INNER] {
        coordinates(&mut shader, &mut text, plan, group);
    }
    if matches!(plan.tile, Tile::Direct { .. } | Tile::Software { .. }) {
        next_inner(&mut shader, &mut text, plan);
    }
    reader(&mut shader, &mut text, plan, "a", &plan.a, dtypes[0], ROW, fours[0]);
    reader(&mut shader, &mut text, plan, "b", &plan.b, dtypes[1], COL, fours[1]);
    if matches!(plan.tile, Tile::Lanes { .. }) {
        handed_round(&mut text, &plan.b);
    }
    if plan.splits == 1 {
        writer(&mut shader, &mut text, c, plan);
    } else {
        partial_writer(&mut shader, &mut text, plan);
    }
    let (file, groups) = match plan.tile {
        Tile::Direct { size } => (wgrad_shaders::CONTRACTION_DIRECT, tiles.div_ceil(size)),
        Tile::Row { .. } => (wgrad_shaders::CONTRACTION_ROW, tiles),
        Tile::Lanes { .. } => (wgrad_shaders::CONTRACTION_LANES, tiles),
        Tile::Software { .. } => (wgrad_shaders::CONTRACTION_SOFTWARE, tiles),
        Tile::Matrix { .. } => (wgrad_shaders::CONTRACTION_MATRIX, tiles),
        Tile::Gpu { .. } => (wgrad_shaders::CONTRACTION, tiles),
    };
    if matches!(plan.tile, Tile::Matrix { .. } | Tile::Gpu { .. }) {
        text += wgrad_shaders::CONTRACTION_LOAD;
    }
    text += file;
    shader.finish(c.label.to_string(), &text, fold_groups(groups))
}

/// Which way operands are read, and whether four elements at once.
fn along(text: &mut String, plan: &Plan, fours: [bool; 2]) {
    for (name, access, group, fours) in [("A", &plan.a, ROW, fours[0]), ("B", &plan.b, COL, fours[1])] {
        *text += &format!("const {name}_ALONG_K: bool = {};\n", plan.along_k(access, group));
        *text += &format!("const {name}_FOURS: bool = {fours};\n");
    }
}

/// Types and functions of cooperative matrices, by the hardware or by loops. `coopLoadT` and `coopStoreT` are row-major.
fn matrices(shader: &mut Shader, text: &mut String, size: usize, hardware: bool) {
    if !hardware {
        *text += wgrad_shaders::CONTRACTION_MATRIX_EMULATED;
        return;
    }
    shader.enabled.push("wgpu_cooperative_matrix");
    let types = [("Left", "f16", "A"), ("Right", "f16", "B"), ("Sums", "f32", "C")];
    for (name, scalar, role) in types {
        *text += &format!("alias {name} = coop_mat{size}x{size}<{scalar}, {role}>;\n");
    }
    let loads = [
        ("left", "Left", "tile_a", "STRIDE_A"),
        ("right", "Right", "tile_b", "STRIDE_B"),
        ("sums", "Sums", "results", "SIZE"),
    ];
    for (name, matrix, from, stride) in loads {
        *text +=
            &format!("fn load_{name}(at: u32) -> {matrix} {{ return coopLoadT<{matrix}>(&{from}[at], {stride}); }}\n");
    }
    *text += "fn store_sums(sums: Sums, at: u32) { coopStoreT(sums, &results[at], SIZE); }\n";
    *text +=
        "fn product(left: Left, right: Right, sums: Sums) -> Sums { return coopMultiplyAdd(left, right, sums); }\n";
}

/// The pass that adds up partial sums.
pub(super) fn sum_pass(c: &Contraction, plan: &Plan, adapter: &Adapter) -> Pass {
    let mut shader = Shader::new();
    shader.bind(Operand::Scratch, "partials", DType::F32, false);
    let size = workgroup_size(adapter);
    let mut text = format!("const SIZE: u32 = {size}u;\n{TILE_STRUCT}");
    shader.constant(&mut text, "element_count", plan.elements());
    shader.constant(&mut text, "split_count", plan.splits);
    let (rows, cols) = (plan.size(ROW), plan.size(COL));
    let by_cols = shader.divisor(cols, plan.elements());
    let by_rows = shader.divisor(rows, plan.elements());
    text += &format!(
        "fn element_at(i: u32) -> Tile {{
let line = {};
let batch = {};
return Tile(true, batch, line - batch * {}, i - line * {}, 0u, 0u, 0u);
}}
",
        by_cols.quotient("i"),
        by_rows.quotient("line"),
        by_rows.extent,
        by_cols.extent
    );
    for group in [BATCH, ROW, COL] {
        coordinates(&mut shader, &mut text, plan, group);
    }
    writer(&mut shader, &mut text, c, plan);
    text += wgrad_shaders::CONTRACTION_SUM;
    shader.finish(format!("{}, sum", c.label), &text, fold_groups(plan.elements().div_ceil(size)))
}

/// Which tile a workgroup (or, of single elements, an invocation) computes: neighbours share their columns, whose part of B
/// then stays in cache. Of a GPU, which runs many at once, those in bands of 8 tiles across share rows as well.
fn tiles(shader: &mut Shader, text: &mut String, plan: &Plan) -> usize {
    let (rows, cols, inner) = (plan.size(ROW), plan.size(COL), plan.size(INNER));
    shader.constant(text, "row_count", rows);
    shader.constant(text, "col_count", cols);
    let [tile_rows, tile_cols] = plan.tile.size();
    let down = rows.div_ceil(tile_rows);
    let across = cols.div_ceil(tile_cols);
    let batches = plan.size(BATCH);
    let count = down * across * batches * plan.splits;
    let (by_down, by_across) = (shader.divisor(down, count), shader.divisor(across, count));
    let by_batch = shader.divisor(batches, count);
    let (down, across) = (&by_down.extent, &by_across.extent);
    let order = match plan.tile {
        Tile::Gpu { .. } | Tile::Matrix { .. } => format!(
            "let place = group - rest * {across} * {down};
let band = place / (8u * {down});
let width = min(8u, {across} - band * 8u);
let within = place - band * 8u * {down};
let row = within / width;
let col = band * 8u + within - row * width;"
        ),
        _ => format!("let row = group - over * {down};\nlet col = over - rest * {across};"),
    };
    *text += &format!(
        "fn tile_at(group: u32) -> Tile {{
let over = {};
let rest = {};
let split = {};
let begin = split * {part};
{order}
return Tile(
    group < {count},
    rest - split * {},
    row * {}u,
    col * {}u,
    split,
    begin,
    min(begin + {part}, {inner}),
);
}}
",
        by_down.quotient("group"),
        by_across.quotient("over"),
        by_batch.quotient("rest"),
        by_batch.extent,
        tile_rows,
        tile_cols,
        part = shader.param(plan.part as i64),
        count = shader.param(count as i64),
        inner = shader.param(inner as i64),
    );
    count
}

/// The struct of a group's sub-axis coordinates, and the function that finds them.
fn coordinates(shader: &mut Shader, text: &mut String, plan: &Plan, group: usize) {
    let extents = plan.extents(group);
    let (name, function) = (TYPES[group], FUNCTIONS[group]);
    let fields: Vec<_> = (0..extents.len()).map(|i| format!("i{i}: u32")).collect();
    *text += &format!("struct {name} {{ {} }}\n", fields.join(", "));
    let mut body = String::new();
    let coords = shader.unravel(&mut body, "i", extents);
    *text += &format!("fn {function}(i: u32) -> {name} {{\n{body}return {name}({});\n}}\n", coords.join(", "));
}

/// One step along k, by carrying: cheaper than dividing anew.
fn next_inner(shader: &mut Shader, text: &mut String, plan: &Plan) {
    let extents = plan.extents(INNER);
    *text += "fn inner_next(k: Inner) -> Inner {\nvar next = k;\n";
    let last = extents.len() - 1;
    *text += &format!("next.i{last} += 1u;\n");
    for d in (1..extents.len()).rev() {
        let extent = shader.param(extents[d] as i64);
        *text += &format!("let carry{d} = next.i{d} == {extent};\n");
        *text += &format!("next.i{d} = select(next.i{d}, 0u, carry{d});\n");
        *text += &format!("next.i{} += select(0u, 1u, carry{d});\n", d - 1);
    }
    *text += "return next;\n}\n";
}

/// The text of an affine function restricted to some groups, with or without its offset.
fn affine(shader: &mut Shader, plan: &Plan, f: &Affine, walked: &[usize], offset: bool) -> String {
    let mut terms = vec![];
    if offset {
        terms.push(shader.param(f.offset));
    }
    for &g in walked {
        let Range { start, end } = plan.groups[g];
        for d in start..end {
            if plan.common || (f.strides[d] != 0 && plan.axes[d] != 1) {
                terms.push(format!("{}.i{} * {}", NAMES[g], d - start, shader.param(f.strides[d])));
            }
        }
    }
    if terms.is_empty() { "0u".into() } else { terms.join(" + ") }
}

/// The functions that read an operand. Its position, and the numerators of its coordinates, are sums of one part that
/// is fixed for a line (a row of A, a column of B) and one that is fixed for a step along k.
fn reader(
    shader: &mut Shader,
    text: &mut String,
    plan: &Plan,
    name: &str,
    access: &Access,
    dtype: DType,
    line: usize,
    fours: bool,
) {
    let upper = name.to_uppercase();
    let mut base = access.base.clone();
    let divided = |c: &Coord| plan.common || c.div > 1;
    for c in access.coords.iter().filter(|c| !divided(c)) {
        base = base.plus(&c.affine, c.stride);
    }
    let affines: Vec<&Affine> = std::iter::once(&base).chain(access.coords.iter().map(|c| &c.affine)).collect();
    let fields: Vec<_> = (0..affines.len()).map(|i| format!("p{i}: u32")).collect();
    *text += &format!("struct {upper}Part {{ {} }}\n", fields.join(", "));
    let mut part = |walked: &[usize], offset: bool| {
        let parts: Vec<_> = affines.iter().map(|f| affine(shader, plan, f, walked, offset)).collect();
        parts.join(",\n    ")
    };
    let fixed = part(&[BATCH, line], true);
    let stepped = part(&[INNER], false);
    let (line_type, line_name) = (TYPES[line], NAMES[line]);
    *text += &format!(
        "fn {name}_line(b: Batch, {line_name}: {line_type}) -> {upper}Part {{\nreturn {upper}Part(\n    {fixed},\n);\n}}\n"
    );
    *text += &format!("fn {name}_step(k: Inner) -> {upper}Part {{\nreturn {upper}Part(\n    {stepped},\n);\n}}\n");

    if fours {
        // There are no guards, and the position is a multiple of four.
        let parameters = format!("(line: {upper}Part, step: {upper}Part)");
        *text += &format!(
            "fn {name}_four{parameters} -> vec4<f32> {{ return vec4<f32>({name}[(line.p0 + step.p0) / 4u]); }}\n\
             fn {name}_at{parameters} -> f32 {{ return {name}_four(line, step).x; }}\n"
        );
        return;
    }
    if matches!(plan.tile, Tile::Gpu { .. } | Tile::Matrix { .. }) {
        *text +=
            &format!("fn {name}_four(line: {upper}Part, step: {upper}Part) -> vec4<f32> {{ return vec4<f32>(); }}\n");
    }
    *text += &format!("fn {name}_at(line: {upper}Part, step: {upper}Part) -> f32 {{\n");
    let mut index = vec!["line.p0 + step.p0".to_string()];
    let mut guards = vec![];
    for (i, c) in access.coords.iter().enumerate() {
        let p = i + 1;
        *text += &format!("let n{p} = line.p{p} + step.p{p};\n");
        // One comparison does for both ends: what is below 0 wraps around to far above the end.
        guards.push(format!("(n{p} < {})", shader.param((c.len * c.div) as i64)));
        if divided(c) {
            let divisor = shader.divisor(c.div, c.len * c.div);
            *text += &format!("let q{p} = {};\n", divisor.quotient(&format!("n{p}")));
            guards.push(format!("(q{p} * {} == n{p})", divisor.extent));
            index.push(format!("q{p} * {}", shader.param(c.stride)));
        }
    }
    let index = index.join(" + ");
    *text += &if guards.is_empty() {
        format!("return {};\n}}\n", load(&format!("{name}[{index}]"), dtype, dtype))
    } else {
        // Element 0 is always there, so that nothing is read out of bounds, and no lane branches.
        let guards = guards.join(" & ");
        let element = load(&format!("{name}[select(0u, {index}, ok)]"), dtype, dtype);
        format!("let ok = {guards};\nreturn select(0.0, {element}, ok);\n}}\n")
    };
}

/// The functions that give one lane's part of B's position to all 8.
fn handed_round(text: &mut String, access: &Access) {
    let parts = 1 + access.coords.len();
    for lane in 0..8 {
        let fields: Vec<_> = (0..parts).map(|i| format!("subgroupBroadcast(step.p{i}, {lane}u)")).collect();
        *text += &format!("fn b_step_of_{lane}(step: BPart) -> BPart {{ return BPart({}); }}\n", fields.join(", "));
    }
}

/// The function that applies the epilogue and writes C.
fn writer(shader: &mut Shader, text: &mut String, c: &Contraction, plan: &Plan) {
    let mut sources = vec![];
    if let Some(e) = &c.epilogue {
        for (i, &dtype) in e.inputs.iter().enumerate() {
            let name = format!("e{i}");
            shader.bind(Operand::Input(2 + i), &name, dtype, false);
            sources.push(Source { name, stored: dtype, dtype });
        }
    }
    let outputs = c.outputs();
    let names: Vec<String> = (0..outputs.len()).map(|o| if o == 0 { "c".into() } else { format!("c{o}") }).collect();
    for (o, (name, &dtype)) in names.iter().zip(&outputs).enumerate() {
        shader.bind(Operand::Output(o), name, dtype, true);
    }
    *text += "fn store(tile: Tile, row: u32, col: u32, b: Batch, m: Row, n: Col, accumulator: f32) {\n";
    let values = match &plan.epilogue {
        None => vec!["accumulator".to_string()],
        Some(e) => {
            let mut emitter = Emitter::new(shader, &e.expr, &plan.axes, &sources);
            emitter.coords =
                (0..4).flat_map(|g| (0..plan.groups[g].len()).map(move |i| format!("{}.i{i}", NAMES[g]))).collect();
            let values = emitter.emit(&e.outputs);
            *text += &emitter.text;
            values
        }
    };
    let index = affine(shader, plan, &plan.c, &[BATCH, ROW, COL], true);
    *text += &format!("let at = {index};\n");
    let stores = names.iter().zip(&values).zip(&outputs);
    *text +=
        &stores.map(|((name, value), &dtype)| format!("{name}[at] = {};\n", store(value, dtype))).collect::<String>();
    *text += "}\n";
}

/// The function that writes a partial sum.
fn partial_writer(shader: &mut Shader, text: &mut String, plan: &Plan) {
    shader.bind(Operand::Scratch, "partials", DType::F32, true);
    let batches = shader.param(plan.size(BATCH) as i64);
    *text += &format!(
        "fn store(tile: Tile, row: u32, col: u32, b: Batch, m: Row, n: Col, sum: f32) {{
partials[((tile.split * {batches} + tile.batch) * row_count() + row) * col_count() + col] = sum;
}}
"
    );
}
