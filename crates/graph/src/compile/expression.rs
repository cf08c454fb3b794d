//! Builds the scalar expression of a kernel from tensors: views become index maps, the rest operations.

use super::fuse::position_of;
use crate::Tensor;
use crate::op::{Guard, IndexMap, Lower};
use crate::ops::leaf::Scalar;
use std::collections::{HashMap, HashSet};
use wgrad_device::{Access, Affine, Coord, DType, Expr, ExprId, ExprNode};

/// The tensors whose values are in memory.
pub(crate) struct Stored {
    pub ids: HashSet<u64>,
}

impl Stored {
    /// The stored tensor whose memory holds this tensor's elements in this order, if there is one.
    pub fn find(&self, t: &Tensor) -> Option<u64> {
        if self.ids.contains(&t.id()) {
            return Some(t.id());
        }
        match t.op().lower() {
            Lower::View(v) if v.is_reshape() => self.find(&t.inputs()[0]),
            _ => None,
        }
    }

    /// As `find`, for tensors that are known to be stored.
    pub fn value(&self, t: &Tensor) -> u64 {
        self.find(t).unwrap_or_else(|| panic!("{t:?} is not stored"))
    }
}

/// Collects one kernel's expression and what it loads.
pub(crate) struct Builder<'a> {
    stored: &'a Stored,
    domain: Vec<usize>,
    pub expr: Expr,
    /// Stored tensors, in the order of the kernel's inputs.
    pub inputs: Vec<u64>,
    known: HashMap<(u64, IndexMap), ExprId>,
}

impl<'a> Builder<'a> {
    pub fn new(stored: &'a Stored, domain: Vec<usize>) -> Self {
        Builder { stored, domain, expr: Expr::default(), inputs: vec![], known: HashMap::new() }
    }

    /// The tensor's element at `map`: loaded if the tensor is stored, else computed. `Err` names a tensor that has to be
    /// stored for this to be possible.
    pub fn value(&mut self, t: &Tensor, map: &IndexMap) -> Result<ExprId, u64> {
        match self.stored.find(t) {
            Some(id) => Ok(self.load(id, t, map)),
            None => self.compute(t, map),
        }
    }

    /// The tensor's element at `map`, computed even if the tensor is stored.
    pub fn compute(&mut self, t: &Tensor, map: &IndexMap) -> Result<ExprId, u64> {
        let key = (t.id(), map.clone());
        if let Some(&id) = self.known.get(&key) {
            return Ok(id);
        }
        let dtype = t.dtype();
        let id = match t.op().lower() {
            Lower::Constant(bits) => self.expr.push(ExprNode::Const(bits), dtype),
            Lower::Iota(axis) => {
                let index = &map.dims[axis];
                if index.div != 1 {
                    return Err(t.id());
                }
                self.expr.push(ExprNode::Index(index.affine.clone()), dtype)
            }
            Lower::Unary(op) => {
                let a = self.value(&t.inputs()[0], map)?;
                self.expr.push(ExprNode::Unary(op, a), dtype)
            }
            Lower::Binary(op) => {
                let a = self.value(&t.inputs()[0], map)?;
                let b = self.value(&t.inputs()[1], map)?;
                self.expr.push(ExprNode::Binary(op, a, b), dtype)
            }
            Lower::Select => {
                let c = self.value(&t.inputs()[0], map)?;
                let a = self.value(&t.inputs()[1], map)?;
                let b = self.value(&t.inputs()[2], map)?;
                self.expr.push(ExprNode::Select(c, a, b), dtype)
            }
            Lower::Cast => {
                let a = self.value(&t.inputs()[0], map)?;
                self.expr.push(ExprNode::Cast(a), dtype)
            }
            Lower::Bitcast => {
                let a = self.value(&t.inputs()[0], map)?;
                self.expr.push(ExprNode::Bitcast(a), dtype)
            }
            Lower::Random { stream, lane } => {
                let rank = self.domain.len();
                let word = |k| IndexMap { dims: vec![Affine::constant(rank, k).into()], guards: vec![] };
                let mut position = Affine::constant(rank, 0);
                for (index, stride) in map.dims.iter().zip(wgrad_device::row_major_strides(t.shape())) {
                    if index.div != 1 {
                        return Err(t.id());
                    }
                    position = position.plus(&index.affine, stride);
                }
                let generator = &t.inputs()[0];
                let k0 = self.value(generator, &word(0))?;
                let k1 = self.value(generator, &word(1))?;
                let step = self.value(generator, &word(2))?;
                let c0 = self.expr.push(ExprNode::Index(position), DType::U32);
                let c1 = self.expr.push(ExprNode::Const(stream), DType::U32);
                self.expr.push(ExprNode::Philox { args: [k0, k1, c0, c1, step], lane }, dtype)
            }
            Lower::Take => {
                let [x, index] = t.inputs() else { unreachable!("two arguments") };
                let index = self.value(index, map)?;
                let input = position_of(&mut self.inputs, self.stored.value(x));
                self.expr.push(ExprNode::LoadAt { input, index, len: x.count() }, dtype)
            }
            Lower::View(v) => {
                let x = &t.inputs()[0];
                // A view that cannot be a function of the index: its argument is stored, and this is a plain load then.
                let Some(mut inner) = v.map(map, x.shape(), t.shape()) else {
                    return Err(if self.stored.find(x).is_some() { t.id() } else { x.id() });
                };
                // The map of a scalar has no dimension from which a view could know the kernel's rank.
                inner.dims.iter_mut().for_each(|d| d.affine.strides.resize(self.domain.len(), 0));
                let value = self.value(x, &inner)?;
                let new: Vec<Guard> = inner.guards[map.guards.len()..].to_vec();
                let zero_outside = v.fill() == 0.0 && matches!(self.expr.nodes[value], ExprNode::Load { .. });
                if new.is_empty() || zero_outside {
                    value
                } else {
                    let coords: Vec<Coord> = new.into_iter().map(guard).collect();
                    if coords.iter().all(|c| c.always_valid(&self.domain)) {
                        value
                    } else {
                        let mask = self.expr.push(ExprNode::Mask(coords), DType::Bool);
                        let fill = self.expr.push(ExprNode::Const(Scalar::new(dtype, v.fill()).bits()), dtype);
                        self.expr.push(ExprNode::Select(mask, value, fill), dtype)
                    }
                }
            }
            Lower::Input(_)
            | Lower::State(_)
            | Lower::Reduce(..)
            | Lower::Contraction(_)
            | Lower::Kernel(_)
            | Lower::Pack(_) => {
                unreachable!("{t:?} is always stored")
            }
        };
        self.known.insert(key, id);
        Ok(id)
    }

    fn load(&mut self, value: u64, t: &Tensor, map: &IndexMap) -> ExprId {
        let input = position_of(&mut self.inputs, value);
        let mut base = Affine::constant(self.domain.len(), 0);
        let mut coords: Vec<Coord> = map.guards.iter().cloned().map(guard).collect();
        for ((d, index), stride) in map.dims.iter().enumerate().zip(wgrad_device::row_major_strides(t.shape())) {
            let own = coords.iter_mut().find(|c| c.affine == index.affine && c.div == index.div);
            match own {
                Some(c) => c.stride += stride,
                None if index.div == 1 => base = base.plus(&index.affine, stride),
                None => coords.push(Coord { affine: index.affine.clone(), div: index.div, len: t.shape()[d], stride }),
            }
        }
        let access = Access { base, coords }.simplify(&self.domain);
        self.expr.push(ExprNode::Load { input, access }, t.dtype())
    }
}

fn guard(g: Guard) -> Coord {
    Coord { affine: g.affine, div: g.div, len: g.len, stride: 0 }
}
