//! The tiled contraction: plain shader files with a generated preamble of readers and a writer.

mod forms;
mod plan;
mod preamble;

pub(crate) use forms::choices;

use crate::kernels::Contraction;
use crate::{Adapter, Pass};

/// Bytes of scratch memory that [`passes`] uses: the partial sums, where the inner axis is split.
pub(crate) fn scratch(c: &Contraction, adapter: &Adapter) -> usize {
    let plan = forms::plan(c, adapter);
    if plan.splits == 1 { 0 } else { 4 * plan.splits * plan.elements() }
}

/// The passes of a contraction; none where there is nothing to write.
pub(crate) fn passes(c: &Contraction, adapter: &Adapter) -> Vec<Pass> {
    let plan = forms::plan(c, adapter);
    if plan.elements() == 0 {
        return vec![];
    }
    let mut passes = vec![preamble::tiled_pass(c, &plan)];
    if plan.splits > 1 {
        passes.push(preamble::sum_pass(c, &plan, adapter));
    }
    passes
}
