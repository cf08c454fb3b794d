"""What PyTorch's optimisers, clippings and schedules do over several steps, computed in f64.

    python scripts/golden/optimizers.py crates/nn/tests/golden

`w` and `b` are the parameters, `grad.w` and `grad.b` their gradients at each of the steps, `<optimiser>.w` and
`<optimiser>.b` the parameters after each step, `schedule.<name>` learning rates from time 0 on (f64).
"""

import torch
from common import numbers, out_dir, save

STEPS = 5
start = dict(w=numbers(3, 5, seed=1), b=numbers(7, seed=2))
grads = dict(w=numbers(STEPS, 3, 5, seed=3), b=numbers(STEPS, 7, seed=4, lo=-0.3, hi=0.7))
tensors = {**start, **{f"grad.{k}": v for k, v in grads.items()}}


def run(name, make, clip=None, rates=None):
    params = {k: v.clone().requires_grad_() for k, v in start.items()}
    optimizer = make(params)
    history = {k: [] for k in params}
    for step in range(STEPS):
        for k, p in params.items():
            p.grad = grads[k][step].clone()
        if clip:
            clip(params.values())
        if rates:
            for group in optimizer.param_groups:
                group["lr"] = rates[step]
        optimizer.step()
        for k, p in params.items():
            history[k].append(p.detach().clone())
    tensors.update({f"{name}.{k}": torch.stack(v) for k, v in history.items()})


def plain(optimizer, **options):
    return lambda params: optimizer(list(params.values()), **options)


def only_w(optimizer, weight_decay, **options):
    """Weight decay for `w` alone."""
    return lambda p: optimizer(
        [dict(params=[p["w"]], weight_decay=weight_decay), dict(params=[p["b"]], weight_decay=0.0)], **options
    )


SGD, Adam, AdamW, RMSprop = torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW, torch.optim.RMSprop
run("sgd", plain(SGD, lr=0.1))
run("sgd_decay", plain(SGD, lr=0.1, weight_decay=0.05))
run("sgd_momentum", plain(SGD, lr=0.1, momentum=0.9))
run("sgd_dampening", plain(SGD, lr=0.1, momentum=0.9, dampening=0.4))
run("sgd_nesterov", plain(SGD, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.05))
run("sgd_rates", plain(SGD, lr=0.1, momentum=0.9), rates=[0.1, 0.05, 0.2, 0.2, 0.01])
run("sgd_only_w", only_w(SGD, 0.3, lr=0.1, momentum=0.9))
run("adam", plain(Adam, lr=0.01))
run("adam_decay", plain(Adam, lr=0.01, betas=(0.8, 0.95), eps=1e-4, weight_decay=0.1))
run("adamw", plain(AdamW, lr=0.01))
run("adamw_only_w", only_w(AdamW, 0.3, lr=0.01))
run("rmsprop", plain(RMSprop, lr=0.01))
run("rmsprop_momentum", plain(RMSprop, lr=0.01, alpha=0.9, momentum=0.9, weight_decay=0.1))
run("rmsprop_centered", plain(RMSprop, lr=0.01, alpha=0.9, centered=True, momentum=0.5, eps=1e-3))
run("clip_norm", plain(SGD, lr=0.1), clip=lambda p: torch.nn.utils.clip_grad_norm_(p, 1.5))
run("clip_norm_idle", plain(SGD, lr=0.1), clip=lambda p: torch.nn.utils.clip_grad_norm_(p, 1e3))
run("clip_value", plain(SGD, lr=0.1), clip=lambda p: torch.nn.utils.clip_grad_value_(p, 0.4))


def rates(make, count):
    optimizer = SGD([torch.zeros(1, requires_grad=True)], lr=0.5)
    schedule = make(optimizer)
    found = []
    for _ in range(count):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return torch.tensor(found, dtype=torch.float64)


S = torch.optim.lr_scheduler
schedules = {
    "constant": rates(lambda o: S.ConstantLR(o, factor=1.0), 4),
    "step": rates(lambda o: S.StepLR(o, step_size=3, gamma=0.3), 12),
    "multi_step": rates(lambda o: S.MultiStepLR(o, milestones=[2, 5, 9], gamma=0.1), 12),
    "cosine": rates(lambda o: S.CosineAnnealingLR(o, T_max=10, eta_min=0.05), 11),
    "warm_up": rates(
        lambda o: S.SequentialLR(
            o, [S.LinearLR(o, start_factor=0.1, total_iters=4), S.CosineAnnealingLR(o, T_max=8)], milestones=[4]
        ),
        13,
    ),
}

save(tensors, out_dir(__doc__), "optimizers.safetensors", exact={f"schedule.{k}": v for k, v in schedules.items()})
