"""The models of benches/models in PyTorch: README.md says what is asked and answered. scripts/bench runs this."""

import argparse
import json
import os
import resource
import sys
import time

import torch
from safetensors.torch import load_file

from pytorch_models import MODELS

WARM_UP = 3
CANNOT = 3


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("weights", help="safetensors file with the initial weights and the batch")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", choices=["strict f32", "TF32", "AMP"], default="strict f32")
    parser.add_argument("--inference", action="store_true")
    return parser.parse_args()


def cannot(why):
    print(why, file=sys.stderr)
    raise SystemExit(CANNOT)


def prepare(args):
    """The step to be timed: a function that gives its loss."""
    batch = load_file(args.weights)
    rate = batch.pop("optimizer.lr").item()
    inputs = {name: batch.pop(name) for name in MODELS[args.model].INPUTS}
    model = MODELS[args.model](args.model, inputs)
    missing, unexpected = model.net.load_state_dict({model.local(k): v for k, v in batch.items()}, strict=False)
    del batch
    # In use, a network may do without a part that only training needs.
    spare = [k for k in missing if not (args.inference or k in model.DERIVED or k.endswith("num_batches_tracked"))]
    assert not unexpected and not spare, (spare, unexpected)
    model.net.to(args.device)
    model.start(rate)
    amp = args.precision == "AMP"
    model.scaler = torch.amp.GradScaler(args.device, enabled=amp)

    def to_device():
        # In each step, as wgrad does: training sees a new batch every time.
        return {name: t.to(args.device) for name, t in inputs.items()}

    def train():
        with torch.autocast(args.device, dtype=torch.float16, enabled=amp):
            return model.step(to_device())

    def use():
        with torch.no_grad(), torch.autocast(args.device, dtype=torch.float16, enabled=amp):
            return model.infer(to_device()).float().abs().mean().item()

    model.net.train(not args.inference)
    return use if args.inference else train


def main():
    args = arguments()
    if args.model not in MODELS:
        cannot(f"PyTorch has no {args.model} here")
    if args.device == "cuda" and not torch.cuda.is_available():
        cannot("this PyTorch finds no CUDA")
    torch.set_num_threads(args.threads)
    tf32 = args.precision == "TF32"
    torch.backends.cuda.matmul.allow_tf32 = tf32
    torch.backends.cudnn.allow_tf32 = tf32
    torch.set_default_device(args.device)
    step = prepare(args)

    losses = [step()]
    first_step_s = time.time() - float(os.environ["WGRAD_BENCH_STARTED"])
    losses += [step() for _ in range(WARM_UP - 1)]
    step_ms = []
    start, cpu = time.perf_counter(), time.process_time()
    while len(step_ms) < 4 or time.perf_counter() - start < args.seconds:
        before = time.perf_counter()
        losses.append(step())
        step_ms.append((time.perf_counter() - before) * 1e3)
    cpu_ms = (time.process_time() - cpu) * 1e3 / len(step_ms)
    where = torch.cuda.get_device_name() if args.device == "cuda" else f"{torch.get_num_threads()} threads"
    result = {
        "device": f"PyTorch {torch.__version__}, {where}, {args.precision}",
        "first_step_s": first_step_s,
        "step_ms": step_ms,
        "cpu_ms": cpu_ms,
        "losses": losses,
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    print(json.dumps(result))


main()
