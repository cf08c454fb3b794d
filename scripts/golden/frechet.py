"""Frechet distances of feature vectors, by scipy's matrix root as the usual implementations of FID have it.

    python scripts/golden/frechet.py crates/train/tests/data
"""

import numpy as np
import scipy.linalg
import torch

from common import numbers, out_dir, save


def distance(a, b):
    a, b = a.numpy(), b.numpy()
    c1, c2 = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = scipy.linalg.sqrtm(c1 @ c2).real
    return ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(c1 + c2 - 2 * root)


def mixed(count, width, seed):
    """Features that hang together."""
    x = numbers(count, width, seed=seed) @ numbers(width, width, seed=seed + 1) + numbers(width, seed=seed + 2)
    return x.to(torch.float32).to(torch.float64)


if __name__ == "__main__":
    out = out_dir(__doc__)
    flat = mixed(40, 6, 30), mixed(40, 6, 40)
    for x in flat:
        x[:, 1] = 0.5  # never varies
        x[:, 4] = 2 * x[:, 2]  # exact in f32
    base = mixed(60, 5, 50)
    cases = {
        "plain": (mixed(50, 7, 10), mixed(30, 7, 20)),
        "singular": flat,
        "close": (base, (base * 1.0625 + 0.125).to(torch.float32).to(torch.float64)),
    }
    tensors = {}
    for name, (a, b) in cases.items():
        d = distance(a, b)
        print(name, d)
        tensors |= {f"{name}.a": a, f"{name}.b": b, f"{name}.distance": torch.tensor([d], dtype=torch.float64)}
    save(tensors, out, "frechet.safetensors")
