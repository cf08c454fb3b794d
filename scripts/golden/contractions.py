"""Values and gradients of sums of products and of distances, computed by PyTorch in f64.
crates/nn/tests/golden_contractions.rs has the same cases.

    python scripts/golden/contractions.py crates/nn/tests/golden
"""

import torch
import torch.nn.functional as F
from common import Cases, out_dir

cases = Cases()


def add(name, function, *shapes):
    inputs = {f"x{i}": cases.numbers(*s) for i, s in enumerate(shapes)}
    cases.add(name, lambda **t: function(*t.values()), **inputs)


def pairs(name, function, *shapes):
    for i, s in enumerate(shapes):
        add(f"{name}.{i}", function, *s)


pairs("matmul", torch.matmul, ((5,), (5,)), ((3, 5), (5,)), ((5,), (2, 5, 3)), ((2, 1, 3, 4), (5, 4, 2)), ((2, 3, 4), (4, 5)))
for i, (equation, *shapes) in enumerate([
    ("bhid,bhjd->bhij", (2, 2, 3, 4), (2, 2, 5, 4)),
    ("ij,kj", (3, 5), (4, 5)),
    ("abc,dce->bead", (2, 3, 4), (5, 4, 2)),
    ("iij->ji", (3, 3, 2)),
    ("ii", (4, 4)),
    ("iij,jkk->ik", (3, 3, 4), (4, 5, 5)),
    ("...ij,...jk->...ik", (2, 1, 3, 4), (5, 4, 2)),
    ("...i,i", (2, 3, 4), (4,)),
    ("bi,oij,bj->bo", (3, 2), (4, 2, 5), (3, 5)),
    ("ab,bc,cd,de->ae", (2, 3), (3, 4), (4, 3), (3, 2)),
    ("i,j", (3,), (4,)),
    ("ba,cb", (2, 3), (4, 2)),
]):
    add(f"einsum.{i}", lambda *t: torch.einsum(equation, *t), *shapes)
pairs("outer", torch.outer, ((3,), (5,)), ((1,), (4,)), ((2,), (2,)))
pairs("dot", torch.dot, ((7,), (7,)), ((1,), (1,)), ((30,), (30,)))
pairs("bilinear", lambda x, w, y: F.bilinear(x, y, w), ((4, 3), (2, 3, 5), (4, 5)), ((3,), (2, 3, 5), (5,)), ((2, 3, 1), (4, 1, 5), (2, 3, 5)))
add("cosine.0", lambda a, b: F.cosine_similarity(a, b), (4, 5), (4, 5))
add("cosine.1", lambda a, b: F.cosine_similarity(a, b, dim=-1), (3, 1, 4), (2, 4))
add("cosine.2", lambda a, b: F.cosine_similarity(a, b, dim=0, eps=1e-3), (4, 5), (4, 5))
add("pairwise.0", F.pairwise_distance, (4, 5), (4, 5))
add("pairwise.1", lambda a, b: F.pairwise_distance(a, b, p=1.0), (4, 5), (5,))
add("pairwise.2", lambda a, b: F.pairwise_distance(a, b, p=3.0, eps=0.1), (4, 5), (4, 5))
add("cdist.0", lambda a, b: torch.cdist(a, b), (4, 3), (5, 3))
add("cdist.1", lambda a, b: torch.cdist(a, b, p=1.0), (2, 3, 2), (2, 1, 2))
add("cdist.2", lambda a, b: torch.cdist(a, b, p=3.0), (2, 3, 2), (2, 4, 2))
add("cdist.3", lambda a, b: torch.cdist(a, b, p=float("inf")), (3, 4), (2, 4))
same = cases.numbers(3, 2)
cases.add("cdist.same", lambda x0, x1: torch.cdist(x0, x1), x0=same, x1=torch.cat([same[1:], cases.numbers(2, 2)]))
add("cross.0", lambda a, b: torch.linalg.cross(a, b), (4, 3), (4, 3))
add("cross.1", lambda a, b: torch.linalg.cross(a, b, dim=0), (3, 2), (3, 2))
add("cross.2", lambda a, b: torch.linalg.cross(a, b, dim=1), (2, 3, 2), (2, 3, 2))

cases.save(out_dir(__doc__), "contractions.safetensors")
