//! Finds the indices from data that a program uses, and has it count those that are too large.

use crate::Tensor;
use crate::autodiff::topological;
use crate::ops::take::Checked;
use std::collections::BTreeMap;
use std::panic::Location;
use wgrad_device::DType;

/// A use of an index from data.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct IndexCheck {
    /// The operation that uses it.
    pub op: &'static str,
    /// Where that was built.
    pub site: &'static Location<'static>,
    /// What the index must stay below.
    pub limit: usize,
}

/// The checks of everything that `roots` need, and a u32 tensor with the number of faults of each, if there are any. Uses
/// built at one place (in a loop over time, say) count as one.
pub(super) fn faults(roots: &[&Tensor]) -> (Vec<IndexCheck>, Option<Tensor>) {
    let mut counts: BTreeMap<IndexCheck, Tensor> = BTreeMap::new();
    for t in topological(roots.iter().copied()).values() {
        let Some(&Checked { op, limit }) = t.op().downcast::<Checked>() else { continue };
        // What no index of 32 bits can pass needs no check.
        let Ok(end) = u32::try_from(limit) else { continue };
        let count = t.inputs()[0].ge(&Tensor::scalar(end)).cast(DType::U32).sum_all().reshape([1]);
        let check = IndexCheck { op, site: t.site(), limit };
        counts.entry(check).and_modify(|sum| *sum = &*sum + &count).or_insert(count);
    }
    let (checks, counts): (Vec<_>, Vec<_>) = counts.into_iter().unzip();
    let faults = (!counts.is_empty()).then(|| Tensor::concat(&counts.iter().collect::<Vec<_>>(), 0));
    (checks, faults)
}
