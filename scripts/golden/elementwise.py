"""Values and gradients of elementwise functions, computed by PyTorch in f64: on a line of usual numbers, and on special ones
(zeros, exact halves, tiny and large numbers). One line a case; crates/nn/tests/golden_elementwise.rs has the same lines.

    python scripts/golden/elementwise.py crates/nn/tests/golden
"""

import torch
import torch.nn.functional as F
from common import Cases, out_dir

cases = Cases()
line = cases.numbers(5, 4, lo=-4.0, hi=4.0)
positive = cases.numbers(5, 4, lo=0.05, hi=6.0)
unit = cases.numbers(5, 4, lo=-0.97, hi=0.97)


def add(name, function, **inputs):
    """As `Cases.add`, with the inputs given by their places: PyTorch calls them otherwise."""
    cases.add(name, lambda **t: function(*t.values()), **inputs)


def f64(*values):
    return torch.tensor(values, dtype=torch.float32).to(torch.float64)


halves = f64(-2.5, -1.5, -0.5, 0.0, 0.5, 1.5, 2.5, 1e-30, -1e-30, 3e5, -3e5, 0.49999997)
wide = f64(0.0, 1e-30, -1e-30, 1e-3, -1e-3, 20.0, -20.0, 60.0, -60.0, 1e4, -1e4)
moderate = f64(0.0, 1e-30, -1e-30, 1e-3, -1e-3, 1e-6, 20.0, -20.0, 60.0, -60.0)
above = f64(1e-30, 1e-6, 1.0, 1.0001, 0.9999, 1e4, 1e30)
within = f64(0.0, 1e-30, -1e-6, 1e-3, 0.5, -0.5, 0.9999, -0.9999)


def unary(name, function, usual, special=None):
    """A function of one value, without options."""
    add(f"{name}.usual", function, x=usual)
    if special is not None:
        add(f"{name}.special", function, x=special)


unary("abs", torch.abs, line, wide)
unary("neg", torch.neg, line, wide)
unary("sign", torch.sign, line, wide)
unary("square", torch.square, line, wide)
unary("sqrt", torch.sqrt, positive, above)
unary("rsqrt", torch.rsqrt, positive, f64(1e-6, 1.0, 1.0001, 1e4, 1e30))
unary("recip", torch.reciprocal, positive, f64(1e-6, -1e-6, 1e4, 1e30, -3.0))
unary("exp", torch.exp, line, moderate)
unary("exp2", torch.exp2, line, moderate)
unary("expm1", torch.expm1, line, moderate)
unary("log", torch.log, positive, above)
unary("log2", torch.log2, positive, above)
unary("log10", torch.log10, positive, above)
unary("log1p", torch.log1p, positive, f64(0.0, 1e-30, -1e-6, 1e-3, -0.5, -0.999, 0.4, -0.4, 1e4, 1e30))
unary("sin", torch.sin, line, moderate)
unary("cos", torch.cos, line, moderate)
unary("tan", torch.tan, unit, within)
unary("asin", torch.asin, unit, within)
unary("acos", torch.acos, unit, within)
unary("atan", torch.atan, line, wide)
unary("sinh", torch.sinh, line, moderate)
unary("cosh", torch.cosh, line, moderate)
unary("tanh", torch.tanh, line, wide)
unary("erf", torch.erf, line, wide)
unary("erfinv", torch.erfinv, unit, within)
unary("floor", torch.floor, line, halves)
unary("ceil", torch.ceil, line, halves)
unary("round", torch.round, line, halves)
unary("trunc", torch.trunc, line, halves)
for name, test in [("is_nan", torch.isnan), ("is_inf", torch.isinf), ("is_finite", torch.isfinite), ("signbit", torch.signbit)]:
    odd = f64(0.0, -0.0, 1.0, -3.4e38, float("inf"), -float("inf"), float("nan"), 1e-30)
    add(f"{name}.special", lambda x, z, test=test: torch.where(test(x), z, -z), x=odd, z=cases.numbers(8))

unary("relu", F.relu, line, wide)
unary("relu6", F.relu6, line * 2, f64(0.0, 6.0, -1e4, 1e4, 1e-30))
unary("sigmoid", torch.sigmoid, line, wide)
unary("logsigmoid", F.logsigmoid, line, wide)
unary("selu", F.selu, line, wide)
unary("silu", F.silu, line, wide)
unary("mish", F.mish, line, wide)
unary("hardsigmoid", F.hardsigmoid, line, wide)
unary("hardswish", F.hardswish, line, wide)
unary("softsign", F.softsign, line, wide)
unary("tanhshrink", F.tanhshrink, line, f64(0.0, 20.0, -20.0, 1e4))


def options(name, function, values, special=wide):
    """A function with options: the first ones on the usual numbers and the special ones, the others on the usual ones."""
    for i, option in enumerate(values):
        add(f"{name}.{i}", lambda x, option=option: function(x, **option), x=line)
    add(f"{name}.special", lambda x: function(x, **values[0]), x=special)


options("leaky_relu", F.leaky_relu, [dict(), dict(negative_slope=0.2), dict(negative_slope=-1.5)])
options("elu", F.elu, [dict(), dict(alpha=0.3), dict(alpha=2.0)])
options("celu", F.celu, [dict(), dict(alpha=0.3), dict(alpha=2.0)])
options("softplus", F.softplus, [dict(), dict(beta=2.0, threshold=3.0), dict(beta=0.5)])
options("gelu", F.gelu, [dict(), dict(approximate="tanh")])
options("gelu_tanh", F.gelu, [dict(approximate="tanh")])
options("hardtanh", F.hardtanh, [dict(), dict(min_val=0.5, max_val=2.0), dict(min_val=-2.0, max_val=-0.3)], halves)
options("softshrink", F.softshrink, [dict(), dict(lambd=1.2), dict(lambd=0.0)])
options("hardshrink", F.hardshrink, [dict(), dict(lambd=1.2), dict(lambd=0.0)])
options("threshold", F.threshold, [dict(threshold=0.0, value=0.0), dict(threshold=0.5, value=-2.0), dict(threshold=-1.0, value=3.0)])
options("clamp", torch.clamp, [dict(min=-0.5, max=1.5), dict(max=0.7), dict(min=-1.0)], halves)
options("glu", F.glu, [dict(), dict(dim=1), dict(dim=-1)], f64(0.0, 20.0, -1e4, 1.0))
for i, exponent in enumerate([2.0, 3.0, -1.0, -2.0, 0.0]):
    add(f"pow_scalar.{i}", lambda x, n=exponent: x.pow(n), x=line)
for i, exponent in enumerate([0.5, -0.5, 1.7, -2.3, 17.0]):
    add(f"pow_scalar.positive.{i}", lambda x, n=exponent: x.pow(n), x=positive)
add("pow_scalar.zero", lambda x: x.pow(1.5), x=f64(0.0, 1.0, 4.0))
add("prelu.channels", F.prelu, x=cases.numbers(2, 3, 4, lo=-2.0, hi=2.0), weight=cases.numbers(3))
add("prelu.one", F.prelu, x=line, weight=cases.numbers(1))
add("prelu.flat", F.prelu, x=cases.numbers(7), weight=cases.numbers(1))

a, b = cases.numbers(4, 3, lo=-3.0, hi=3.0), cases.numbers(4, 3, lo=-3.0, hi=3.0)
row, column = cases.numbers(3, lo=-3.0, hi=3.0), cases.numbers(4, 1, lo=-3.0, hi=3.0)
# Ties, axes, the origin's neighbours.
y = f64(0.0, 0.0, 1.0, -1.0, 1.0, -1.0, 2.0, 1e-3, 3.0)
x = f64(1.0, -1.0, 0.0, 0.0, 1.0, -1.0, -2.0, 1e3, 3.0)
for name, function in [
    ("minimum", torch.minimum),
    ("maximum", torch.maximum),
    ("atan2", torch.atan2),
    ("add", torch.add),
    ("sub", torch.sub),
    ("mul", torch.mul),
]:
    add(f"{name}.same", function, a=a, b=b)
    add(f"{name}.broadcast", function, a=column, b=row)
    add(f"{name}.special", function, a=y, b=x)
divisors = f64(1.5, -1.5, 0.7, -0.7, 2.0, -2.0, 3.0, 1.0, -1.0)
dividends = f64(3.1, 3.1, -3.1, -3.1, 4.0, 4.0, -6.0, 5.5, -0.25)
for name, function in [
    ("div", torch.div),
    ("rem", torch.fmod),
    ("remainder", torch.remainder),
]:
    add(f"{name}.same", function, a=a, b=b)
    add(f"{name}.broadcast", function, a=column, b=row)
    add(f"{name}.special", function, a=dividends, b=divisors)


def floor_div(a, b):
    return torch.div(a, b, rounding_mode="floor") + 0 * a * b


add("floor_div.same", floor_div, a=a, b=b)
add("floor_div.broadcast", floor_div, a=column, b=row)
add("floor_div.special", floor_div, a=dividends, b=divisors)
add("pow.same", torch.pow, a=positive, b=cases.numbers(5, 4, lo=-3.0, hi=3.0))
add("pow.broadcast", torch.pow, a=positive[:, :1], b=cases.numbers(4, lo=-2.0, hi=2.0))
add("pow.zero", torch.pow, a=f64(0.0, 0.0, 0.0, 2.0, 1.0), b=f64(1.0, 2.0, 1.5, 0.0, 3.0))
add("lerp.scalar", lambda a, b: torch.lerp(a, b, 0.3), a=a, b=b)
add("lerp.outside", lambda a, b: torch.lerp(a, b, -1.5), a=a, b=b)
add("lerp.tensor", torch.lerp, a=a, b=b, weight=cases.numbers(4, 3))
lo, hi = cases.numbers(3, lo=-2.0, hi=0.5), cases.numbers(4, 1, lo=-0.5, hi=2.0)
add("clamp_between.broadcast", lambda x, lo, hi: torch.clamp(x, lo.expand_as(x), hi.expand_as(x)), x=a, lo=lo, hi=hi)
add("clamp_between.same", torch.clamp, x=a, lo=b, hi=b + 1.5)
for i, (name, function) in enumerate([("lt", torch.lt), ("le", torch.le), ("gt", torch.gt), ("ge", torch.ge), ("equal", torch.eq), ("not_equal", torch.ne)]):
    add(f"{name}.special", lambda a, b, f=function: torch.where(f(a, b), 2 * a, -b), a=y, b=x)
add("heaviside.values", lambda a: torch.heaviside(a.detach(), torch.full_like(a, 0.3)) * a, a=halves)
add("where.broadcast", lambda a, b: torch.where(a > 0, a, b), a=column, b=row)

cases.save(out_dir(__doc__), "elementwise.safetensors")
