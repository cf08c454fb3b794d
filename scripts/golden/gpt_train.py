"""Trains the model of examples/gpt.rs in PyTorch: Hugging Face's GPT-2 from the same initial weights, on the same windows of the
same text in the same order, by the same optimiser and schedule. Then compares the losses with those of the example's run.

    cargo run --release --example gpt -- --device cpu
    python scripts/golden/gpt_train.py runs/gpt/metrics.jsonl

Options are those of the example, with its defaults.
"""

import argparse
import json
import math
import os
import time

import torch
import torch.nn.functional as F
from transformers import GPT2Config, GPT2LMHeadModel

from wgrad_random import Stream, initial_normal

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("metrics", nargs="?", help="the metrics.jsonl of the example's run")
parser.add_argument("--data-dir", default="/usr/share/common-licenses")
for name, default in [("layers", 4), ("heads", 4), ("width", 128), ("context", 64), ("epochs", 6), ("batch-size", 32), ("seed", 0)]:
    parser.add_argument(f"--{name}", type=int, default=default)
parser.add_argument("--lr", type=float, default=2e-3)
parser.add_argument("--steps", type=int)
args = parser.parse_args()


def read(path):
    """A file, or the plain files of a directory, with an empty line between two."""
    if os.path.isfile(path):
        files = [path]
    else:
        files = [f.path for f in os.scandir(path) if f.is_file(follow_symlinks=False)]
    return "\n".join(open(f, encoding="utf-8", newline="").read() for f in sorted(files))


text = read(args.data_dir)
characters = sorted(set(text))
tokens = torch.tensor([characters.index(c) for c in text])
kept = math.floor(len(tokens) * (1 - 0.1) + 0.5)
learn, judge = tokens[:kept], tokens[kept:]

config = GPT2Config(
    vocab_size=len(characters), n_positions=args.context, n_embd=args.width, n_layer=args.layers, n_head=args.heads,
    resid_pdrop=0, embd_pdrop=0, attn_pdrop=0, bos_token_id=0, eos_token_id=0,
)
model = GPT2LMHeadModel(config)
with torch.no_grad():
    for name, p in model.transformer.named_parameters():
        if p.dim() > 1:
            deviation = 0.02 / math.sqrt(2 * args.layers) if name.endswith("c_proj.weight") else 0.02
            p.copy_(torch.from_numpy(initial_normal(name, tuple(p.shape), args.seed, deviation)))
        else:
            p.fill_(1.0 if "ln_" in name and name.endswith("weight") else 0.0)
print(f"{sum(p.numel() for p in model.parameters())} parameters, {len(learn)} characters to learn from, {len(judge)} to judge by")

matrices = [p for p in model.parameters() if p.dim() > 1]
vectors = [p for p in model.parameters() if p.dim() <= 1]
groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
optimizer = torch.optim.AdamW(groups, lr=args.lr, betas=(0.9, 0.99))

windows = (len(learn) - 1) // args.context
batches = windows // args.batch_size
total = args.epochs * batches
warm_up = total // 20


def rate(step):
    """Schedule::cosine(lr, total - warm_up).warm_up(warm_up, 0.1)."""
    if step < warm_up:
        return args.lr * (0.1 + 0.9 * step / warm_up)
    return args.lr * (1 + math.cos(math.pi * (step - warm_up) / (total - warm_up))) / 2


def loss_of(rows):
    logits = model(rows[:, :-1]).logits
    return F.cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten())


def validation():
    starts = range(0, (len(judge) - 1) // args.context * args.context, args.context)
    rows = torch.stack([judge[s : s + args.context + 1] for s in starts])
    with torch.no_grad():
        losses = [loss_of(part) * len(part) for part in rows.split(args.batch_size)]
    return (sum(losses) / len(rows)).item()


train, valid, step, start = {}, {}, 0, time.time()
for epoch in range(args.epochs):
    order = list(range(windows))
    Stream(args.seed, Stream.SHUFFLE, epoch, 0).shuffle(order)
    for batch in range(batches):
        rows = []
        for window in order[batch * args.batch_size : (batch + 1) * args.batch_size]:
            shift = Stream(args.seed, Stream.AUGMENT, epoch, window).below(args.context)
            first = min(window * args.context + shift, len(learn) - 1 - args.context)
            rows.append(learn[first : first + args.context + 1])
        for group in optimizer.param_groups:
            group["lr"] = rate(step)
        loss = loss_of(torch.stack(rows))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        step += 1
        train[step] = loss.item()
        if step == args.steps:
            break
    valid[epoch + 1] = validation()
    print(f"epoch {epoch + 1}: validation loss {valid[epoch + 1]:.4f}, {time.time() - start:.0f} s", flush=True)
    if step == args.steps:
        break

if args.metrics:
    previous = 0
    for line in map(json.loads, open(args.metrics)):
        if line["split"] == "train":
            # A line is the mean since the one before.
            steps = [train[s] for s in range(previous + 1, line["step"] + 1) if s in train]
            previous, ours, what = line["step"], sum(steps) / max(len(steps), 1), "train"
        else:
            steps, ours, what = [1], valid.get(line["epoch"], math.nan), "validation"
        if steps:
            print(f"step {line['step']} {what}: wgrad {line['loss']:.5f}, PyTorch {ours:.5f}, ratio {line['loss'] / ours:.5f}")
