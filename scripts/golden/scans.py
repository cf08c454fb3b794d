"""Values and gradients of running sums, products and maxima, computed by PyTorch in f64.

    python scripts/golden/scans.py crates/nn/tests/golden

Where a case gives values and indices, `y` is values * (indices + 1), so that both are compared.
"""

import torch
from common import Cases, out_dir

cases = Cases()
add, numbers = cases.add, cases.numbers


def both(found):
    values, indices = found
    return values * (indices + 1)


def loop(step):
    """y[i] = step(i, y[i - 1], x[i]) along axis 1."""

    def run(x):
        y = []
        for i in range(x.shape[1]):
            y.append(step(i, y[-1] if y else None, x[:, i]))
        return torch.stack(y, 1)

    return run


for name, shape, axis in [("line", (7,), 0), ("rows", (3, 5, 2), 1), ("columns", (5, 3), 0), ("long", (1, 140), -1)]:
    x = numbers(*shape) * 1.5
    zeros = x.clone()
    zeros.view(-1)[1::4] = 0.0
    add(f"cumsum.{name}", lambda x: x.cumsum(axis), x=x)
    add(f"cumsum.{name}.reverse", lambda x: x.flip(axis).cumsum(axis).flip(axis), x=x)
    add(f"cumsum.{name}.exclusive", lambda x: x.cumsum(axis) - x, x=x)
    add(f"cumprod.{name}", lambda x: x.cumprod(axis), x=x)
    add(f"cumprod.{name}.zeros", lambda x: x.cumprod(axis), x=zeros)
    add(f"cumprod.{name}.reverse", lambda x: x.flip(axis).cumprod(axis).flip(axis), x=x)
    add(f"logcumsumexp.{name}", lambda x: x.logcumsumexp(axis), x=x * 20)
    add(f"cummax.{name}", lambda x: both(x.cummax(axis)), x=(x * 4).round())
    add(f"cummin.{name}", lambda x: both(x.cummin(axis)), x=(x * 4).round())

for name, shape in [("short", (2, 5)), ("one", (3, 1)), ("long", (1, 140))]:
    x = numbers(*shape)
    back = loop(lambda i, y, x: x if y is None else x + 0.9 * y)
    add(f"discounted_sum.{name}", lambda x: back(x.flip(1)).flip(1), x=x)
    average = loop(lambda i, y, x: x if y is None else 0.7 * y + 0.3 * x)
    add(f"moving_average.{name}", average, x=x)

cases.save(out_dir(__doc__), "scans.safetensors")
