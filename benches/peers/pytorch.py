"""The training steps of benches/step in PyTorch, on the CPU. scripts/bench runs this; it prints one line of JSON."""

import argparse
import json
import os
import resource
import sys
import time

import torch
import torch.nn.functional as F
from safetensors.torch import load_file

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../../scripts/golden"))

WARM_UP = 3


def model(name):
    if name == "resnet20":
        from resnet_models import CifarResNet

        return CifarResNet(20, classes=10, channels=1)
    import torchvision.models

    return getattr(torchvision.models, name)(num_classes=1000)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("weights", help="safetensors file with the initial weights, images and labels")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=5)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)

    weights = load_file(args.weights)
    images, labels = weights.pop("images"), weights.pop("labels").long()
    rate = weights.pop("optimizer.lr").item()
    net = model(args.model).train()
    missing, unexpected = net.load_state_dict(weights, strict=False)
    assert not unexpected and all(k.endswith("num_batches_tracked") for k in missing), (missing, unexpected)
    optimizer = torch.optim.SGD(net.parameters(), lr=rate, momentum=0.9, weight_decay=5e-4)

    def step():
        optimizer.zero_grad(set_to_none=True)
        loss = F.cross_entropy(net(images), labels)
        loss.backward()
        optimizer.step()
        return loss.item()

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
    result = {
        "device": f"PyTorch {torch.__version__}, {torch.get_num_threads()} threads",
        "first_step_s": first_step_s,
        "step_ms": step_ms,
        "cpu_ms": cpu_ms,
        "losses": losses,
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    print(json.dumps(result))


main()
