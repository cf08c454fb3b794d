"""Values and gradients of operations whose conventions matter, computed by PyTorch in f64.

    python scripts/golden/ops.py crates/nn/tests/golden

For each case: the inputs, the output `y`, the gradient of sum(y * r) for each float input `i` as `grad.i`, and where there
are running statistics, their new values as `new.running_mean` and `new.running_var`.
"""

import torch
import torch.nn.functional as F
from common import numbers, out_dir, save

tensors = {}
seed = 0


def case(name, function, inputs, **others):
    """Runs `function` on `inputs` (dict of tensors), and stores everything under `name`."""
    global seed
    seed += 1
    leaves = {k: v.clone().requires_grad_(v.dtype == torch.float64) for k, v in inputs.items()}
    y = function(**leaves, **others)
    r = numbers(*y.shape, seed=1000 + seed)
    (y * r).sum().backward()
    store = {**inputs, "y": y, "r": r, **{f"grad.{k}": v.grad for k, v in leaves.items() if v.grad is not None}}
    tensors.update({f"{name}.{k}": v for k, v in store.items()})


def image(*shape):
    global seed
    seed += 1
    return numbers(*shape, seed=seed)


# Convolution: (input, weight, options)
for name, x, w, options in [
    ("plain", (2, 3, 5, 6), (4, 3, 3, 3), {}),
    ("padded", (2, 3, 5, 6), (4, 3, 3, 3), dict(padding=1)),
    ("strided", (1, 2, 7, 8), (3, 2, 3, 2), dict(stride=2, padding=1)),
    ("uneven", (1, 2, 8, 7), (3, 2, 3, 2), dict(stride=(1, 2), padding=(2, 1), dilation=(2, 3))),
    ("grouped", (2, 4, 5, 5), (6, 2, 3, 3), dict(padding=1, groups=2)),
    ("depthwise", (1, 3, 6, 6), (3, 1, 3, 3), dict(stride=2, padding=1, groups=3)),
    ("pointwise", (1, 3, 7, 7), (2, 3, 1, 1), dict(stride=2)),
]:
    case(
        f"conv.{name}",
        lambda x, weight, bias, options=options: F.conv2d(x, weight, bias, **options),
        dict(x=image(*x), weight=image(*w), bias=image(w[0])),
    )

# Pooling. Rounded inputs, so that a window has equal values: the gradient goes to the first.
ties = (image(2, 3, 7, 8) * 4).round() / 4
case("max_pool.side_by_side", lambda x: F.max_pool2d(x, 2), dict(x=image(2, 3, 7, 8)))
case("max_pool.padded", lambda x: F.max_pool2d(x, 3, stride=2, padding=1), dict(x=ties - 2.0))
case("max_pool.uneven", lambda x: F.max_pool2d(x, (3, 2), stride=(1, 2), padding=(1, 0), dilation=(2, 3)), dict(x=ties))
case("avg_pool.side_by_side", lambda x: F.avg_pool2d(x, 2), dict(x=image(2, 3, 7, 8)))
case("avg_pool.padded", lambda x: F.avg_pool2d(x, 3, stride=2, padding=1), dict(x=image(2, 3, 7, 8)))
case(
    "avg_pool.not_counted",
    lambda x: F.avg_pool2d(x, 3, stride=2, padding=1, count_include_pad=False),
    dict(x=image(2, 3, 7, 8)),
)
case("avg_pool.global", lambda x: F.adaptive_avg_pool2d(x, 1).flatten(1), dict(x=image(2, 3, 4, 5)))

# Batch norm.
mean, var = image(3), image(3).abs() + 0.5
weight, bias = image(3) + 1.5, image(3)
statistics = {}


def reset(name):
    """Running statistics that batch norm changes in place, for the case `name`."""
    statistics.update(mean=mean.clone(), var=var.clone())
    tensors[f"{name}.running_mean"], tensors[f"{name}.running_var"] = mean, var


def norm(x, weight, bias, training):
    return F.batch_norm(x, statistics["mean"], statistics["var"], weight, bias, training, momentum=0.1, eps=1e-5)


def keep(name):
    tensors[f"{name}.new.running_mean"], tensors[f"{name}.new.running_var"] = statistics["mean"], statistics["var"]


reset("batch_norm.train")
case("batch_norm.train", norm, dict(x=image(2, 3, 2, 3) * 3 + 1, weight=weight, bias=bias), training=True)
keep("batch_norm.train")
reset("batch_norm.eval")
case("batch_norm.eval", norm, dict(x=image(2, 3, 2, 3) * 3 + 1, weight=weight, bias=bias), training=False)
# Twice over one layer: the second use goes on from what the first left.
reset("batch_norm.twice")
case(
    "batch_norm.twice",
    lambda x, z, weight, bias: norm(x, weight, bias, True) + norm(z, weight, bias, True),
    dict(x=image(2, 3, 2, 3), z=image(2, 3, 2, 3) + 2, weight=weight, bias=bias),
)
keep("batch_norm.twice")

# Cross-entropy.
labels = torch.tensor([1, 0, 3, 2, 3, 1], dtype=torch.int32)
grid = torch.tensor([[[1, 0], [2, 2]], [[0, 1], [1, 2]]], dtype=torch.int32)


def cross_entropy(x, t, **options):
    return F.cross_entropy(x, t.long() if t.dtype == torch.int32 else t, **options)


case("cross_entropy.plain", cross_entropy, dict(x=image(6, 4) * 5, t=labels))
case("cross_entropy.large", cross_entropy, dict(x=image(6, 4) * 500, t=labels))
case("cross_entropy.smoothed", cross_entropy, dict(x=image(6, 4) * 5, t=labels), label_smoothing=0.1)
case("cross_entropy.ignored", cross_entropy, dict(x=image(6, 4) * 5, t=labels), ignore_index=3)
case("cross_entropy.both", cross_entropy, dict(x=image(6, 4), t=labels), ignore_index=3, label_smoothing=0.2)
case("cross_entropy.grid", cross_entropy, dict(x=image(2, 3, 2, 2) * 3, t=grid), ignore_index=2)
case("cross_entropy.soft", cross_entropy, dict(x=image(6, 4) * 3, t=(image(6, 4) * 2).softmax(1)), label_smoothing=0.1)

# Linear and losses.
case("linear", lambda x, weight, bias: F.linear(x, weight, bias), dict(x=image(2, 3, 4), weight=image(5, 4), bias=image(5)))
case("mse", lambda x, t: F.mse_loss(x, t), dict(x=image(3, 4), t=image(3, 4)))
case("l1", lambda x, t: F.l1_loss(x, t), dict(x=image(3, 4), t=image(3, 4)))

save(tensors, out_dir(__doc__), "ops.safetensors")
