//! TODO
use crate::kernels::Contraction;
use crate::*;
pub(crate) fn passes(_m: &Contraction, _a: &Adapter) -> Vec<Pass> {
    todo!()
}
pub(crate) fn scratch(_m: &Contraction, _a: &Adapter) -> usize {
    todo!()
}
