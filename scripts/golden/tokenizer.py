"""A small byte-level tokenizer as GPT-2's, trained on a few sentences by Hugging Face's library: tokenizer.json, vocab.json and
merges.txt, and the tokens of some texts in expected.json.

    python scripts/golden/tokenizer.py crates/train/tests/golden/tokenizer
"""

import json
import os

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from common import out_dir

SENTENCES = [
    "The quick brown fox jumps over the lazy dog, and the dog doesn't mind.",
    "Everyone is permitted to copy and distribute verbatim copies of this document, but changing it is not allowed.",
    "there is nothing in the other thing that the others thought of",
]
TEXTS = SENTENCES + [
    "", " ", "  two  spaces\n\n", "Grüße, naïve 日本語 🥊", "don't we'll I'm", "12345 + 678 = x_y", "the<|endoftext|>the", "\tthe\r\n",
]

out = out_dir(__doc__)
tokenizer = Tokenizer(models.BPE())
tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
tokenizer.decoder = decoders.ByteLevel()
tokenizer.train_from_iterator(
    SENTENCES, trainers.BpeTrainer(vocab_size=300, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), show_progress=False)
)
tokenizer.model.save(out)  # vocab.json and merges.txt
plain = [tokenizer.encode(text).ids for text in TEXTS]
tokenizer.add_special_tokens(["<|endoftext|>"])
tokenizer.save(os.path.join(out, "tokenizer.json"))
cases = [
    {"text": text, "tokens": tokenizer.encode(text).ids, "without_special": ids} for text, ids in zip(TEXTS, plain)
]
assert all(tokenizer.decode(case["tokens"], skip_special_tokens=False) == case["text"] for case in cases)
with open(os.path.join(out, "expected.json"), "w") as file:
    json.dump({"size": tokenizer.get_vocab_size(), "cases": cases}, file, indent=1)
