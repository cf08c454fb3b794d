"""Runs a classifier once in evaluation and once in training, and gathers all that can be compared."""

import torch
import torch.nn.functional as F

from step import fill, training_step


def golden(model, channels, size, batch, seed):
    """The state dict under its own names; `images` (u8; the model gets images / 128 - 1), `labels`, `eval.logits`, and what a
    training step gives."""
    generator = fill(model, seed)
    images = torch.randint(0, 256, (batch, channels, size, size), generator=generator, dtype=torch.uint8)
    labels = torch.randint(0, 10, (batch,), generator=generator, dtype=torch.int32)
    x = images.double() / 128 - 1
    with torch.no_grad():
        tensors = {"images": images, "labels": labels, "eval.logits": model.eval()(x)}

    def run():
        logits = model(x)
        return {"logits": logits, "loss": F.cross_entropy(logits, labels.long())}

    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-2)
    return tensors | training_step(model, run, optimizer)
