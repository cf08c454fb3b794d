"""Runs a model once in evaluation and once in training, and gathers all that can be compared."""

import torch
import torch.nn.functional as F


def golden(model, channels, size, batch, seed):
    """The state dict under its own names; `images` (u8; the model gets images / 128 - 1), `labels`, `eval.logits`, and
    `train.logits`, `train.loss`, `grad.<parameter>`, `new.<buffer>` of a training step."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        # Norms and statistics as after some training, so that nothing is 0 or 1 by chance. Biases are mostly positive: with
        # many dead channels the gradients of so narrow a network would cancel to a few digits, in PyTorch too.
        for name, t in model.state_dict().items():
            if t.is_floating_point() and t.dim() == 1:
                t.uniform_(-0.2, 0.6, generator=generator)
                if name.endswith(("running_var", "weight")):
                    t.add_(0.7)
            elif t.is_floating_point():
                t.normal_(0, (2.0 / t[0].numel()) ** 0.5, generator=generator)
    model.double()  # exact in f32, computed in f64
    for m in model.modules():
        if isinstance(m, torch.nn.BatchNorm2d):
            # As f32 has it: the gradients of some of these networks feel the 8th digit.
            m.eps = torch.tensor(m.eps, dtype=torch.float32).item()
    images = torch.randint(0, 256, (batch, channels, size, size), generator=generator, dtype=torch.uint8)
    labels = torch.randint(0, 10, (batch,), generator=generator, dtype=torch.int32)
    tensors = {k: v.clone() for k, v in model.state_dict().items()}
    tensors.update(images=images, labels=labels)

    x = images.double() / 128 - 1
    with torch.no_grad():
        tensors["eval.logits"] = model.eval()(x)
    logits = model.train()(x)
    loss = F.cross_entropy(logits, labels.long())
    loss.backward()
    tensors.update({"train.logits": logits, "train.loss": loss})
    tensors.update({f"grad.{k}": p.grad for k, p in model.named_parameters()})
    tensors.update({f"new.{k}": b for k, b in model.named_buffers() if b.is_floating_point()})
    return tensors
