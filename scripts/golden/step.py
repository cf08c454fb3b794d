"""One training step of a model, with all that crates/zoo/tests/step compares."""

import torch


def fill(model, seed):
    """Parameters and statistics as after some training, so that nothing is 0 or 1 by chance. Biases are mostly positive: with
    many dead channels the gradients of a narrow network would cancel to a few digits, in PyTorch too."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, t in model.state_dict().items():
            if t.is_floating_point() and t.dim() == 1:
                t.uniform_(-0.2, 0.6, generator=generator)
                if name.endswith(("running_var", "weight")):
                    t.add_(0.7)
            elif t.is_floating_point():
                t.normal_(0, (2.0 / t[0].numel()) ** 0.5, generator=generator)
    model.double()  # exact in f32, computed in f64
    for m in model.modules():
        if isinstance(getattr(m, "eps", None), float):
            # As f32 has it: the gradients of some networks feel the 8th digit.
            m.eps = torch.tensor(m.eps, dtype=torch.float32).item()
    return generator


def tensors_of(model):
    """Parameters, and buffers that hold numbers, by name."""
    named = list(model.named_parameters()) + list(model.named_buffers())
    return {name: t for name, t in named if t.is_floating_point()}


def training_step(model, run, optimizer):
    """`run()` gives the step's outputs by name, one of them `loss`. Gives the state before (by its own names), `train.<output>`,
    `grad.<parameter>`, and `new.<name>` for parameters and buffers."""
    before = {name: t.detach().clone() for name, t in tensors_of(model).items()}
    model.train()
    outputs = run()
    optimizer.zero_grad()
    outputs["loss"].backward()
    results = {f"train.{name}": value.detach().clone() for name, value in outputs.items()}
    results |= {f"grad.{name}": p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    optimizer.step()
    results |= {f"new.{name}": t.detach().clone() for name, t in tensors_of(model).items()}
    return before | results


def agrees(exact, single, tolerance=1e-5):
    """Asserts that f32 gives what f64 does, so that others can be held to 1e-4: with another seed it may not."""
    for name, value in exact.items():
        off = (value.double() - single[name].double()).abs().max() / value.double().abs().max().clamp(min=1e-30)
        assert off <= tolerance, f"{name} is off by {off:.1e} in f32: choose another seed"
