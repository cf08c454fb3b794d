"""Writes golden values of attention: `python scripts/golden/attention.py crates/nn/tests/golden`.

Everything is computed in f64 and stored as f32. For each case: the inputs, the output `y`, and the gradient of sum(y * r) with
respect to each float input `i` as `grad.i`. Integer inputs are masks, 1 where a key is seen.
"""

import torch
import torch.nn.functional as F

from common import Cases, out_dir

cases = Cases()
numbers = cases.numbers


def heads(q, k, v, scale=2.0):
    """q, k and v of these shapes; q larger, so that the weights are not all alike."""
    return dict(q=numbers(*q) * scale, k=numbers(*k), v=numbers(*v))


def seen(*rows):
    return torch.tensor(rows, dtype=torch.int32)


sdpa = F.scaled_dot_product_attention
cases.add("sdpa.plain", lambda q, k, v: sdpa(q, k, v), **heads((2, 2, 5, 4), (2, 2, 7, 4), (2, 2, 7, 3)))
cases.add("sdpa.scaled", lambda q, k, v: sdpa(q, k, v, scale=0.7), **heads((1, 3, 4, 6), (1, 3, 4, 6), (1, 3, 4, 6)))
cases.add("sdpa.causal", lambda q, k, v: sdpa(q, k, v, is_causal=True), **heads((1, 2, 6, 3), (1, 2, 6, 3), (1, 2, 6, 3)))
cases.add("sdpa.fewer", lambda q, k, v: sdpa(q, k, v, is_causal=True), **heads((1, 2, 3, 4), (1, 2, 5, 4), (1, 2, 5, 4)))
cases.add("sdpa.more", lambda q, k, v: sdpa(q, k, v, is_causal=True), **heads((1, 2, 5, 4), (1, 2, 3, 4), (1, 2, 3, 4)))
cases.add(
    "sdpa.masked",
    lambda q, k, v, m: sdpa(q, k, v, attn_mask=m.bool()[:, None, None, :]),
    **heads((2, 2, 4, 3), (2, 2, 5, 3), (2, 2, 5, 2)),
    m=seen([1, 1, 0, 1, 0], [0, 1, 1, 1, 1]),
)
cases.add(
    "sdpa.biased",
    lambda q, k, v, bias: sdpa(q, k, v, attn_mask=bias),
    **heads((2, 2, 4, 3), (2, 2, 5, 3), (2, 2, 5, 2)),
    bias=numbers(1, 2, 4, 5) * 2,
)
cases.add(
    "sdpa.biased_by_key",
    lambda q, k, v, bias: sdpa(q, k, v, attn_mask=bias, scale=0.4),
    **heads((2, 2, 4, 3), (2, 2, 5, 3), (2, 2, 5, 2)),
    bias=numbers(2, 1, 1, 5) * 2,
)
cases.add(
    "sdpa.grouped",
    lambda q, k, v: sdpa(q, k, v, is_causal=True, enable_gqa=True),
    **heads((2, 6, 4, 3), (2, 2, 5, 3), (2, 2, 5, 4)),
)


def multihead(size, count, key_size=None, value_size=None, bias=True):
    """A layer's parameters by name, and the layer as a function of its arguments and these."""
    layer = torch.nn.MultiheadAttention(
        size, count, bias=bias, kdim=key_size, vdim=value_size, batch_first=True, dtype=torch.float64
    )
    parameters = {k: numbers(*p.shape) for k, p in layer.named_parameters()}

    def call(parameters, *given, **options):
        return torch.func.functional_call(layer, parameters, given, dict(need_weights=False, **options))[0]

    return parameters, call


def hidden(length):
    return torch.triu(torch.ones(length, length, dtype=torch.bool), diagonal=1)


parameters, layer = multihead(6, 3)
cases.add("mha.self", lambda x, layer=layer, **p: layer(p, x, x, x), x=numbers(2, 5, 6) * 2, **parameters)
parameters, layer = multihead(4, 2)
cases.add(
    "mha.causal",
    lambda x, m, layer=layer, **p: layer(p, x, x, x, key_padding_mask=m == 0, attn_mask=hidden(4)),
    x=numbers(2, 4, 4) * 2,
    m=seen([1, 1, 0, 1], [1, 1, 1, 0]),
    **parameters,
)
parameters, layer = multihead(4, 2)
cases.add(
    "mha.cross",
    lambda x, z, bias, layer=layer, **p: layer(p, x, z, z, attn_mask=bias[0, 0]),
    x=numbers(2, 3, 4) * 2,
    z=numbers(2, 5, 4) * 2,
    bias=numbers(1, 1, 3, 5),
    **parameters,
)
parameters, layer = multihead(6, 2, key_size=5, value_size=4, bias=False)
cases.add(
    "mha.sizes",
    lambda x, z, w, layer=layer, **p: layer(p, x, z, w),
    x=numbers(1, 3, 6) * 2,
    z=numbers(1, 4, 5) * 2,
    w=numbers(1, 4, 4),
    **parameters,
)

cases.save(out_dir(__doc__), "attention.safetensors")
