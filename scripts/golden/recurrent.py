"""Values and gradients of recurrent layers, computed by PyTorch in f64.

    python scripts/golden/recurrent.py crates/nn/tests/golden

The output `y` is the outputs and the last states, all flat, one after another.
"""

import torch
from common import Cases, out_dir
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

cases = Cases()
numbers = cases.numbers


def recurrent(name, kind, lengths=None, initial=False, time=4, batch=3, inputs=2, hidden=3, **options):
    layer = kind(inputs, hidden, **options).double()
    parameters = {k: numbers(*v.shape) for k, v in layer.named_parameters()}
    states = {}
    if initial:
        shape = (layer.num_layers * (2 if layer.bidirectional else 1), batch, hidden)
        states = {k: numbers(*shape) for k in (["h0", "c0"] if kind is nn.LSTM else ["h0"])}

    def run(x, **given):
        first = [given.pop(k) for k in states]
        first = (tuple(first) if len(first) == 2 else first[0],) if first else ()
        if lengths is not None:
            x = pack_padded_sequence(x, torch.tensor(lengths), layer.batch_first, enforce_sorted=False)
        y, last = torch.func.functional_call(layer, given, (x, *first))
        if lengths is not None:
            y, _ = pad_packed_sequence(y, layer.batch_first, total_length=time)
        last = last if isinstance(last, tuple) else (last,)
        more = {} if lengths is None else {"lengths": torch.tensor(lengths, dtype=torch.int32)}
        return torch.cat([t.flatten() for t in (y, *last)]), more

    shape = (batch, time, inputs) if options.get("batch_first") else (time, batch, inputs)
    cases.add(name, run, x=numbers(*shape), **parameters, **states)


for name, kind, options in [
    ("tanh", nn.RNN, {}),
    ("relu", nn.RNN, dict(nonlinearity="relu")),
    ("lstm", nn.LSTM, {}),
    ("gru", nn.GRU, {}),
]:
    recurrent(f"{name}.plain", kind, **options)
    recurrent(f"{name}.deep", kind, num_layers=2, bidirectional=True, batch_first=True, initial=True, **options)
    recurrent(f"{name}.lengths", kind, lengths=[2, 4, 1], bidirectional=True, bias=False, **options)
    recurrent(f"{name}.all", kind, lengths=[3, 1, 4], num_layers=2, batch_first=True, initial=True, **options)


def cell(name, kind, **options):
    layer = kind(2, 3, **options).double()
    parameters = {k: numbers(*v.shape) for k, v in layer.named_parameters()}
    states = {k: numbers(2, 3) for k in (["h0", "c0"] if kind is nn.LSTMCell else ["h0"])}

    def run(x, **given):
        first = tuple(given.pop(k) for k in states)
        out = torch.func.functional_call(layer, given, (x, first if len(first) == 2 else first[0]))
        return torch.cat([t.flatten() for t in (out if isinstance(out, tuple) else (out,))])

    cases.add(name, run, x=numbers(2, 2), **parameters, **states)


cell("lstm.cell", nn.LSTMCell)
cell("gru.cell", nn.GRUCell, bias=False)
cell("tanh.cell", nn.RNNCell)

cases.save(out_dir(__doc__), "recurrent.safetensors")
