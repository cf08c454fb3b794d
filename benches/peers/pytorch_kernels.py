"""The kernels of benches/kernels in PyTorch: reads a case a line, as JSON, and answers each with a line: {"ms": [...]}, or
{"error": why}. scripts/bench runs this."""

import argparse
import json
import sys
import time

import torch
import torch.nn.functional as F

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--seconds", type=float, default=1)
parser.add_argument("--device", default="cpu")
parser.add_argument("--precision", choices=["strict f32", "TF32", "AMP"], default="strict f32")
args = parser.parse_args()
torch.set_num_threads(args.threads)
torch.set_default_device(args.device)
torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = args.precision == "TF32"

SIMPLE = {
    "add": lambda x, y: x + y,
    "relu": F.relu,
    "gelu": lambda x: F.gelu(x, approximate="tanh"),
    "softmax": lambda x: x.softmax(-1),
    "sum_rows": lambda x: x.sum(1),
    "sum_columns": lambda x: x.sum(0),
    "sum_all": lambda x: x.sum(),
    "transpose": lambda x: x.t().contiguous(),
    "layer_norm": lambda x, w, b: F.layer_norm(x, w.shape, w, b),
    "batch_norm": lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True),
    "max_pool_2": lambda x: F.max_pool2d(x, 2),
    "max_pool_3": lambda x: F.max_pool2d(x, 3, 2, 1),
    "cross_entropy": lambda x: F.cross_entropy(x, torch.ones(len(x), dtype=torch.long)),
}


def noise(*shape, dtype):
    return torch.rand(shape).mul(2).sub(1).to(dtype)


def update(work):
    """An optimiser's step on tensors of its own."""
    params = [torch.nn.Parameter(noise(work["each"], dtype=torch.float32)) for _ in range(work["tensors"])]
    for p in params:
        p.grad = noise(work["each"], dtype=torch.float32)
    kind = {"adam": lambda: torch.optim.Adam(params, lr=1e-3), "sgd": lambda: torch.optim.SGD(params, lr=1e-3, momentum=0.9)}
    return kind[work["what"]]().step


def function(work, dtype):
    """What the work is, and its arguments."""
    op = work["op"]
    if op == "matmul":
        batch, m, n, k = (work[x] for x in ("batch", "m", "n", "k"))
        before = () if batch == 1 else (batch,)

        def matrix(rows, columns, turned):
            t = noise(*before, *([columns, rows] if turned else [rows, columns]), dtype=dtype)
            return t.transpose(-1, -2) if turned else t

        return torch.matmul, [matrix(m, k, work["transposed"][0]), matrix(k, n, work["transposed"][1])]
    if op == "conv":
        n, c, size, o, k, groups = (work[x] for x in ("n", "c", "size", "o", "k", "groups"))
        call, weight = (F.conv_transpose2d, (c, o // groups)) if work["up"] else (F.conv2d, (o, c // groups))
        options = dict(stride=work["stride"], padding=work["pad"], groups=groups)
        return (lambda x, w: call(x, w, **options)), [noise(n, c, size, size, dtype=dtype), noise(*weight, k, k, dtype=dtype)]
    if op == "attention":
        shape = [work[x] for x in ("n", "heads", "length", "width")]
        call = lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return call, [noise(*shape, dtype=dtype) for _ in range(3)]
    shape = work["shape"]
    channels = shape[1] if len(shape) == 4 else shape[-1]
    more = {"add": [shape], "layer_norm": [[channels]] * 2, "batch_norm": [[channels]] * 2}.get(work["what"], [])
    return SIMPLE[work["what"]], [noise(*s, dtype=dtype) for s in [shape, *more]]


def prepare(case):
    """The function to be timed."""
    if case["work"]["op"] == "update":
        return update(case["work"])
    call, values = function(case["work"], torch.float16 if case["half"] else torch.float32)
    part = case["part"]
    wanted = {"forward": [], "input": [0], "weight": [1], "both": range(len(values))}[part]
    for i in wanted:
        values[i].requires_grad_()
    leaves = [values[i] for i in wanted]
    if part == "forward":
        return lambda: call(*values)
    y = call(*values)
    seed = noise(*y.shape, dtype=y.dtype)
    if part == "both":
        return lambda: torch.autograd.grad(call(*values), leaves, seed)
    # The gradient alone: the value is there already.
    return lambda: torch.autograd.grad(y, leaves, seed, retain_graph=True)


def wait():
    if args.device == "cuda":
        torch.cuda.synchronize()


def measure(case):
    run = prepare(case)
    run()
    wait()
    before = time.perf_counter()
    run()
    wait()
    times = min(max(round(0.005 / (time.perf_counter() - before)), 1), 1000)
    ms, start = [], time.perf_counter()
    while len(ms) < 4 or time.perf_counter() - start < args.seconds:
        before = time.perf_counter()
        for _ in range(times):
            run()
        wait()
        ms.append((time.perf_counter() - before) * 1e3 / times)
    return ms


for line in sys.stdin:
    try:
        answer = {"ms": measure(json.loads(line))}
    except Exception as e:
        answer = {"error": f"{type(e).__name__}: {e}"}
    print(json.dumps(answer), flush=True)
