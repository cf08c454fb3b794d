"""Values and gradients of operations on shapes, computed by PyTorch in f64. crates/nn/tests/golden_shapes.rs has the same
cases.

    python scripts/golden/shapes.py crates/nn/tests/golden
"""

import torch
import torch.nn.functional as F
from common import Cases, out_dir

cases = Cases()
matrix, cube = cases.numbers(4, 5), cases.numbers(2, 3, 4)
image, channels = cases.numbers(1, 2, 4, 6), cases.numbers(1, 8, 2, 3)


def options(name, function, x, *values):
    for i, option in enumerate(values):
        cases.add(f"{name}.{i}", lambda x: function(x, **option), x=x)


def parts(list):
    """Parts used apart."""
    return torch.stack([(p * (i + 0.5)).sin().sum() for i, p in enumerate(list)])


options("flip", torch.flip, cube, dict(dims=[0]), dict(dims=[1, -1]), dict(dims=[0, 1, 2]))
options("roll", torch.roll, matrix, dict(shifts=2, dims=0), dict(shifts=-1, dims=1), dict(shifts=13, dims=-1))
options("repeat", lambda x, repeats: x.repeat(repeats), cube[0], dict(repeats=(2, 3)), dict(repeats=(3, 1, 2)), dict(repeats=(1, 4)))
options("tile", torch.tile, matrix, dict(dims=(2,)))
options("repeat_interleave", torch.repeat_interleave, cube, dict(repeats=2, dim=0), dict(repeats=3, dim=1), dict(repeats=2, dim=-1))
for mode in ["reflect", "replicate", "circular"]:
    options(f"pad.{mode}", lambda x, pad: F.pad(x, pad, mode=mode), image, dict(pad=(1, 2, 2, 0)), dict(pad=(3, 3, 1, 3)), dict(pad=(0, 1, 0, 0)))
options("pad.constant", F.pad, image, dict(pad=(1, 2)), dict(pad=(-1, 2, 1, -2), value=0.5), dict(pad=(0, 0, 1, 1, -1, 0), value=-2.0))
options("split", lambda x, n, dim: parts(x.split(n, dim)), matrix, dict(n=2, dim=0), dict(n=2, dim=1), dict(n=[1, 3, 1], dim=-1))
options("chunk", lambda x, n, dim: parts(x.chunk(n, dim)), matrix, dict(n=3, dim=0), dict(n=4, dim=1), dict(n=2, dim=-1))
options("stack", lambda x, dim: torch.stack([x, x.exp(), x.square()], dim), matrix, dict(dim=0), dict(dim=1), dict(dim=-1))
options("movedim", torch.movedim, image, dict(source=0, destination=-1), dict(source=-1, destination=1), dict(source=1, destination=2))
options("unbind", lambda x, dim: parts(x.unbind(dim)), cube, dict(dim=0), dict(dim=1), dict(dim=-1))
options(
    "unfold",
    F.unfold,
    image,
    dict(kernel_size=(2, 3)),
    dict(kernel_size=3, padding=1, stride=2),
    dict(kernel_size=(3, 2), dilation=(1, 2), padding=(0, 1), stride=(1, 3)),
)
for i, option in enumerate([
    dict(kernel_size=(2, 3)),
    dict(kernel_size=3, padding=1, stride=2),
    dict(kernel_size=(3, 2), dilation=(1, 2), padding=(0, 1), stride=(1, 3)),
]):
    columns = F.unfold(image, **option)
    cases.add(f"fold.{i}", lambda x: F.fold(x, (4, 6), **option), x=cases.numbers(*columns.shape))
options("pixel_shuffle", F.pixel_shuffle, channels, dict(upscale_factor=2), dict(upscale_factor=1))
cases.add("pixel_shuffle.2", lambda x: F.pixel_shuffle(x, 3), x=cases.numbers(2, 9, 1, 2))
options("pixel_unshuffle", F.pixel_unshuffle, image, dict(downscale_factor=2), dict(downscale_factor=1))
cases.add("pixel_unshuffle.2", lambda x: F.pixel_unshuffle(x, 3), x=cases.numbers(1, 2, 3, 6))
options("channel_shuffle", lambda x, groups: F.channel_shuffle(x, groups), channels, dict(groups=2), dict(groups=4), dict(groups=8))
options(
    "diagonal",
    torch.diagonal,
    cube,
    dict(offset=0, dim1=0, dim2=1),
    dict(offset=1, dim1=-2, dim2=-1),
    dict(offset=-1, dim1=2, dim2=0),
)
options("diag_embed", torch.diag_embed, cube[0], dict(), dict(offset=1), dict(offset=-2))
options("tril", torch.tril, cube, dict(), dict(diagonal=1), dict(diagonal=-1))
options("triu", torch.triu, cube, dict(), dict(diagonal=2), dict(diagonal=-1))
options("narrow", torch.narrow, cube, dict(dim=0, start=1, length=1), dict(dim=-1, start=1, length=3), dict(dim=1, start=0, length=2))
options("slice", lambda x, by: x[:, by], matrix, dict(by=slice(1, 5, 2)), dict(by=slice(0, 4, 3)), dict(by=slice(2, 3, 1)))

cases.save(out_dir(__doc__), "shapes.safetensors")
