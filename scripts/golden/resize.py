"""Resizing, sampling at points, affine grids and pooling of regions: values and gradients in f64.

    python scripts/golden/resize.py crates/nn/tests/golden

Pooling of regions is torchvision's.
"""

import torch
import torch.nn.functional as F
from common import Cases, out_dir
from torchvision.ops import roi_align, roi_pool

cases = Cases()
image = cases.numbers


def interpolate(name, x, **options):
    cases.add(f"interpolate.{name}", lambda x: F.interpolate(x, **options), x=image(*x))


for mode, key in [("nearest", "nearest"), ("nearest-exact", "exact")]:
    interpolate(f"{key}.1d", (2, 2, 7), size=10, mode=mode)
    interpolate(f"{key}.2d", (1, 2, 5, 8), size=(7, 3), mode=mode)
    interpolate(f"{key}.factor", (1, 2, 5, 6), scale_factor=(1.5, 0.75), mode=mode)
    interpolate(f"{key}.3d", (1, 1, 3, 4, 5), size=(4, 2, 10), mode=mode)
    interpolate(f"{key}.whole", (1, 2, 3, 4), scale_factor=(2, 3), mode=mode)
for aligned in (False, True):
    key = "aligned" if aligned else "edges"
    options = dict(align_corners=aligned)
    interpolate(f"linear.{key}", (2, 2, 7), size=10, mode="linear", **options)
    interpolate(f"bilinear.{key}", (1, 2, 5, 8), size=(7, 3), mode="bilinear", **options)
    interpolate(f"bilinear.{key}.factor", (1, 2, 5, 6), scale_factor=(1.5, 0.7), mode="bilinear", **options)
    interpolate(f"bilinear.{key}.one", (1, 2, 1, 6), size=(3, 1), mode="bilinear", **options)
    interpolate(f"bilinear.{key}.doubled", (1, 1, 3, 4), scale_factor=2, mode="bilinear", **options)
    interpolate(f"trilinear.{key}", (1, 1, 3, 4, 5), size=(5, 2, 7), mode="trilinear", **options)
    interpolate(f"bicubic.{key}", (1, 2, 5, 8), size=(7, 3), mode="bicubic", **options)
    interpolate(f"bicubic.{key}.factor", (1, 1, 4, 3), scale_factor=(1.5, 3.0), mode="bicubic", **options)
    interpolate(f"bicubic.{key}.one", (1, 2, 2, 6), size=(5, 1), mode="bicubic", **options)
interpolate("area", (1, 2, 5, 8), size=(3, 4), mode="area")
interpolate("area.1d", (2, 2, 7), size=3, mode="area")
interpolate("area.3d", (1, 1, 4, 3, 5), size=(3, 3, 2), mode="area")

for mode in ("bilinear", "nearest"):
    for padding in ("zeros", "border", "reflection"):
        for aligned in (False, True):
            cases.add(
                f"grid_sample.{mode}.{padding}.{'aligned' if aligned else 'edges'}",
                lambda x, grid: F.grid_sample(x, grid, mode, padding, aligned),
                x=image(2, 2, 4, 5),
                grid=image(2, 3, 4, 2, lo=-1.8, hi=1.8),
            )
for padding, aligned in [("zeros", False), ("border", True), ("reflection", False)]:
    cases.add(
        f"grid_sample.3d.{padding}",
        lambda x, grid: F.grid_sample(x, grid, "bilinear", padding, aligned),
        x=image(1, 2, 3, 2, 4),
        grid=image(1, 2, 3, 2, 3, lo=-1.5, hi=1.5),
    )

for name, theta, size, aligned in [
    ("2d", (2, 2, 3), (2, 1, 3, 4), False),
    ("2d.aligned", (2, 2, 3), (2, 1, 4, 3), True),
    ("2d.one", (1, 2, 3), (1, 1, 1, 4), True),
    ("3d", (2, 3, 4), (2, 1, 2, 3, 2), False),
    ("3d.aligned", (1, 3, 4), (1, 1, 2, 3, 2), True),
]:
    cases.add(f"affine_grid.{name}", lambda theta: F.affine_grid(theta, size, align_corners=aligned), theta=image(*theta))


def regions(*rows):
    return torch.tensor(rows, dtype=torch.float32)


inside = regions((0, 1, 3, 5, 7), (1, 0, 0, 6, 9), (0, 2.3, 1.6, 4.4, 2.1), (1, 3, 3, 3, 3))
over = regions((1, -2.5, -1.4, 3.2, 4.7), (0, 4.6, 7.2, 9.9, 12.3), (0, 20, 20, 22, 24), (1, 5, 6, 2, 3))
fine = torch.cat([inside, over]) * torch.tensor([1, 4, 4, 4, 4])
for name, rois, size, scale in [
    ("inside", inside, (2, 2), 1.0),
    ("over", over, (3, 2), 1.0),
    ("scaled", fine, (2, 3), 0.25),
    ("one", inside, (1, 1), 0.9),
]:
    cases.add(f"roi_pool.{name}", lambda x, rois: roi_pool(x, rois.double(), size, scale), x=image(2, 2, 10, 7), rois=rois)
for name, rois, size, scale, ratio, aligned in [
    ("inside", inside, (2, 2), 1.0, 2, True),
    ("over", over[:3], (3, 2), 1.0, 2, False),
    ("scaled", fine[:6], (2, 3), 0.25, 3, True),
    ("by_size", inside, (2, 2), 0.9, -1, True),
    ("by_size_unaligned", inside, (3, 2), 1.1, -1, False),
]:
    cases.add(
        f"roi_align.{name}",
        lambda x, rois: roi_align(x, rois.double(), size, scale, ratio, aligned),
        x=image(2, 2, 10, 7),
        rois=rois,
    )

cases.save(out_dir(__doc__), "resize.safetensors")
