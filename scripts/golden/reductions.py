"""Values and gradients of reductions, computed by PyTorch in f64. crates/nn/tests/golden_reductions.rs has the same cases.

    python scripts/golden/reductions.py crates/nn/tests/golden
"""

import torch
from common import Cases, out_dir

cases = Cases()
x = cases.numbers(3, 4, 5, lo=-2.0, hi=2.0)
# Halves: ties, and zeros.
ties = (x * 2).round() / 2
zeros = torch.where(x.abs() < 0.15, torch.zeros_like(x), x)
zeros[0, :, 0] = 0

for name, function in [
    ("sum", torch.sum),
    ("mean", torch.mean),
    ("amax", torch.amax),
    ("amin", torch.amin),
    ("logsumexp", torch.logsumexp),
]:
    of = ties if name in ("amax", "amin") else x
    cases.add(f"{name}.0", lambda x: function(x, dim=1), x=of)
    cases.add(f"{name}.1", lambda x: function(x, dim=(0, 2)), x=of)
    cases.add(f"{name}.2", lambda x: function(x, dim=(-1, 1), keepdim=True), x=of)
cases.add("logsumexp.large", lambda x: torch.logsumexp(x * 500, dim=-1), x=x)
masked = torch.full((2, 3), -3.4e38, dtype=torch.float32).to(torch.float64)
masked[0, 1], masked[1, 2] = -2.0, 0.5
cases.add("logsumexp.masked", lambda x: torch.logsumexp(x, dim=1), x=masked)

cases.add("prod.0", lambda x: torch.prod(x, dim=1), x=x)
cases.add("prod.1", lambda x: torch.prod(x, dim=2), x=zeros)
cases.add("prod.2", lambda x: torch.prod(x, dim=-1, keepdim=True), x=ties)
cases.add("prod.two_zeros", lambda x: torch.prod(x, dim=0), x=torch.tensor([0.0, 2.0, 0.0, 3.0], dtype=torch.float64))
cases.add("prod.one_zero", lambda x: torch.prod(x, dim=0), x=torch.tensor([4.0, 2.0, 0.0], dtype=torch.float64))

for name, function in [("var", torch.var), ("std", torch.std)]:
    cases.add(f"{name}.0", lambda x: function(x, dim=1), x=x)
    cases.add(f"{name}.1", lambda x: function(x, dim=(0, 2), correction=0), x=x)
    cases.add(f"{name}.2", lambda x: function(x, dim=(1, 2), keepdim=True), x=x)
    cases.add(f"{name}.mean", lambda x: function(x, dim=-1, correction=0), x=(x + 30).to(torch.float32).to(torch.float64))
constant = torch.full((2, 4), 1.5, dtype=torch.float64)
constant[1] = torch.tensor([1.0, 2.0, 3.0, 5.0])
cases.add("std.constant", lambda x: torch.std(x, dim=1), x=constant)

for i, p in enumerate([1.0, 2.0, 3.0, 0.5, float("inf"), -float("inf"), 0.0]):
    of = ties if abs(p) == float("inf") else zeros
    cases.add(f"norm.{i}", lambda x: torch.linalg.vector_norm(x, p, dim=1) + 0 * x.sum(), x=of)
    cases.add(f"norm.all.{i}", lambda x: torch.linalg.vector_norm(x, p, dim=(0, 2), keepdim=True) + 0 * x.sum(), x=of)
cases.add("norm.zero", lambda x: torch.linalg.vector_norm(x, 2, dim=1), x=torch.zeros(2, 3, dtype=torch.float64))

for name, function in [("argmax", torch.argmax), ("argmin", torch.argmin)]:
    # Distinct values: which of equal ones PyTorch takes is not said.
    cases.add(f"{name}.0", lambda x: function(x, dim=1).double() * x.sum(1), x=x)
    cases.add(f"{name}.1", lambda x: function(x, dim=-1).double() * x.sum(-1), x=x)
    cases.add(f"{name}.2", lambda x: function(x).double() * x.sum(), x=x)
for name in ["softmax", "log_softmax"]:
    for i, dim in enumerate([1, 0, -1]):
        cases.add(f"{name}.{i}", lambda x: getattr(torch, name)(x, dim), x=x)
    cases.add(f"{name}.large", lambda x: getattr(torch, name)(x + 500, 1), x=(x * 64).round() / 64)
    cases.add(f"{name}.masked", lambda x: getattr(torch, name)(x, 1), x=masked)
some = (zeros != 0).double() * (x > -1)
for name, function in [("any", torch.any), ("all", torch.all), ("count_nonzero", torch.count_nonzero)]:
    for i, dim in enumerate([0, 2, 1]):
        cases.add(f"{name}.{i}", lambda z, x: function(x, dim=dim).double() * z, x=some, z=cases.numbers(1))

cases.save(out_dir(__doc__), "reductions.safetensors")
