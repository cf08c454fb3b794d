//! TODO
use crate::kernels::{Map, Reduce};
use crate::*;
pub(crate) fn map_passes(_m: &Map, _a: &Adapter, _al: &[Option<usize>]) -> Vec<Pass> {
    todo!()
}
pub(crate) fn reduce_passes(_m: &Reduce, _a: &Adapter) -> Vec<Pass> {
    todo!()
}
pub(crate) fn reduce_scratch(_m: &Reduce, _a: &Adapter) -> usize {
    todo!()
}
