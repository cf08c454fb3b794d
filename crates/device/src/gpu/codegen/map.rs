//! Fused elementwise kernels as WGSL.

use super::shader::{entry, store};
use super::{Emitter, Shader, Source, workgroup_size};
use crate::expr::reachable;
use crate::kernels::Map;
use crate::{Adapter, AdapterKind, ExprNode, Operand, Pass, expr, fold_groups};

/// The pass that computes a map; none for an empty one.
pub(crate) fn map_passes(map: &Map, adapter: &Adapter, aliases: &[Option<usize>]) -> Vec<Pass> {
    if map.is_empty() {
        return vec![];
    }
    let (mut e, mut domain) = (map.expr.clone(), map.domain.clone());
    expr::collapse(&mut domain, 0, &mut e);
    let used = reachable(&e, &map.outputs);

    let mut shader = Shader::new();
    let sources = bind_inputs(&mut shader, &e, &used, &map.inputs, aliases, |o| e.dtypes[map.outputs[o]]);
    for (o, &node) in map.outputs.iter().enumerate() {
        shader.bind(Operand::Output(o), &format!("out{o}"), e.dtypes[node], true);
    }

    let size = workgroup_size(adapter);
    let count = map.len();
    let each = elements_each(count, size, adapter);
    let (count_word, each_word) = (shader.param(count as i64), shader.param(each as i64));

    let mut coords_text = String::new();
    let coords = if needs_coords(&e, &used, &domain) {
        shader.unravel(&mut coords_text, "i", &domain)
    } else {
        vec![String::new(); domain.len()]
    };
    let mut emitter = Emitter::new(&mut shader, &e, &domain, &sources);
    emitter.linear = Some("i");
    emitter.coords = coords;
    let values = emitter.emit(&map.outputs);
    let text = emitter.text;
    let mut stores = String::new();
    for (o, (value, &node)) in values.iter().zip(&map.outputs).enumerate() {
        stores += &format!("out{o}[i] = {};\n", store(value, e.dtypes[node]));
    }
    let body = format!(
        "let first = group_at * ({each_word} * {size}u) + lane;
for (var turn = 0u; turn < {each_word}; turn += 1u) {{
let i = first + turn * {size}u;
if (i < {count_word}) {{
{coords_text}{text}{stores}}}
}}
"
    );
    let body = entry(size, "", &body);
    vec![shader.finish(format!("{} {}", "map", map.outputs.len()), &body, fold_groups(count.div_ceil(size * each)))]
}

/// Binds the inputs that the expression reads and that share no output's storage.
pub(super) fn bind_inputs(
    shader: &mut Shader,
    e: &crate::Expr,
    used: &[bool],
    inputs: &[crate::DType],
    aliases: &[Option<usize>],
    output_dtype: impl Fn(usize) -> crate::DType,
) -> Vec<Source> {
    let mut sources = vec![];
    for (i, &dtype) in inputs.iter().enumerate() {
        let reads = |n: &ExprNode| match n {
            ExprNode::Load { input, .. } | ExprNode::LoadAt { input, .. } => *input == i,
            _ => false,
        };
        let read = e.nodes.iter().zip(used).any(|(n, &used)| used && reads(n));
        let source = match aliases.iter().position(|a| *a == Some(i)) {
            Some(o) => Source { name: format!("out{o}"), stored: output_dtype(o), dtype },
            None => {
                let name = format!("in{i}");
                if read {
                    shader.bind(Operand::Input(i), &name, dtype, false);
                }
                Source { name, stored: dtype, dtype }
            }
        };
        sources.push(source);
    }
    sources
}

/// Whether anything but linear and scalar loads is used.
fn needs_coords(e: &crate::Expr, used: &[bool], domain: &[usize]) -> bool {
    e.nodes.iter().zip(used).any(|(node, &used)| {
        used && match node {
            ExprNode::Load { access, .. } => !access.is_linear(domain) && !access.is_scalar(domain),
            ExprNode::Index(affine) => !affine.is_constant(domain),
            ExprNode::Mask(_) => true,
            _ => false,
        }
    })
}

/// How many elements each invocation takes, one workgroup apart: more where a workgroup is costly to start.
fn elements_each(count: usize, size: usize, adapter: &Adapter) -> usize {
    match adapter.kind {
        // To start a group costs as much as some 500 elements; 64 groups are enough to share out.
        AdapterKind::Software => (count / (size * 64)).max(8),
        _ => (count / (size * 4096)).clamp(1, 8),
    }
}
