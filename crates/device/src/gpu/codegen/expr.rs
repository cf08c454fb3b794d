//! Expressions as WGSL.

use super::shader::{held, load};
use super::{Divisor, Shader};
use crate::expr::reachable;
use crate::{Access, Affine, Binary, Coord, DType, Expr, ExprId, ExprNode, Unary};
use std::collections::HashMap;
use std::fmt::Write;

/// Where the elements of an input are found.
pub(crate) struct Source {
    /// The variable's name.
    pub name: String,
    /// What its elements are stored as.
    pub stored: DType,
    /// What the expression takes them for.
    pub dtype: DType,
}

/// Writes the statements that compute nodes of an expression.
pub(crate) struct Emitter<'a> {
    pub shader: &'a mut Shader,
    pub expr: &'a Expr,
    /// The extents of the index.
    pub domain: &'a [usize],
    /// The names of the coordinates.
    pub coords: Vec<String>,
    /// The name of the linear index of the domain, if it is at hand.
    pub linear: Option<&'a str>,
    /// How many of the coordinates are known before the loop that the expression stands in.
    pub outer: usize,
    pub sources: &'a [Source],
    /// The names of the folds' results.
    pub folded: Vec<String>,
    /// Statements to stand before the loop.
    pub before: String,
    /// Statements to stand in the loop.
    pub text: String,
    values: HashMap<ExprId, String>,
    positions: HashMap<Access, Position>,
    philox: HashMap<[ExprId; 5], String>,
}

/// An element's place: the text of its index, and the name of a bool that says whether it is there at all.
#[derive(Clone)]
struct Position {
    index: String,
    valid: Option<String>,
}

macro_rules! line {
    ($to:expr, $($arg:tt)*) => {
        writeln!($to, $($arg)*).expect("writing to a string")
    };
}

impl<'a> Emitter<'a> {
    pub fn new(shader: &'a mut Shader, expr: &'a Expr, domain: &'a [usize], sources: &'a [Source]) -> Emitter<'a> {
        Emitter {
            shader,
            expr,
            domain,
            coords: vec![],
            linear: None,
            outer: 0,
            sources,
            folded: vec![],
            before: String::new(),
            text: String::new(),
            values: HashMap::new(),
            positions: HashMap::new(),
            philox: HashMap::new(),
        }
    }

    /// Writes what `ids` need, and was not written before, and returns the names of their values.
    pub fn emit(&mut self, ids: &[ExprId]) -> Vec<String> {
        let used = reachable(self.expr, ids);
        for id in (0..self.expr.nodes.len()).filter(|&id| used[id]) {
            if self.values.contains_key(&id) {
                continue;
            }
            let value = self.node(id);
            let name = format!("v{id}");
            line!(self.text, "let {name}: {} = {value};", held(self.expr.dtypes[id]));
            self.values.insert(id, name);
        }
        ids.iter().map(|id| self.values[id].clone()).collect()
    }

    fn node(&mut self, id: ExprId) -> String {
        let expr = self.expr;
        let dtype = expr.dtypes[id];
        let value = match &expr.nodes[id] {
            ExprNode::Const(bits) => self.constant(*bits, dtype),
            ExprNode::Load { input, access } => self.load(*input, access),
            ExprNode::LoadAt { input, index, len } => {
                let end = self.shader.param(*len as i64);
                let valid = self.shader.fresh("ok");
                let index = &self.values[index];
                line!(self.text, "let {valid} = {index} < {end};");
                self.load_if(*input, index, &valid)
            }
            ExprNode::Index(affine) => self.affine(affine),
            ExprNode::Mask(coords) => {
                let guards: Vec<_> = coords.iter().map(|c| self.coord(c).1).collect();
                if guards.is_empty() { "true".into() } else { guards.join(" & ") }
            }
            ExprNode::Unary(op, a) => self.unary(*op, *a),
            ExprNode::Binary(op, a, b) => self.binary(*op, *a, *b),
            ExprNode::Select(c, a, b) => {
                format!("select({}, {}, {})", self.values[b], self.values[a], self.values[c])
            }
            ExprNode::Cast(a) => cast(&self.values[a], expr.dtypes[*a], dtype),
            ExprNode::Bitcast(a) => format!("bitcast<{}>({})", held(dtype), self.values[a]),
            ExprNode::Philox { args, lane } => {
                let words = self.philox(args);
                format!("{words}.{}", ["x", "y", "z", "w"][*lane as usize])
            }
            ExprNode::Accumulator => "accumulator".into(),
            ExprNode::Folded(f) => self.folded[*f].clone(),
        };
        if dtype == DType::F16 && needs_rounding(&expr.nodes[id]) { format!("round_to_half({value})") } else { value }
    }

    /// Constants that a compiler can make use of stand in the text; the others are parameters, so that kernels which
    /// differ in them (a mean over another count, another epsilon) share a pipeline.
    fn constant(&mut self, bits: u32, dtype: DType) -> String {
        let as_float = f32::from_bits(bits);
        match dtype {
            DType::Bool => format!("{}", bits != 0),
            DType::U32 if bits <= 2 => format!("{bits}u"),
            DType::I32 if bits <= 2 => format!("{bits}i"),
            DType::F32 | DType::F16 if bits == 0 || [1.0, -1.0, 2.0, 0.5].contains(&as_float) => {
                format!("{as_float:?}")
            }
            DType::U32 => self.shader.param(bits as i64),
            DType::I32 | DType::F32 | DType::F16 => {
                format!("bitcast<{}>({})", held(dtype), self.shader.param(bits as i64))
            }
        }
    }

    fn load(&mut self, input: usize, access: &Access) -> String {
        let Position { index, valid } = self.position(access);
        let source = &self.sources[input];
        let Some(valid) = valid else {
            return load(&format!("{}[{index}]", source.name), source.stored, source.dtype);
        };
        self.load_if(input, &index, &valid)
    }

    /// An element where `valid`, 0 elsewhere.
    fn load_if(&self, input: usize, index: &str, valid: &str) -> String {
        let source = &self.sources[input];
        // Element 0 is always there (bindings are never empty), so nothing is read out of bounds, and no lane branches.
        let element = format!("{}[select(0u, {index}, {valid})]", source.name);
        let value = load(&element, source.stored, source.dtype);
        match source.dtype {
            DType::Bool => format!("{valid} & {value}"),
            DType::U32 => format!("select(0u, {value}, {valid})"),
            DType::I32 => format!("select(0i, {value}, {valid})"),
            DType::F32 | DType::F16 => format!("select(0.0, {value}, {valid})"),
        }
    }

    fn position(&mut self, access: &Access) -> Position {
        if let Some(position) = self.positions.get(access) {
            return position.clone();
        }
        let position = match self.linear {
            Some(linear) if access.is_linear(self.domain) => Position { index: linear.to_string(), valid: None },
            _ => self.walk(access),
        };
        self.positions.insert(access.clone(), position.clone());
        position
    }

    fn walk(&mut self, access: &Access) -> Position {
        // A coordinate without divisor adds an affine function to the position: part of the base.
        let mut base = access.base.clone();
        for c in access.coords.iter().filter(|c| c.div == 1) {
            base = base.plus(&c.affine, c.stride);
        }
        let mut terms = vec![self.affine(&base)];
        let mut guards = vec![];
        for c in &access.coords {
            let (quotient, guard) = self.coord(c);
            guards.push(guard);
            if let Some(quotient) = quotient {
                terms.push(format!("{quotient} * {}", self.shader.param(c.stride)));
            }
        }
        let index = self.shader.fresh("p");
        line!(self.text, "let {index} = {};", terms.join(" + "));
        let valid = (!guards.is_empty()).then(|| {
            let valid = self.shader.fresh("ok");
            line!(self.text, "let {valid} = {};", guards.join(" & "));
            valid
        });
        Position { index, valid }
    }

    /// The quotient's name (where there is a divisor) and the condition under which the coordinate is valid.
    fn coord(&mut self, c: &Coord) -> (Option<String>, String) {
        let numerator = self.shader.fresh("n");
        let affine = self.affine(&c.affine);
        line!(self.text, "let {numerator} = {affine};");
        // One comparison does for both ends: what is below 0 wraps around to far above the end.
        let end = c.len * c.div;
        let end_word = self.shader.param(end as i64);
        let within = format!("({numerator} < {end_word})");
        if c.div == 1 {
            return (None, within);
        }
        let divisor: Divisor = self.shader.divisor(c.div, end);
        let quotient = self.shader.fresh("q");
        line!(self.text, "let {quotient} = {};", divisor.quotient(&numerator));
        (Some(quotient.clone()), format!("{within} & ({quotient} * {} == {numerator})", divisor.extent))
    }

    /// The text of an affine function. Its part that does not change in the loop stands before the loop.
    fn affine(&mut self, affine: &Affine) -> String {
        let offset = self.shader.param(affine.offset);
        let mut outer = vec![offset];
        let mut inner = vec![];
        for (d, &stride) in affine.strides.iter().enumerate() {
            if stride != 0 && self.domain[d] != 1 {
                let term = format!("{} * {}", self.coords[d], self.shader.param(stride));
                if d < self.outer { outer.push(term) } else { inner.push(term) }
            }
        }
        if self.outer > 0 && outer.len() > 1 {
            let name = self.shader.fresh("o");
            line!(self.before, "let {name} = {};", outer.join(" + "));
            outer = vec![name];
        }
        outer.extend(inner);
        outer.join(" + ")
    }

    fn philox(&mut self, args: &[ExprId; 5]) -> String {
        if let Some(name) = self.philox.get(args) {
            return name.clone();
        }
        let name = self.shader.fresh("random");
        let values: Vec<_> = args.iter().map(|a| self.values[a].as_str()).collect();
        let rounds = self.shader.param(10);
        line!(self.text, "let {name} = philox({}, {rounds});", values.join(", "));
        self.philox.insert(*args, name.clone());
        name
    }

    fn unary(&self, op: Unary, a: ExprId) -> String {
        let x = &self.values[&a];
        let dtype = self.expr.dtypes[a];
        match op {
            Unary::Not => format!("!{x}"),
            Unary::Neg if dtype == DType::U32 => format!("0u - {x}"),
            Unary::Neg => format!("-{x}"),
            Unary::Abs if dtype == DType::U32 => x.clone(),
            Unary::Abs => format!("abs({x})"),
            Unary::Floor | Unary::Ceil | Unary::Round if !dtype.is_float() => x.clone(),
            Unary::Floor => format!("floor({x})"),
            Unary::Ceil => format!("ceil({x})"),
            Unary::Round => format!("round({x})"),
            Unary::Exp => format!("exp({x})"),
            Unary::Log => format!("log({x})"),
            Unary::Sqrt => format!("sqrt({x})"),
            Unary::Recip => format!("1.0 / {x}"),
            Unary::Sin => format!("sin(within_turn({x}))"),
            Unary::Cos => format!("cos(within_turn({x}))"),
            Unary::Tanh => format!("tanh_safe({x})"),
            Unary::Expm1 => format!("expm1({x})"),
            Unary::Log1p => format!("log1p({x})"),
            Unary::Atan => format!("arc_tangent({x})"),
            Unary::Erf => format!("erf({x})"),
            Unary::ErfInv => format!("erfinv({x})"),
            Unary::IsFinite => format!("is_finite({x})"),
        }
    }

    fn binary(&mut self, op: Binary, a: ExprId, b: ExprId) -> String {
        let dtype = self.expr.dtypes[a];
        let (x, y) = (&self.values[&a], &self.values[&b]);
        if dtype == DType::Bool {
            return match op {
                Binary::Add | Binary::Or | Binary::Max => format!("{x} | {y}"),
                Binary::Mul | Binary::And | Binary::Min => format!("{x} & {y}"),
                Binary::Eq => format!("{x} == {y}"),
                Binary::Lt => format!("!{x} & {y}"),
                Binary::Le => format!("!{x} | {y}"),
                _ => format!("{x} != {y}"),
            };
        }
        let infix = |symbol: &str| format!("{x} {symbol} {y}");
        match op {
            Binary::Add => infix("+"),
            Binary::Sub => infix("-"),
            Binary::Mul => infix("*"),
            Binary::Div => infix("/"),
            Binary::Rem if dtype.is_float() => format!("remainder({x}, {y})"),
            Binary::Rem => infix("%"),
            Binary::Min => format!("min({x}, {y})"),
            Binary::Max => format!("max({x}, {y})"),
            Binary::Pow => {
                // A constant NaN is an error in WGSL, so it comes from a parameter.
                let (x, y) = (x.clone(), y.clone());
                format!("power({x}, {y}, bitcast<f32>({}))", self.shader.param(f32::NAN.to_bits() as i64))
            }
            Binary::Lt => infix("<"),
            Binary::Le => infix("<="),
            Binary::Eq => infix("=="),
            Binary::Ne => infix("!="),
            Binary::And => infix("&"),
            Binary::Or => infix("|"),
            Binary::Xor => infix("^"),
            Binary::Shl | Binary::Shr => {
                let symbol = if op == Binary::Shl { "<<" } else { ">>" };
                match dtype {
                    DType::U32 => infix(symbol),
                    _ => format!("bitcast<i32>(bitcast<u32>({x}) {symbol} bitcast<u32>({y}))"),
                }
            }
        }
    }
}

/// Whether the value of an f16 node may have more bits than f16 holds.
fn needs_rounding(node: &ExprNode) -> bool {
    !matches!(
        node,
        ExprNode::Const(_)
            | ExprNode::Load { .. }
            | ExprNode::LoadAt { .. }
            | ExprNode::Select(..)
            | ExprNode::Unary(Unary::Neg | Unary::Abs | Unary::Floor | Unary::Ceil | Unary::Round, _)
            | ExprNode::Binary(Binary::Min | Binary::Max, ..)
    )
}

fn cast(x: &str, from: DType, to: DType) -> String {
    match (from, to) {
        (DType::F32 | DType::F16, DType::U32) => format!("to_u32({x})"),
        (DType::F32 | DType::F16, DType::I32) => format!("to_i32({x})"),
        (DType::F32 | DType::F16, DType::Bool) => format!("{x} != 0.0"),
        (DType::F32 | DType::F16, DType::F32 | DType::F16) => x.to_string(),
        (DType::Bool, DType::F32 | DType::F16) => format!("select(0.0, 1.0, {x})"),
        (DType::Bool, DType::U32) => format!("select(0u, 1u, {x})"),
        (DType::Bool, DType::I32) => format!("select(0i, 1i, {x})"),
        (DType::U32, DType::Bool) => format!("{x} != 0u"),
        (DType::I32, DType::Bool) => format!("{x} != 0i"),
        (DType::U32 | DType::I32, DType::F32 | DType::F16) => format!("f32({x})"),
        (DType::U32, DType::I32) => format!("bitcast<i32>({x})"),
        (DType::I32, DType::U32) => format!("bitcast<u32>({x})"),
        _ => x.to_string(),
    }
}
