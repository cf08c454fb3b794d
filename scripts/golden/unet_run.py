"""Runs a U-Net once in evaluation and once in training, and gathers all that can be compared."""

import torch
import torch.nn.functional as F

from step import fill, training_step

IGNORE = 255


def weighted(logits, labels, weights):
    """The paper's energy, as a mean over the pixels."""
    return (F.cross_entropy(logits, labels, reduction="none") * weights).mean()


def combined(logits, labels, _):
    """Cross-entropy and the dice loss of each class over the whole batch, where the label is not IGNORE."""
    counted = (labels != IGNORE).unsqueeze(1)
    p = logits.softmax(1) * counted
    t = F.one_hot(labels.clamp(max=logits.shape[1] - 1), logits.shape[1]).movedim(-1, 1) * counted
    axes = (0, 2, 3)
    dice = 1 - (2 * (p * t).sum(axes) + 1) / (p.sum(axes) + t.sum(axes) + 1)
    return F.cross_entropy(logits, labels, ignore_index=IGNORE) + 0.5 * dice.mean()


def golden(model, loss, shape, seed, ignored=0):
    """The state dict under its own names; `images` (u8; the model gets images / 128 - 1), `labels`, `weights`, `eval.logits`,
    and what a training step gives. `ignored` of the labels are IGNORE."""
    generator = fill(model, seed)
    images = torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
    x = images.double() / 128 - 1
    with torch.no_grad():
        logits = model.eval()(x)
    places = (shape[0], *logits.shape[2:])
    labels = torch.randint(0, logits.shape[1], places, generator=generator, dtype=torch.int32)
    labels.view(-1)[: ignored] = IGNORE
    weights = (torch.rand(places, generator=generator, dtype=torch.float64) * 3 + 0.5).float().double()
    tensors = {"images": images, "labels": labels, "weights": weights, "eval.logits": logits}

    def run():
        logits = model(x)
        return {"logits": logits, "loss": loss(logits, labels.long(), weights)}

    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-2)
    return tensors | training_step(model, run, optimizer)
