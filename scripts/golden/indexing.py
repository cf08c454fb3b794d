"""Values and gradients of gathers, scatters, embeddings, segment reductions, sorts and sparse products, by PyTorch in f64.

    python scripts/golden/indexing.py crates/nn/tests/golden

Where a case gives values and indices, `y` is values * (indices + 1), so that both are compared.
"""

import torch
import torch.nn.functional as F
from common import Cases, out_dir

cases = Cases()
add, numbers = cases.add, cases.numbers


def whole(*shape, below):
    """int32 numbers below `below`."""
    return (numbers(*shape, lo=0.0, hi=1.0) * below).floor().to(torch.int32)


def both(found):
    values, indices = found
    return values * (indices + 1)


# Gathers: (input, index, axis)
for name, x, i, axis in [
    ("line", (5,), (7,), 0),
    ("smaller", (3, 5, 2), (2, 4, 1), 1),
    ("longer", (4, 3), (9, 2), 0),
]:
    index = whole(*i, below=x[axis])
    add(f"gather.{name}", lambda x, i: x.gather(axis, i.long()), x=numbers(*x), i=index)
    pair = dict(x=numbers(*x), s=numbers(*i), i=index)
    add(f"scatter_add.{name}", lambda x, s, i: x.scatter_add(axis, i.long(), s), **pair)
    # Several for one place: PyTorch's gradient of a maximum is shared between equal ones, so some are equal.
    ties = dict(x=(pair["x"] * 2).round(), s=(pair["s"] * 2).round(), i=index)
    reduce = lambda how: lambda x, s, i: x.scatter_reduce(axis, i.long(), s, how)
    add(f"scatter_max.{name}", reduce("amax"), **ties)
    add(f"scatter_min.{name}", reduce("amin"), **ties)
    # Different places along the axis: PyTorch says nothing of equal ones.
    n = min(i[axis], x[axis])
    different = torch.rand(x, generator=torch.Generator().manual_seed(7)).argsort(axis).to(torch.int32)
    for d, extent in enumerate(i):
        different = different.narrow(d, 0, n if d == axis else extent)
    add(f"scatter.{name}", lambda x, s, i: x.scatter(axis, i.long(), s), x=numbers(*x), s=numbers(*different.shape), i=different)

add("take_along_axis.rows", lambda x, i: x.take_along_dim(i.long(), 1), x=numbers(1, 5), i=whole(3, 4, below=5))
add("take_along_axis.columns", lambda x, i: x.take_along_dim(i.long(), 0), x=numbers(4, 3), i=whole(2, 1, below=4))
add("take_along_axis.last", lambda x, i: x.take_along_dim(i.long(), -1), x=numbers(2, 1, 5), i=whole(1, 3, 2, below=5))
for name, x, n, axis in [("first", (5, 3), 7, 0), ("middle", (2, 3, 4), 5, 1), ("last", (2, 7), 3, -1)]:
    extent = x[axis]
    add(f"index_select.{name}", lambda x, i: x.index_select(axis, i.long()), x=numbers(*x), i=whole(n, below=extent))
    source = list(x)
    source[axis] = n
    inputs = dict(x=numbers(*x), s=numbers(*source), i=whole(n, below=extent))
    add(f"index_add.{name}", lambda x, s, i: x.index_add(axis, i.long(), s, alpha=-0.5), **inputs)

# Embeddings.
add("embedding.plain", lambda w, i: F.embedding(i.long(), w), w=numbers(7, 3), i=whole(2, 4, below=7))
add("embedding.padding", lambda w, i: F.embedding(i.long(), w, padding_idx=2), w=numbers(4, 3), i=whole(9, below=4))
add("embedding.many", lambda w, i: F.embedding(i.long(), w, padding_idx=0), w=numbers(40, 4), i=whole(90, below=40))
offsets = torch.tensor([0, 3, 3, 8], dtype=torch.int32)
for mode in ["sum", "mean", "max"]:
    bag = lambda w, i, o=None: F.embedding_bag(i.long(), w, None if o is None else o.long(), mode=mode)
    padded = lambda w, i: F.embedding_bag(i.long(), w, mode=mode, padding_idx=1)
    add(f"embedding_bag.{mode}", bag, w=numbers(6, 3), i=whole(3, 4, below=6))
    add(f"embedding_bag.{mode}.offsets", bag, w=numbers(6, 4), i=whole(11, below=6), o=offsets)
    add(f"embedding_bag.{mode}.padding", padded, w=numbers(4, 3), i=whole(5, 4, below=4))
weighted = lambda w, i, s, o: F.embedding_bag(i.long(), w, o.long(), mode="sum", per_sample_weights=s, padding_idx=0)
add("embedding_bag.weighted", weighted, w=numbers(6, 3), i=whole(11, below=6), s=numbers(11), o=offsets)

# Counts.
hot = lambda x, i: x * F.one_hot(i.long(), 5)
add("one_hot.line", hot, x=numbers(4, 5), i=whole(4, below=5))
add("one_hot.grid", hot, x=numbers(2, 3, 5), i=whole(2, 3, below=5))
add("one_hot.scalar", hot, x=numbers(5), i=whole(1, below=5).reshape(()))
for n, low in [(13, 6), (200, 6), (3, 7)]:
    count = lambda x, i: x * torch.bincount(i.long(), minlength=low)
    add(f"bincount.{n}", count, x=numbers(low), i=whole(n, below=low))

# Segments. PyTorch has their parts only: a scatter onto nothing.
for name, x, segments in [("few", (7, 3), 4), ("many", (90, 2), 17), ("line", (11,), 3)]:
    ids = whole(x[0], below=segments)

    def segment(how, x, ids):
        wide = ids.long().reshape([-1] + [1] * (x.dim() - 1)).expand_as(x)
        return torch.zeros([segments, *x.shape[1:]], dtype=x.dtype).scatter_reduce(0, wide, x, how, include_self=False)

    for op, how in [("sum", "sum"), ("mean", "mean"), ("max", "amax"), ("min", "amin")]:
        add(f"segment_{op}.{name}", lambda x, i, how=how: segment(how, x, i), x=numbers(*x), i=ids)

    def softmax(x, i):
        parts = [torch.where(wide_equal(i, s, x), x, -torch.inf).softmax(0).nan_to_num(0.0) for s in range(segments)]
        return sum(parts)

    def wide_equal(i, s, x):
        return (i == s).reshape([-1] + [1] * (x.dim() - 1)).expand_as(x)

    present = torch.cat([torch.arange(segments, dtype=torch.int32), ids[segments:]])
    add(f"segment_softmax.{name}", softmax, x=numbers(*x) * 4, i=present)

# Order. Rounded inputs, so that some elements are equal; the sort is stable.
def ties(*shape):
    return (numbers(*shape) * 4).round() / 4


for name, shape, axis in [("rows", (3, 11), 1), ("columns", (5, 2, 3), 0), ("long", (1, 131), -1)]:
    for descending in [False, True]:
        f = lambda x: both(torch.sort(x, dim=axis, descending=descending, stable=True))
        add(f"sort.{name}.{descending}", f, x=ties(*shape))
        add(f"topk.{name}.{descending}", lambda x: both(x.topk(3, axis, largest=descending)), x=numbers(*shape))
    add(f"kthvalue.{name}", lambda x: both(x.kthvalue(2, axis)), x=numbers(*shape))
    add(f"median.{name}", lambda x: both(x.median(axis)), x=numbers(*shape))
for right in [False, True]:
    sorted_rows, values = ties(3, 7).sort(1)[0], ties(3, 5)
    search = lambda x, a, v: x * torch.searchsorted(a.detach(), v.detach(), right=right)
    scale = numbers(3, 5)
    cases.tensors.update({f"searchsorted.{right}.a": sorted_rows, f"searchsorted.{right}.v": values})
    add(f"searchsorted.{right}", lambda x: search(x, sorted_rows, values), x=scale)
    cases.tensors.update({f"bucketize.{right}.a": sorted_rows[0], f"bucketize.{right}.v": values})
    add(f"bucketize.{right}", lambda x: x * torch.bucketize(values, sorted_rows[0].contiguous(), right=right), x=scale)

# Masks, as numbers that are 0 or 1.
for name, shape, mask in [("whole", (3, 5), (3, 5)), ("row", (3, 5), (5,)), ("column", (2, 3, 4), (3, 1))]:
    add(f"masked_fill.{name}", lambda x, m: x.masked_fill(m == 1, -2.0), x=numbers(*shape), m=whole(*mask, below=2))
for name, shape in [("line", (7,)), ("grid", (3, 5)), ("long", (150,))]:
    mask = whole(*shape, below=2)
    inputs = dict(x=numbers(*shape), s=numbers(mask.numel()), m=mask)
    add(f"masked_scatter.{name}", lambda x, s, m: x.masked_scatter(m == 1, s), **inputs)
    add(f"masked_select.{name}", lambda x, m: x.masked_select(m == 1), x=numbers(*shape), m=mask)

# Sparse matrices.
for name, m, k, n, elements in [("small", 4, 5, 3, 9), ("wide", 3, 4, 8, 7), ("many", 6, 7, 4, 30)]:
    flat = torch.rand(m * k, generator=torch.Generator().manual_seed(m)).argsort()[:elements].sort()[0]
    rows, columns = (flat // k).to(torch.int32), (flat % k).to(torch.int32)
    starts = torch.searchsorted(rows, torch.arange(m + 1, dtype=torch.int32)).to(torch.int32)

    def product(rows, columns, values, dense):
        return torch.zeros(m, k, dtype=values.dtype).index_put((rows.long(), columns.long()), values) @ dense

    values, dense = numbers(elements), numbers(k, n)
    csr = lambda starts, columns, values, dense: product(rows, columns, values, dense)
    add(f"csr_matmul.{name}", csr, starts=starts, columns=columns, values=values, dense=dense)
    mixed = torch.randperm(elements, generator=torch.Generator().manual_seed(3))
    mixed = dict(rows=rows[mixed], columns=columns[mixed], values=values[mixed])
    add(f"coo_matmul.{name}", product, dense=dense, **mixed)

# Slices written over, or filled; different ones, since PyTorch says nothing of equal ones.
for name, x, at, axis in [("first", (5, 3), [3, 0], 0), ("middle", (2, 3, 4), [1], 1), ("last", (2, 7), [6, 2, 5], -1)]:
    index = torch.tensor(at, dtype=torch.int32)
    source = list(x)
    source[axis] = len(at)
    inputs = dict(x=numbers(*x), s=numbers(*source), i=index)
    add(f"index_copy.{name}", lambda x, s, i: x.index_copy(axis, i.long(), s), **inputs)
    add(f"index_fill.{name}", lambda x, i: x.index_fill(axis, i.long(), 0.5), x=numbers(*x), i=index)

for name, x, i in [("line", (5,), (7,)), ("grid", (3, 4), (2, 5)), ("scalar", (6,), (1,))]:
    below = torch.Size(x).numel()
    add(f"take.{name}", lambda x, i: x.take(i.long()), x=numbers(*x), i=whole(*i, below=below))
    count = lambda x, i: torch.zeros(9, dtype=x.dtype).index_add(0, i.long(), x)  # bincount itself has no gradient
    add(f"weighted_bincount.{name}", count, x=numbers(*i).reshape(-1), i=whole(torch.Size(i).numel(), below=9))
    order = lambda x: x * (torch.argsort(x, dim=-1, descending=len(x) == 3, stable=True) + 1)
    add(f"argsort.{name}", order, x=ties(*x))
    mask = whole(*x, below=2)
    size = int(mask.sum())
    at = lambda x, m: x * m.reshape(-1).nonzero().reshape(-1)
    add(f"nonzero.{name}", at, x=numbers(size), m=mask)

cases.save(out_dir(__doc__), "indexing.safetensors")
