"""Pooling and unpooling: values, indices and gradients, computed by PyTorch in f64.

    python scripts/golden/pool.py crates/nn/tests/golden
"""

import torch
import torch.nn.functional as F
from common import Cases, out_dir

cases = Cases()
image = cases.numbers


def ties(*shape):
    """Rounded, so that a window has equal values: the gradient goes to the first. Negative, so that zeros would win."""
    return (image(*shape) * 4).round() / 4 - 2.0


def with_indices(function, x, k, **options):
    y, at = function(x, k, return_indices=True, **options)
    return y, {"indices": at.to(torch.int32)}


for name, function, x, k, options in [
    ("max1d", F.max_pool1d, (2, 2, 11), 3, dict(stride=2, padding=1, dilation=2, ceil_mode=True)),
    ("max1d.ceil", F.max_pool1d, (2, 2, 5), 2, dict(stride=3, padding=1, ceil_mode=True)),
    ("max2d", F.max_pool2d, (2, 2, 7, 8), (3, 2), dict(stride=(2, 3), padding=(1, 0), ceil_mode=True)),
    ("max2d.dilated", F.max_pool2d, (1, 2, 7, 8), 3, dict(stride=2, padding=1, dilation=(2, 1), ceil_mode=True)),
    ("max2d.floor", F.max_pool2d, (1, 2, 6, 6), 3, dict(stride=2, padding=1)),
    ("max3d", F.max_pool3d, (1, 2, 4, 5, 3), 2, dict(stride=(2, 1, 2), padding=(1, 0, 1), ceil_mode=True)),
    ("max3d.dilated", F.max_pool3d, (1, 1, 5, 4, 6), (2, 3, 2), dict(stride=2, padding=(0, 1, 1), dilation=(3, 1, 2))),
    ("max3d.plain", F.max_pool3d, (2, 1, 4, 4, 3), (2, 2, 3), {}),
]:
    cases.add(name, lambda x: with_indices(function, x, k, **options), x=ties(*x))

for name, function, x, k, options in [
    ("avg1d", F.avg_pool1d, (2, 2, 10), 3, dict(stride=2, padding=1, ceil_mode=True)),
    ("avg1d.not_counted", F.avg_pool1d, (2, 2, 10), 4, dict(stride=3, padding=2, ceil_mode=True, count_include_pad=False)),
    ("avg1d.floor", F.avg_pool1d, (1, 2, 7), 2, dict(padding=1, stride=1)),
    ("avg2d", F.avg_pool2d, (1, 2, 7, 8), (3, 2), dict(stride=(2, 3), padding=(1, 1), ceil_mode=True)),
    ("avg2d.not_counted", F.avg_pool2d, (1, 2, 6, 8), 3, dict(stride=2, padding=1, ceil_mode=True, count_include_pad=False)),
    ("avg2d.divisor", F.avg_pool2d, (1, 2, 6, 8), 3, dict(stride=2, padding=1, ceil_mode=True, divisor_override=5)),
    ("avg3d", F.avg_pool3d, (1, 2, 4, 5, 3), 2, dict(stride=(2, 1, 2), padding=(1, 0, 1), ceil_mode=True)),
    ("avg3d.not_counted", F.avg_pool3d, (1, 1, 4, 5, 6), (2, 3, 2), dict(stride=2, padding=1, count_include_pad=False)),
    ("avg3d.divisor", F.avg_pool3d, (1, 1, 4, 5, 6), 3, dict(stride=2, padding=1, divisor_override=4)),
]:
    cases.add(name, lambda x: function(x, k, **options), x=image(*x))

for name, function, x, p, k, options in [
    ("lp1d", F.lp_pool1d, (2, 2, 8), 3.0, 3, dict(stride=2, ceil_mode=True)),
    ("lp1d.sum", F.lp_pool1d, (2, 2, 8), 1.0, 2, {}),
    ("lp2d", F.lp_pool2d, (1, 2, 6, 7), 2.0, (2, 3), dict(stride=(2, 3), ceil_mode=True)),
    ("lp2d.real", F.lp_pool2d, (1, 2, 6, 7), 1.5, 3, dict(stride=1)),
    ("lp3d", F.lp_pool3d, (1, 1, 4, 3, 5), 2.5, 2, dict(ceil_mode=True)),
]:
    cases.add(name, lambda x: function(x, p, k, **options), x=image(*x).abs() + 0.1)

cases.add("global_max", lambda x: F.adaptive_max_pool2d(x, 1).flatten(1), x=ties(2, 3, 4, 5))
cases.add("global_avg", lambda x: F.adaptive_avg_pool3d(x, 1).flatten(1), x=image(2, 3, 2, 3, 2))

# Adaptive pooling: extents that do not divide, and fewer elements than bins.
for name, dims, x, sizes in [
    ("1d", 1, (2, 2, 10), (4,)),
    ("2d", 2, (2, 2, 7, 5), (3, 2)),
    ("2d.grows", 2, (1, 2, 3, 4), (5, 3)),
    ("2d.divides", 2, (1, 2, 6, 4), (3, 2)),
    ("3d", 3, (1, 2, 5, 4, 3), (2, 3, 2)),
]:
    average = getattr(F, f"adaptive_avg_pool{dims}d")
    greatest = getattr(F, f"adaptive_max_pool{dims}d")
    cases.add(f"adaptive_avg.{name}", lambda x: average(x, sizes), x=image(*x))
    cases.add(f"adaptive_max.{name}", lambda x: with_indices(greatest, x, sizes), x=ties(*x))

# Spatial pyramid pooling (He et al., 2014): adaptive pools of several sizes, joined.
for name, pool in [("max", F.adaptive_max_pool2d), ("avg", F.adaptive_avg_pool2d)]:
    cases.add(
        f"pyramid.{name}",
        lambda x: torch.cat([pool(x, n).flatten(1) for n in (1, 2, 4)], 1),
        x=image(2, 2, 7, 5),
    )


def unpool(function, x, at, *args, **options):
    return function(x, at.long(), *args, **options)


for name, function, pool, x, k, options in [
    ("1d", F.max_unpool1d, F.max_pool1d, (2, 2, 9), 2, dict(output_size=(9,))),
    ("2d", F.max_unpool2d, F.max_pool2d, (2, 2, 5, 7), 2, dict(output_size=(5, 7))),
    ("2d.apart", F.max_unpool2d, F.max_pool2d, (1, 2, 5, 8), (2, 3), dict(output_size=(5, 8))),
    ("3d", F.max_unpool3d, F.max_pool3d, (1, 2, 4, 3, 4), (2, 3, 2), dict(output_size=(4, 3, 4))),
]:
    _, at = pool(image(*x), k, return_indices=True)
    cases.add(f"unpool.{name}", lambda x, at: unpool(function, x, at, k, **options), x=image(*at.shape), at=at.to(torch.int32))

cases.save(out_dir(__doc__), "pool.safetensors")
