"""Writes what optimum-habana's run_glue reads: sentences, a tiny BERT, and a metric that no hub is asked for.

python glue_files.py FOLDER
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

import torch
from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

WORDS = ("good", "fine", "nice", "bad", "poor", "dull", "the", "film", "was", "and", "plot", "very")
# `evaluate.load("accuracy")` takes the folder of that name where it is called.
METRIC = '''
import datasets
import evaluate


class Accuracy(evaluate.Metric):
    """The share of predictions that are right."""

    def _info(self):
        kinds = {"predictions": datasets.Value("int32"), "references": datasets.Value("int32")}
        return evaluate.MetricInfo(
            description="", citation="", inputs_description="", features=datasets.Features(kinds)
        )

    def _compute(self, predictions, references):
        right = sum(int(a == b) for a, b in zip(predictions, references))
        return {"accuracy": right / len(references)}
'''


def main(folder: Path) -> None:
    """Write everything below `folder`."""
    draw = random.Random(0)
    for name, lines in (("train", 192), ("validation", 50)):
        rows = ["sentence,label"]
        for _ in range(lines):
            label = draw.randrange(2)
            word = draw.choice(WORDS[3 * (1 - label) :][:3])
            rows.append(f"the {draw.choice(WORDS[7:11:3])} was {draw.choice(('', 'very '))}{word},{label}")
        (folder / f"{name}.csv").write_text("\n".join(rows) + "\n")
    model = folder / "model"
    model.mkdir()
    vocabulary = folder / "vocab.txt"
    vocabulary.write_text("\n".join(("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS)) + "\n")
    BertTokenizerFast(str(vocabulary)).save_pretrained(model)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(WORDS) + 5,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    BertForSequenceClassification(config).save_pretrained(model)
    gaudi = {"use_fused_adam": True, "use_fused_clip_norm": True}
    (model / "gaudi_config.json").write_text(json.dumps(gaudi))
    (folder / "accuracy").mkdir()
    (folder / "accuracy" / "accuracy.py").write_text(METRIC)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
