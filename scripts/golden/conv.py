"""Convolution and transposed convolution in one to three dimensions: values and gradients, computed by PyTorch in f64.

    python scripts/golden/conv.py crates/nn/tests/golden
"""

import torch.nn.functional as F
from common import Cases, out_dir

cases = Cases()
image = cases.numbers


def add(name, function, x, w, outputs, options):
    cases.add(
        name,
        lambda x, weight, bias: function(x, weight, bias, **options),
        x=image(*x),
        weight=image(*w),
        bias=image(outputs),
    )


for name, function, x, w, options in [
    ("conv1d.plain", F.conv1d, (2, 3, 7), (4, 3, 3), {}),
    ("conv1d.options", F.conv1d, (2, 4, 11), (6, 2, 3), dict(stride=2, padding=2, dilation=3, groups=2)),
    ("conv1d.same", F.conv1d, (2, 2, 6), (3, 2, 4), dict(padding="same", dilation=3)),
    ("conv1d.depthwise", F.conv1d, (2, 3, 8), (6, 1, 3), dict(stride=3, padding=1, groups=3)),
    ("conv2d.options", F.conv2d, (1, 4, 8, 7), (2, 2, 3, 2), dict(stride=(1, 2), padding=(2, 1), dilation=(2, 3), groups=2)),
    ("conv2d.same", F.conv2d, (1, 2, 4, 5), (3, 2, 4, 3), dict(padding="same")),
    ("conv2d.multiplier", F.conv2d, (2, 2, 6, 5), (4, 1, 3, 2), dict(stride=(2, 1), padding=1, dilation=(1, 2), groups=2)),
    ("conv2d.depthwise", F.conv2d, (2, 3, 6, 5), (3, 1, 3, 3), dict(stride=1, padding=1, groups=3)),
    ("conv3d.plain", F.conv3d, (1, 2, 3, 4, 3), (3, 2, 2, 2, 2), {}),
    (
        "conv3d.options",
        F.conv3d,
        (1, 4, 5, 4, 3),
        (2, 2, 2, 3, 2),
        dict(stride=(2, 1, 3), padding=(1, 2, 0), dilation=(2, 1, 2), groups=2),
    ),
    ("conv3d.depthwise", F.conv3d, (1, 2, 3, 4, 3), (2, 1, 2, 3, 2), dict(stride=(1, 2, 1), padding=1, groups=2)),
]:
    add(name, function, x, w, w[0], options)

# TensorFlow's SAME: the odd zero comes after. Padded by hand.
for name, x, w, stride in [
    ("conv2d.tf_same", (1, 2, 5, 8), (3, 2, 2, 4), 3),
    ("conv2d.tf_same_odd", (1, 2, 6, 7), (3, 2, 3, 4), 2),
]:
    extents = [-(-x[2 + d] // stride) for d in range(2)]
    need = [max((extents[d] - 1) * stride + w[2 + d] - x[2 + d], 0) for d in range(2)]
    pad = (need[1] // 2, need[1] - need[1] // 2, need[0] // 2, need[0] - need[0] // 2)
    cases.add(
        name,
        lambda x, weight, bias: F.conv2d(F.pad(x, pad), weight, bias, stride=stride),
        x=image(*x),
        weight=image(*w),
        bias=image(w[0]),
    )

for name, function, x, w, options in [
    ("transpose1d.plain", F.conv_transpose1d, (2, 3, 4), (3, 2, 3), {}),
    (
        "transpose1d.options",
        F.conv_transpose1d,
        (1, 4, 5),
        (4, 3, 3),
        dict(stride=3, padding=2, output_padding=1, dilation=2, groups=2),
    ),
    ("transpose1d.past_the_stride", F.conv_transpose1d, (1, 2, 3), (2, 1, 2), dict(output_padding=2, dilation=3)),
    ("transpose2d.doubling", F.conv_transpose2d, (2, 3, 3, 2), (3, 2, 4, 4), dict(stride=2, padding=1)),
    (
        "transpose2d.options",
        F.conv_transpose2d,
        (1, 4, 3, 2),
        (4, 1, 3, 2),
        dict(stride=(3, 2), padding=(1, 0), output_padding=(2, 1), dilation=(1, 2), groups=2),
    ),
    (
        "transpose2d.depthwise",
        F.conv_transpose2d,
        (1, 3, 3, 4),
        (3, 2, 3, 3),
        dict(stride=2, padding=1, output_padding=1, groups=3),
    ),
    ("transpose3d.plain", F.conv_transpose3d, (1, 2, 2, 1, 2), (2, 2, 2, 2, 2), dict(stride=2)),
    (
        "transpose3d.options",
        F.conv_transpose3d,
        (1, 4, 2, 3, 2),
        (4, 1, 2, 3, 1),
        dict(stride=(2, 1, 2), padding=(0, 1, 0), output_padding=(1, 0, 1), dilation=(1, 2, 1), groups=2),
    ),
    ("transpose3d.groups", F.conv_transpose3d, (1, 2, 2, 2, 2), (2, 1, 2, 1, 2), dict(padding=(1, 0, 0), groups=2)),
]:
    add(name, function, x, w, w[1] * options.get("groups", 1), options)

# Padding with what is inside, as the layers' `padding_mode` does it.
for name, function, x, w, mode, pad, options in [
    ("padded.reflect", F.conv2d, (1, 2, 5, 4), (3, 2, 3, 3), "reflect", (1, 1, 2, 2), dict(stride=2)),
    ("padded.replicate", F.conv1d, (2, 2, 5), (3, 2, 4), "replicate", (3, 3), {}),
    ("padded.circular", F.conv3d, (1, 2, 3, 2, 3), (2, 2, 2, 1, 3), "circular", (1, 1, 0, 0, 2, 2), dict(dilation=(2, 1, 1))),
]:
    cases.add(
        name,
        lambda x, weight, bias: function(F.pad(x, pad, mode=mode), weight, bias, **options),
        x=image(*x),
        weight=image(*w),
        bias=image(w[0]),
    )

cases.save(out_dir(__doc__), "conv.safetensors")
