"""Narrow torch.nn.Transformers, norms before and after: state dict, tokens with padding, logits, loss, every gradient and
updated parameter.

    python scripts/golden/transformer.py crates/zoo/tests/golden

    python scripts/golden/transformer.py --full target/golden   # the paper's base size

Also prints the parameter count of torch.nn.Transformer(), which a test of the zoo states.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

from common import arguments, save
from step import agrees, fill, training_step

torch.backends.mha.set_fastpath_enabled(False)  # it gives zeros where there is padding


class Seq2Seq(nn.Module):
    """With the embeddings, positions and output layer that torch.nn.Transformer lacks."""

    def __init__(self, source, target, width, heads, hidden, layers, norm_first):
        super().__init__()
        body = nn.Transformer(width, heads, layers, layers, hidden, 0.0, batch_first=True, norm_first=norm_first)
        self.encoder, self.decoder = body.encoder, body.decoder
        self.src_embed, self.tgt_embed = nn.Embedding(source, width), nn.Embedding(target, width)
        self.generator = nn.Linear(width, target)
        self.width = width

    def embed(self, table, tokens):
        places = torch.arange(tokens.shape[1], dtype=torch.float64)[:, None]
        angle = places / 10000 ** (torch.arange(0, self.width, 2, dtype=torch.float64) / self.width)
        # As f32 has them.
        sines = torch.stack([angle.sin(), angle.cos()], dim=2).flatten(1).float().to(table.weight.dtype)
        return table(tokens) * math.sqrt(self.width) + sines

    def forward(self, source, target):
        hidden = source == 0
        memory = self.encoder(self.embed(self.src_embed, source), src_key_padding_mask=hidden)
        causal = torch.ones(target.shape[1], target.shape[1], dtype=torch.bool).triu(1)
        x = self.decoder(
            self.embed(self.tgt_embed, target), memory, tgt_mask=causal,
            tgt_key_padding_mask=target == 0, memory_key_padding_mask=hidden,
        )
        return self.generator(x)


def golden(norm_first, seed, dtype, width=12, heads=3, hidden=20, layers=2):
    model = Seq2Seq(11, 13, width, heads, hidden, layers, norm_first)
    generator = fill(model, seed)
    model = model.to(dtype)
    source = torch.randint(1, 11, (3, 7), generator=generator, dtype=torch.int32)
    target = torch.randint(1, 13, (3, 6), generator=generator, dtype=torch.int32)
    next = torch.randint(1, 13, (3, 6), generator=generator, dtype=torch.int32)
    source[0, 5:] = 0
    target[1, 4:], next[1, 3:] = 0, 0
    tensors = {"source": source, "target": target, "next": next}
    with torch.no_grad():
        tensors["eval.logits"] = model.eval()(source.long(), target.long())

    def run():
        logits = model(source.long(), target.long())
        loss = F.cross_entropy(logits.flatten(0, 1), next.long().flatten(), ignore_index=0, label_smoothing=0.1)
        return {"loss": loss}

    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-2)
    return tensors | training_step(model, run, optimizer)


out, full = arguments(__doc__)
if full:
    save(golden(False, 1, torch.float64, width=512, heads=8, hidden=2048, layers=6), out, "transformer_full.safetensors")
    raise SystemExit
print(f"torch.nn.Transformer(): {sum(p.numel() for p in nn.Transformer().parameters())} parameters")
for name, norm_first, seed in [("transformer_post", False, 3), ("transformer_pre", True, 4)]:
    exact = golden(norm_first, seed, torch.float64)
    agrees(exact, golden(norm_first, seed, torch.float32))
    save(exact, out, f"{name}.safetensors")
