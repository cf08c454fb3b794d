"""What the golden scripts share. The files they write are checked in; nobody needs PyTorch to build or test wgrad."""

import argparse
import os

import safetensors.torch
import torch


def out_dir(doc):
    """The directory that the command line names."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", help="directory to write to")
    out = parser.parse_args().out
    os.makedirs(out, exist_ok=True)
    return out


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
