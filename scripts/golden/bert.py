"""A tiny BERT of Hugging Face's transformers: state dict, tokens, both heads' logits, the sentence vector, every gradient and
the updated parameters.

    pip install transformers
    python scripts/golden/bert.py crates/zoo/tests/golden
    python scripts/golden/bert.py --full target/golden      # BERT base
"""

import torch
import torch.nn.functional as F
from transformers import BertConfig, BertForPreTraining, BertForSequenceClassification

from common import arguments, save
from step import fill, training_step

BATCH, LENGTH, PICKED, VOCABULARY = 3, 9, 2, 40
CONFIG = BertConfig(
    vocab_size=VOCABULARY, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24,
    max_position_embeddings=12, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, num_labels=3,
)
UNPICKED = 2**32 - 1


def inputs(generator):
    """Sequences of different lengths, two sentences each."""
    lengths = torch.tensor([LENGTH, LENGTH - 3, LENGTH - 1])
    at = torch.arange(LENGTH)
    mask = (at < lengths[:, None]).long()
    ids = torch.randint(1, VOCABULARY, (BATCH, LENGTH), generator=generator) * mask
    segments = (at >= lengths[:, None] // 2).long() * mask
    return {"input_ids": ids, "token_type_ids": segments, "attention_mask": mask}


def pre_training(seed):
    model = BertForPreTraining(CONFIG)
    generator = fill(model, seed)
    if CONFIG.hidden_size == 768:
        # About BERT's own initial scale: with larger weights the attention of so wide a model is all or nothing.
        with torch.no_grad():
            for p in model.parameters():
                if p.dim() > 1:
                    p.copy_((p * 0.4).float())
    tokens = inputs(generator)
    positions = torch.tensor([[1, 4], [3, 0], [2, 7]])
    picked = torch.tensor([[True, True], [True, False], [True, True]])
    labels = torch.randint(1, VOCABULARY, (BATCH, PICKED), generator=generator)
    everywhere = torch.full((BATCH, LENGTH), -100)
    everywhere.scatter_(1, positions, torch.where(picked, labels, -100))
    follows = torch.tensor([0, 1, 1])
    at_picked = positions[:, :, None].expand(-1, -1, VOCABULARY)

    def run():
        out = model(**tokens, labels=everywhere, next_sentence_label=follows)
        found = out.prediction_logits.gather(1, at_picked)
        return {"tokens": found, "next": out.seq_relationship_logits, "loss": out.loss}

    with torch.no_grad():
        model.eval()
        body = model.bert(**tokens)
        mask = tokens["attention_mask"][:, :, None]
        mean = (body.last_hidden_state * mask).sum(1) / mask.sum(1)
        results = {"eval.hidden": body.last_hidden_state, "eval.pooled": body.pooler_output,
                   "eval.sentence": F.normalize(mean, dim=1)}
    results |= {"ids": tokens["input_ids"], "segments": tokens["token_type_ids"], "mask": tokens["attention_mask"],
                "positions": positions, "labels": torch.where(picked, labels, UNPICKED), "follows": follows}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-2)
    return results | training_step(model, run, optimizer)


def classifier(seed):
    model = BertForSequenceClassification(CONFIG)
    tokens = inputs(fill(model, seed))
    labels = torch.tensor([2, 0, 1])

    def run():
        out = model(**tokens, labels=labels)
        return {"logits": out.logits, "loss": out.loss}

    results = {"ids": tokens["input_ids"], "segments": tokens["token_type_ids"], "mask": tokens["attention_mask"],
               "labels": labels}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-2)
    return results | training_step(model, run, optimizer)


if __name__ == "__main__":
    out, full = arguments(__doc__)
    if full:
        VOCABULARY = 30522
        CONFIG = BertConfig(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
        save(pre_training(seed=1), out, "bert_full.safetensors")
        raise SystemExit
    save(pre_training(seed=3), out, "bert.safetensors")
    save(classifier(seed=4), out, "bert_classifier.safetensors")
