"""Values and gradients of losses, computed by PyTorch in f64.

    python scripts/golden/losses.py crates/nn/tests/golden

Focal losses are written out as their papers and torchvision have them.
"""

import torch
import torch.nn.functional as F
from common import Cases, out_dir

cases = Cases()
numbers = cases.numbers


def two(name, function, x, t, **more):
    cases.add(name, function, x=x, t=t, **more)


def grid():
    return numbers(3, 4) * 2, numbers(3, 4) * 2


reductions = ["mean", "sum", "none"]

# Regression, one case for each reduction.
for name, function, options in [
    ("mse", F.mse_loss, {}),
    ("l1", F.l1_loss, {}),
    ("huber", F.huber_loss, dict(delta=0.7)),
    ("smooth_l1", F.smooth_l1_loss, dict(beta=0.4)),
    ("soft_margin", lambda x, t, **o: F.soft_margin_loss(x, t.detach().sign(), **o), {}),
    ("hinge_embedding", lambda x, t, **o: F.hinge_embedding_loss(x, t.detach().sign(), **o), dict(margin=0.8)),
]:
    for reduction in reductions:
        x, t = grid()
        two(f"{name}.{reduction}", lambda x, t, f=function, o=options, r=reduction: f(x, t, reduction=r, **o), x, t)
x, t = grid()
two("smooth_l1.beta0", lambda x, t: F.smooth_l1_loss(x, t, beta=0.0), x, t)
for name, options in [
    ("plain", dict()),
    ("rate", dict(log_input=False, eps=1e-3, reduction="sum")),
    ("full", dict(full=True, reduction="none")),
]:
    two(f"poisson_nll.{name}", lambda x, t, o=options: F.poisson_nll_loss(x, t, **o), numbers(3, 4) + 1.2, (numbers(3, 4) + 1.1) * 2)
for name, shape, options in [
    ("plain", (3, 4), dict()),
    ("shared", (3, 1), dict(full=True, reduction="sum")),
    ("rows", (3,), dict(full=True, reduction="none", eps=0.4)),
]:
    x, t = grid()
    two(f"gaussian_nll.{name}", lambda x, t, v, o=options: F.gaussian_nll_loss(x, t, v, **o), x, t, v=numbers(*shape) * 0.5 + 0.7)

# Yes or no.
p, t = numbers(3, 4, lo=0.02, hi=0.98), numbers(3, 4, lo=0.0, hi=1.0)
edge = p.clone()
edge[0, 0], edge[1, 1] = 0.0, 1.0
hard = (t > 0.5).double()
two("bce.plain", lambda x, t: F.binary_cross_entropy(x, t), p, t)
two("bce.edge", lambda x, t: F.binary_cross_entropy(x, t, reduction="none"), edge, edge)
two("bce.weighted", lambda x, t, w: F.binary_cross_entropy(x, t, w.detach(), reduction="sum"), p, hard, w=numbers(4) + 1.5)
z = numbers(3, 4) * 5
two("bce_with_logits.plain", lambda x, t: F.binary_cross_entropy_with_logits(x, t), z, t)
two("bce_with_logits.large", lambda x, t: F.binary_cross_entropy_with_logits(x, t, reduction="none"), z * 2000, hard)
two(
    "bce_with_logits.weighted",
    lambda x, t, w, v: F.binary_cross_entropy_with_logits(x, t, w.detach(), pos_weight=v.detach(), reduction="sum"),
    z, t, w=numbers(3, 1) + 1.5, v=numbers(4) + 2,
)


def sigmoid_focal(x, t, alpha, gamma, reduction):
    p = x.sigmoid()
    ce = F.binary_cross_entropy_with_logits(x, t, reduction="none")
    loss = ce * (1 - (p * t + (1 - p) * (1 - t))) ** gamma
    if alpha is not None:
        loss = (alpha * t + (1 - alpha) * (1 - t)) * loss
    return loss if reduction == "none" else getattr(loss, reduction)()


for name, options in [("plain", (0.25, 2.0, "mean")), ("no_alpha", (None, 1.0, "sum")), ("half", (0.7, 0.5, "none"))]:
    two(f"sigmoid_focal.{name}", lambda x, t, o=options: sigmoid_focal(x, t, *o), z, t)

# Classes.
labels = torch.tensor([1, 0, 3, 2, 3, 1], dtype=torch.int32)
places = torch.tensor([[[1, 0], [2, 2]], [[0, 1], [1, 2]]], dtype=torch.int32)


def by_class(function, **options):
    def run(x, t, **weight):
        return function(x, t.long() if t.dtype == torch.int32 else t, **{k: v.detach() for k, v in weight.items()}, **options)

    return run


def weights(n):
    return numbers(n) + 1.5


for function, name in [(F.cross_entropy, "cross_entropy"), (lambda x, *a, **o: F.nll_loss(x.log_softmax(1), *a, **o), "nll_loss")]:
    two(f"{name}.weighted", by_class(function), numbers(6, 4) * 3, labels, weight=weights(4))
    two(f"{name}.ignored", by_class(function, ignore_index=3), numbers(6, 4) * 3, labels, weight=weights(4))
    two(f"{name}.none", by_class(function, ignore_index=1, reduction="none"), numbers(2, 3, 2, 2) * 3, places, weight=weights(3))
    two(f"{name}.sum", by_class(function, reduction="sum"), numbers(2, 3, 2, 2) * 3, places)
two("cross_entropy.smoothed", by_class(F.cross_entropy, label_smoothing=0.3, ignore_index=3), numbers(6, 4) * 3, labels, weight=weights(4))
two("cross_entropy.soft", by_class(F.cross_entropy, label_smoothing=0.1), numbers(6, 4) * 3, numbers(6, 4).softmax(1), weight=weights(4))


def focal(x, t, gamma, reduction, alpha=None):
    log_p = x.log_softmax(1).gather(1, t.long()[:, None])[:, 0]
    loss = -((1 - log_p.exp()) ** gamma) * log_p
    if alpha is not None:
        loss = alpha[t.long()] * loss
    return loss if reduction == "none" else getattr(loss, reduction)()


two("focal.plain", lambda x, t: focal(x, t, 2.0, "mean"), numbers(6, 4) * 3, labels)
two("focal.alpha", lambda x, t, w: focal(x, t, 1.5, "sum", w), numbers(6, 4) * 3, labels, w=weights(4))
two("focal.half", lambda x, t: focal(x, t, 0.5, "none"), numbers(2, 3, 2, 2) * 3, places)
two("multi_margin.plain", by_class(F.multi_margin_loss), numbers(6, 4) * 2, labels)
two("multi_margin.squared", by_class(F.multi_margin_loss, p=2, margin=0.6, reduction="none"), numbers(6, 4) * 2, labels)
two("multi_margin.weighted", by_class(F.multi_margin_loss, margin=1.5, reduction="sum"), numbers(6, 4) * 2, labels, weight=weights(4))

# Distributions.
log_p, q = (numbers(4, 3) * 2).log_softmax(1), (numbers(4, 3) * 2).softmax(1)
log_p, q = log_p.float().double(), q.float().double()
two("kl_div.batchmean", lambda x, t: F.kl_div(x, t, reduction="batchmean"), log_p, q)
two("kl_div.log_target", lambda x, t: F.kl_div(x, t, reduction="sum", log_target=True), log_p, q.log().float().double())
two("kl_div.none", lambda x, t: F.kl_div(x, t, reduction="none"), log_p, q)

# Pairs.
signs = torch.tensor([1.0, -1.0, 1.0, -1.0, -1.0], dtype=torch.float64)
for name, margin, reduction in [("plain", 0.0, "mean"), ("margin", 0.2, "sum"), ("none", -0.3, "none")]:
    cases.add(
        f"cosine_embedding.{name}",
        lambda a, b, m=margin, r=reduction: F.cosine_embedding_loss(a, b, signs, margin=m, reduction=r),
        a=numbers(5, 3), b=numbers(5, 3),
    )
    cases.add(
        f"margin_ranking.{name}",
        lambda a, b, m=margin, r=reduction: F.margin_ranking_loss(a, b, signs, margin=m, reduction=r),
        a=numbers(5), b=numbers(5),
    )
for name, options in [
    ("plain", dict()),
    ("swap", dict(swap=True, margin=0.5, reduction="sum")),
    ("cubes", dict(p=3.0, eps=1e-3, margin=2.0, reduction="none")),
]:
    cases.add(
        f"triplet_margin.{name}",
        lambda a, p, n, o=options: F.triplet_margin_loss(a, p, n, **o),
        a=numbers(5, 3), p=numbers(5, 3), n=numbers(5, 3),
    )

cases.save(out_dir(__doc__), "losses.safetensors")
