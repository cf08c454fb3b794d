"""Narrow GANs: for each, one step of the discriminator and then one of the generator, with losses, scores, every gradient, and
every updated parameter and statistic.

    python scripts/golden/gan.py crates/zoo/tests/golden
    python scripts/golden/gan.py --full DIR        # PyTorch's DCGAN example at its own size (150 MB)

Also prints the parameter counts of PyTorch's DCGAN example, which a doc test of the zoo states.
"""

import torch
import torch.nn as nn
import torch.nn.functional as F

from common import arguments, numbers, save
from gan_models import Discriminator, Generator, MnistDiscriminator, MnistGenerator
from step import fill, training_step


def changed(before, results):
    """Without the parameters and statistics that the step leaves alone."""
    same = {f"new.{n}" for n, t in before.items() if f"new.{n}" in results and torch.equal(t, results[f"new.{n}"])}
    return {k: v for k, v in results.items() if k not in same}


def phase(model, part, run):
    """A step that trains one of the two networks."""
    for name, network in model.items():
        network.requires_grad_(name == part)
        network.zero_grad()
    before = {n: t.detach().clone() for n, t in model.state_dict().items()}
    optimizer = torch.optim.SGD(model[part].parameters(), lr=0.1, momentum=0.9)
    return changed(before, training_step(model, run, optimizer))


def both(generator, discriminator, size, latent, losses, penalty, seed, batch=4):
    """The two steps, the generator's on the discriminator that the first one left."""
    model = nn.ModuleDict({"generator": generator, "discriminator": discriminator})
    fill(model, seed)
    images = numbers(batch, 1, size, size, seed=seed + 1)
    share = numbers(batch, seed=seed + 2, lo=0.0)
    judge, please = losses
    z = [numbers(batch, *latent, seed=seed + 3 + i, lo=-1.5, hi=1.5) for i in range(2)]

    def discriminator_step():
        fake = generator(z[0]).detach()
        real_scores, fake_scores = discriminator(images), discriminator(fake)
        loss = judge(real_scores, fake_scores)
        outputs = {"real": real_scores.mean(), "fake": fake_scores.mean()}
        if penalty:
            e = share.view(-1, 1, 1, 1)
            points = (e * images + (1 - e) * fake).requires_grad_()
            (slope,) = torch.autograd.grad(discriminator(points).sum(), points, create_graph=True)
            outputs["penalty"] = ((slope.flatten(1).norm(2, dim=1) - 1) ** 2).mean()
            loss = loss + penalty * outputs["penalty"]
        return outputs | {"loss": loss}

    def generator_step():
        fake = generator(z[1])
        return {"images": fake, "loss": please(discriminator(fake))}

    first = phase(model, "discriminator", discriminator_step)
    second = phase(model, "generator", generator_step)
    return first | {"real": images, "z": z[0], "share": share}, second | {"z": z[1]}


def bce(scores, label):
    return F.binary_cross_entropy_with_logits(scores, torch.full_like(scores, label))


NON_SATURATING = (lambda r, f: bce(r, 1.0) + bce(f, 0.0), lambda f: bce(f, 1.0))
WASSERSTEIN = (lambda r, f: f.mean() - r.mean(), lambda f: -f.mean())


def write(name, out, *args, suffix="", **kwargs):
    for part, tensors in zip(["discriminator", "generator"], both(*args, **kwargs)):
        save(tensors, out, f"{name}_{part}{suffix}.safetensors")


if __name__ == "__main__":
    out, full = arguments(__doc__)
    g, d = Generator(64, 3, 100, 64), Discriminator(64, 3, 64)
    for name, network in [("generator", g), ("discriminator", d)]:
        print(f"DCGAN's {name}: {sum(p.numel() for p in network.parameters())} parameters")
    if full:
        write("dcgan", out, Generator(64, 1, 100, 64), Discriminator(64, 1, 64), 64, [100, 1, 1], NON_SATURATING, None, 2,
              suffix="_full")
    else:
        # Seeds with which PyTorch's own f32 agrees with its f64 to 1e-5.
        write("dcgan", out, Generator(16, 1, 6, 4), Discriminator(16, 1, 4), 16, [6, 1, 1], NON_SATURATING, None, seed=1)
        wgan = Generator(16, 1, 6, 4), Discriminator(16, 1, 4, norm=False)
        write("wgan_gp", out, *wgan, 16, [6, 1, 1], WASSERSTEIN, 10.0, seed=6)
        mnist = MnistGenerator(5, 2), MnistDiscriminator(2)
        write("dcgan_mnist", out, *mnist, 28, [5], NON_SATURATING, None, seed=3, batch=3)
