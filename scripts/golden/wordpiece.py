"""What transformers.BertTokenizer makes of a few texts: the cases of crates/train/src/data/wordpiece/mod.rs, printed as Rust.

    pip install transformers
    python scripts/golden/wordpiece.py
"""

import os
import tempfile
import unicodedata

from transformers import BertTokenizer

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
PIECES = ["the", "cafe", "##s", "un", "##aff", "##able", "run", "##ning", "don", "'", "t", ",", ".", "(", ")", "a",
          "##b", "naive", "中", "文", "-", "x", "##x", "$", "5"]
TEXTS = ["the cafes", "The CAFÉS, unaffable.", "running (don't)", "naïve naive Naïve", "中文the", "ab abb b", "x-xx xxx y",
         "$5 5$ 5.5", "a\u200bb a\u00adb", "t\tt\n\nt", "«the»", "", "\u0000a", "e\u0301 a\u0301b", "un un.un", "—the…"]

with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "vocab.txt")
    with open(path, "w", encoding="utf-8") as file:
        file.write("".join(piece + "\n" for piece in SPECIAL + PIECES))
    lower = BertTokenizer(path, do_lower_case=True)
    cased = BertTokenizer(path, do_lower_case=False)
    for text in TEXTS:
        ids = [t.encode(text, add_special_tokens=False) for t in (lower, cased)]
        quoted = "".join(c if c.isprintable() and not unicodedata.combining(c) else f"\\u{{{ord(c):x}}}" for c in text)
        print(f'        ("{quoted}", &{ids[0]}, &{ids[1]}),')
