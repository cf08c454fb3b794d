"""YOLOv3 at its full size, and darknet's loss in whole tensors (that of scripts/golden goes object by object)."""

import torch
import torch.nn.functional as F
from yolo_models import Yolo, backbone_and_heads

CLASSES = 80
ANCHORS = [[10, 13], [16, 30], [33, 23], [30, 61], [62, 45], [59, 119], [116, 90], [156, 198], [373, 326]]
IGNORE = 0.7


def network():
    return Yolo(backbone_and_heads(32, CLASSES, (1, 2, 8, 8, 4)), ANCHORS, CLASSES)


def assign(grids, boxes, size):
    """For each object its box among all, the targets of x, y, width and height, and whether no later object has the same box."""
    anchors = torch.tensor(ANCHORS, dtype=boxes.dtype)
    sides = boxes[..., 2:] * size
    shared = torch.minimum(sides[:, :, None], anchors).prod(-1)
    best = (shared / (sides.prod(-1)[:, :, None] + anchors.prod(-1) - shared)).argmax(-1)
    # Of each anchor: the first box of its place in its grid, and the grid's rows and columns.
    table = [None] * len(ANCHORS)
    for start, rows, columns, mask in grids:
        for place, anchor in enumerate(mask):
            table[anchor] = (start + place * rows * columns, rows, columns)
    first, rows, columns = torch.tensor(table)[best].unbind(-1)
    at = torch.stack([boxes[..., 0] * columns, boxes[..., 1] * rows], -1)
    cell = at.floor().long()
    index = first + cell[..., 1] * columns + cell[..., 0]
    later = torch.ones(index.shape[1], index.shape[1], dtype=torch.bool).triu(1)
    kept = ~((index[:, :, None] == index[:, None]) & later).any(-1)
    return index, at - cell, (sides / anchors[best]).log(), kept


def loss(model, output, boxes, classes):
    raw, decoded, grids = output
    raw, decoded = raw.float(), decoded.detach().float()
    size = grids[0][1] * 32
    with torch.no_grad():
        index, place, sides, kept = assign(grids, boxes, size)
        # The greatest overlap of each predicted box with an object.
        a, b = decoded[:, :, None, :4], boxes[:, None] * size
        low = torch.maximum(a[..., :2] - a[..., 2:] / 2, b[..., :2] - b[..., 2:] / 2)
        high = torch.minimum(a[..., :2] + a[..., 2:] / 2, b[..., :2] + b[..., 2:] / 2)
        shared = (high - low).clamp(min=0).prod(-1)
        near = (shared / (a[..., 2:].prod(-1) + b[..., 2:].prod(-1) - shared)).amax(-1) > IGNORE
        owned = torch.zeros(raw.shape[:2]).scatter_(1, index, 1.0)

    rows = raw.gather(1, index[..., None].expand(-1, -1, raw.shape[2]))
    bce = F.binary_cross_entropy_with_logits
    weight = kept * (2 - boxes[..., 2] * boxes[..., 3])
    at = bce(rows[..., :2], place, reduction="none").sum(-1)
    shape = 0.5 * ((rows[..., 2:4] - sides) ** 2).sum(-1)
    kind = bce(rows[..., 5:], F.one_hot(classes, CLASSES).float(), reduction="none").sum(-1)
    object_ = bce(raw[..., 4], owned, reduction="none") * torch.where(near, owned, 1.0)
    return ((weight * (at + shape)).sum() + (kept * kind).sum() + object_.sum()) / len(raw)
