"""A narrow GPT-2 of Hugging Face's transformers: state dict, tokens, logits, loss, every gradient and updated parameter; and
the same weights as save_pretrained writes them.

    python scripts/golden/gpt.py crates/zoo/tests/golden

    python scripts/golden/gpt.py --full target/golden       # GPT-2's small size

Also prints the parameter counts of the published sizes, which a test of the zoo states. Needs `pip install transformers`.
"""

import os
import tempfile

import safetensors.torch
import torch
import torch.nn.functional as F
from transformers import GPT2Config, GPT2LMHeadModel

from common import arguments, save
from step import agrees, fill, training_step

out, full = arguments(__doc__)
for name, layers, heads, width in [("small", 12, 12, 768), ("medium", 24, 16, 1024), ("large", 36, 20, 1280), ("xl", 48, 25, 1600)]:
    with torch.device("meta"):
        model = GPT2LMHeadModel(GPT2Config(n_layer=layers, n_head=heads, n_embd=width))
    print(f"{name}: {sum(p.numel() for p in model.parameters())} parameters")


def build():
    sizes = {} if full else dict(vocab_size=29, n_positions=12, n_embd=16, n_layer=2, n_head=2)
    config = GPT2Config(
        **sizes, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0, bos_token_id=0, eos_token_id=0, attn_implementation="eager",
    )
    model = GPT2LMHeadModel(config)
    return model, fill(model, seed=7)


def golden(dtype):
    model, generator = build()
    tokens = torch.randint(0, 29, (2, 9), generator=generator, dtype=torch.int32)
    targets = torch.randint(0, 29, (2, 9), generator=generator, dtype=torch.int32)
    model = model.to(dtype)
    with torch.no_grad():
        tensors = {"tokens": tokens, "targets": targets, "eval.logits": model.eval()(tokens.long()).logits}

    def run():
        logits = model(tokens.long()).logits
        return {"loss": F.cross_entropy(logits.flatten(0, 1), targets.long().flatten())}

    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-2)
    results = training_step(model, run, optimizer)
    return tensors | {name.replace("transformer.", ""): t for name, t in results.items()}


exact = golden(torch.float64)
if full:
    save(exact, out, "gpt2_full.safetensors")
    raise SystemExit
agrees(exact, golden(torch.float32))
save(exact, out, "gpt2.safetensors")

model, _ = build()
with tempfile.TemporaryDirectory() as directory:
    model.float().save_pretrained(directory)
    saved = safetensors.torch.load_file(os.path.join(directory, "model.safetensors"))
# What files of older versions have as well.
for layer in range(2):
    saved[f"transformer.h.{layer}.attn.bias"] = torch.tril(torch.ones(12, 12, dtype=torch.uint8)).view(1, 1, 12, 12)
    saved[f"transformer.h.{layer}.attn.masked_bias"] = torch.tensor(-1e4)
saved["lm_head.weight"] = saved["transformer.wte.weight"]
save(saved, out, "gpt2_saved.safetensors")
