"""What the golden scripts share. The files they write are checked in; nobody needs PyTorch to build or test wgrad."""

import argparse
import os

import safetensors.torch
import torch


def arguments(doc):
    """The directory that the command line names, and whether models are wanted at their full size: files of up to some GB for
    tests that are run by hand, with `WGRAD_GOLDEN_FULL=DIR cargo test --release -p wgrad-zoo -- --ignored full`."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", help="directory to write to")
    parser.add_argument("--full", action="store_true", help="the model at its full size, not a narrow one")
    given = parser.parse_args()
    os.makedirs(given.out, exist_ok=True)
    return given.out, given.full


def out_dir(doc):
    """The directory that the command line names."""
    return arguments(doc)[0]


def numbers(*shape, seed, lo=-1.0, hi=1.0):
    """f64 values that are exact in f32, so that both sides begin with the same numbers."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.rand(shape, generator=generator, dtype=torch.float64) * (hi - lo) + lo
    return values.to(torch.float32).to(torch.float64)


def save(tensors, out, name, exact={}):
    """Writes f64 results as f32: computed exactly, stored small. Those in `exact` stay f64."""
    single = {k: v.detach().to(torch.float32) if v.dtype == torch.float64 else v.detach() for k, v in tensors.items()}
    single.update(exact)
    path = os.path.join(out, name)
    safetensors.torch.save_file({k: v.contiguous().clone() for k, v in single.items()}, path)
    print(f"{path}: {os.path.getsize(path)} bytes, {len(single)} tensors, PyTorch {torch.__version__}")


class Cases:
    """Cases of one file: for each, the inputs, the output `y`, and the gradient of sum(y * r) for each float input `i` as
    `grad.i`. Numbers are drawn from a seed that counts up, so a script always makes the same file."""

    def __init__(self):
        self.tensors, self.seed = {}, 0

    def numbers(self, *shape, lo=-1.0, hi=1.0):
        self.seed += 1
        return numbers(*shape, seed=self.seed, lo=lo, hi=hi)

    def add(self, name, function, **inputs):
        """Runs `function` on `inputs` (tensors; floats get gradients) and stores everything under `name`. A dict that the
        function returns beside its value is stored too."""
        leaves = {k: v.clone().requires_grad_(v.dtype == torch.float64) for k, v in inputs.items()}
        y = function(**leaves)
        y, others = y if isinstance(y, tuple) else (y, {})
        self.seed += 1
        r = numbers(*y.shape, seed=1000 + self.seed)
        (y * r).sum().backward()
        grads = {f"grad.{k}": v.grad for k, v in leaves.items() if v.grad is not None}
        self.tensors.update({f"{name}.{k}": v for k, v in {**inputs, "y": y, "r": r, **grads, **others}.items()})

    def save(self, out, name):
        save(self.tensors, out, name)
