"""Values and gradients of normalisations, computed by PyTorch in f64.

    python scripts/golden/norms.py crates/nn/tests/golden

Running statistics and singular vectors have their values before under their own names, those after as `new.name`.
"""

import torch
import torch.nn.functional as F
from common import Cases, out_dir
from torch import nn
from torch.nn.utils import parametrizations

cases = Cases()
numbers = cases.numbers


def module(name, layer, x, **inputs):
    """A layer of `x`, with parameters and buffers by its own names."""
    layer = layer.double()
    state = {k: numbers(*v.shape) + 1.5 for k, v in layer.state_dict().items() if v.is_floating_point()}
    state |= {k: torch.tensor(2.0, dtype=torch.float64) for k in layer.state_dict() if k.endswith("tracked")}
    buffers = {k for k, _ in layer.named_buffers()}
    parameters = {k: v for k, v in state.items() if k not in buffers}
    before = {k: v for k, v in state.items() if k in buffers and (layer.momentum is None or not k.endswith("tracked"))}

    def run(x, **given):
        held = {k: state[k].clone() for k in buffers}
        y = torch.func.functional_call(layer, (given, held), (x,))
        return y, before | {f"new.{k}": v for k, v in held.items() if k in before and layer.training}

    cases.add(name, run, x=x, **parameters, **inputs)


# Batch norm.
x2, x3, x5 = numbers(5, 3) * 2 + 1, numbers(2, 3, 4) * 2 + 1, numbers(2, 3, 2, 2, 2) * 3 - 1
x4 = numbers(2, 3, 2, 3) * 2
module("batch_norm.1d", nn.BatchNorm1d(3, momentum=0.3), x2)
module("batch_norm.1d_sequence", nn.BatchNorm1d(3, eps=1e-3), x3)
module("batch_norm.3d", nn.BatchNorm3d(3, eps=1e-2, momentum=0.9), x5)
module("batch_norm.no_affine", nn.BatchNorm2d(3, affine=False), x4)
module("batch_norm.untracked", nn.BatchNorm2d(3, track_running_stats=False, eps=0.1), x4)
module("batch_norm.untracked_eval", nn.BatchNorm2d(3, track_running_stats=False).eval(), x4)
module("batch_norm.eval_no_affine", nn.BatchNorm2d(3, affine=False).eval(), x4)
module("batch_norm.frozen", nn.BatchNorm2d(3).eval(), x4)


def cumulative(x, weight, bias):
    layer = nn.BatchNorm2d(3, momentum=None).double()
    before = dict(running_mean=numbers(3), running_var=numbers(3) + 1.5, num_batches_tracked=torch.tensor(2))
    layer.load_state_dict(before | dict(weight=weight.detach(), bias=bias.detach()))
    y = torch.func.functional_call(layer, dict(weight=weight, bias=bias), (x,))
    after = {f"new.{k}": v.clone().double() for k, v in layer.named_buffers()}
    return y, {k: v.double() for k, v in before.items()} | after


cases.add("batch_norm.cumulative", cumulative, x=x4, weight=numbers(3), bias=numbers(3))
# Batch norm of large values: the mean is 300 times the spread.
module("batch_norm.large_mean", nn.BatchNorm2d(3), (numbers(2, 3, 2, 3) + 173).float().double())

# Layer and RMS norm.
y = numbers(2, 3, 4, 5) * 2 + 0.5
cases.add("layer_norm.last", lambda x, weight, bias: F.layer_norm(x, (5,), weight, bias), x=y, weight=numbers(5), bias=numbers(5))
cases.add("layer_norm.two", lambda x, weight, bias: F.layer_norm(x, (4, 5), weight, bias, 1e-2), x=y, weight=numbers(4, 5), bias=numbers(4, 5))
cases.add("layer_norm.no_bias", lambda x, weight: F.layer_norm(x, (5,), weight, None, 1e-3), x=y, weight=numbers(5))
cases.add("layer_norm.plain", lambda x: F.layer_norm(x, (3, 4, 5)), x=y)
cases.add("layer_norm.large_mean", lambda x: F.layer_norm(x, (5,)), x=(numbers(3, 5) + 173).float().double())
cases.add("rms_norm.last", lambda x, weight: F.rms_norm(x, (5,), weight, 2.0**-23), x=y, weight=numbers(5))
cases.add("rms_norm.two", lambda x, weight: F.rms_norm(x, (4, 5), weight, 1e-2), x=y, weight=numbers(4, 5))
cases.add("rms_norm.plain", lambda x: F.rms_norm(x, (5,), None, 1e-5), x=y)

# Group and instance norm.
g = numbers(2, 6, 3, 2) * 2 + 0.5
for name, groups, eps in [("three", 3, 1e-5), ("one", 1, 1e-2), ("each", 6, 1e-3)]:
    cases.add(
        f"group_norm.{name}",
        lambda x, weight, bias, groups=groups, eps=eps: F.group_norm(x, groups, weight, bias, eps),
        x=g, weight=numbers(6), bias=numbers(6),
    )
cases.add("group_norm.plain", lambda x: F.group_norm(x, 2), x=g)
cases.add("group_norm.flat", lambda x, weight, bias: F.group_norm(x, 2, weight, bias), x=numbers(3, 6), weight=numbers(6), bias=numbers(6))
module("instance_norm.plain", nn.InstanceNorm2d(3), x4)
module("instance_norm.affine", nn.InstanceNorm1d(3, affine=True, eps=1e-2), x3)
module("instance_norm.tracked", nn.InstanceNorm2d(3, affine=True, track_running_stats=True, momentum=0.3), x4)
module("instance_norm.tracked_eval", nn.InstanceNorm2d(3, affine=True, track_running_stats=True).eval(), x4)
module("instance_norm.volume", nn.InstanceNorm3d(3, track_running_stats=True), x5)

# Local response norm and lengths.
l = numbers(2, 7, 3) * 3
cases.add("local_response_norm.odd", lambda x: F.local_response_norm(x, 5, alpha=0.5), x=l)
cases.add("local_response_norm.even", lambda x: F.local_response_norm(x, 4, alpha=1.0, beta=0.5, k=2.0), x=l)
cases.add("local_response_norm.wide", lambda x: F.local_response_norm(x, 9, alpha=2.0, beta=1.5, k=0.5), x=numbers(1, 3, 2, 2))
zeros = numbers(3, 4)
zeros[1] = 0
cases.add("normalize.plain", lambda x: F.normalize(x), x=zeros)
cases.add("normalize.cubes", lambda x: F.normalize(x, p=3.0, dim=0), x=numbers(3, 4))
cases.add("normalize.sums", lambda x: F.normalize(x, p=1.0, dim=2, eps=2.0), x=numbers(2, 3, 4) * 3)
cases.add("normalize.greatest", lambda x: F.normalize(x, p=float("inf"), dim=-1), x=numbers(3, 4))


# Reparametrised weights.
def reparametrised(name, layer, x):
    layer = layer.double()
    for p in layer.parameters():
        p.data = numbers(*p.shape)
    parameters = {k: v.detach().clone() for k, v in layer.named_parameters()}
    before = {k: v.to(torch.float32).double() for k, v in layer.named_buffers()}
    for k, v in layer.named_buffers():
        v.copy_(before[k])

    def run(x, **given):
        held = {k: v.clone() for k, v in before.items()}
        y = torch.func.functional_call(layer, (given, held), (x,))
        return y, before | {f"new.{k}": v for k, v in held.items() if layer.training}

    cases.add(name, run, x=x, **parameters)


torch.manual_seed(1)
spectral, weight = parametrizations.spectral_norm, parametrizations.weight_norm
reparametrised("spectral_norm.linear", spectral(nn.Linear(4, 3)), numbers(2, 4))
reparametrised("spectral_norm.steps", spectral(nn.Conv2d(2, 3, 2), n_power_iterations=3, eps=1e-3), numbers(1, 2, 3, 3))
reparametrised("spectral_norm.eval", spectral(nn.Linear(4, 3)).eval(), numbers(2, 4))
reparametrised("weight_norm.linear", weight(nn.Linear(4, 3)), numbers(2, 4))
reparametrised("weight_norm.conv", weight(nn.Conv2d(2, 3, 2)), numbers(1, 2, 3, 3))
reparametrised("weight_norm.dim", weight(nn.Linear(4, 3), dim=1), numbers(2, 4))

cases.save(out_dir(__doc__), "norms.safetensors")
