"""Writes what optimum-habana's run_summarization reads: texts, a tiny T5, a metric and NLTK's data.

python summarization_files.py FOLDER

The metric counts with the package that the hub's counts with. NLTK's data are those of a splitter of sentences that
has seen no text: what it does not know are abbreviations, and these texts have none.
"""

from __future__ import annotations

import json
import pickle
import random
import sys
from pathlib import Path

import torch
from nltk.tokenize.punkt import PunktSentenceTokenizer
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

THINGS = ("film", "plot", "book", "song", "play", "show")
KINDS = ("good", "fine", "nice", "bad", "poor", "dull")
OTHERS = ("the", "was", "very", "and", "we", "saw", "it", "today", ".")
# `evaluate.load("rouge")` takes the folder of that name where it is called.
METRIC = '''
import datasets
import evaluate
from rouge_score import rouge_scorer


class Rouge(evaluate.Metric):
    """Words that a text shares with its reference, the mean over all texts."""

    def _info(self):
        kinds = {"predictions": datasets.Value("string"), "references": datasets.Value("string")}
        return evaluate.MetricInfo(
            description="", citation="", inputs_description="", features=datasets.Features(kinds)
        )

    def _compute(self, predictions, references, use_stemmer=False):
        kinds = ("rouge1", "rouge2", "rougeL", "rougeLsum")
        scorer = rouge_scorer.RougeScorer(list(kinds), use_stemmer=use_stemmer)
        scores = [scorer.score(x, y) for x, y in zip(references, predictions)]
        return {kind: sum(score[kind].fmeasure for score in scores) / len(scores) for kind in kinds}
'''


def main(folder: Path) -> None:
    """Write everything below `folder`."""
    draw = random.Random(0)
    for name, lines in (("train", 256), ("validation", 24)):
        rows = ["text,summary"]
        for _ in range(lines):
            thing, kind = draw.choice(THINGS), draw.choice(KINDS)
            rows.append(f"we saw the {thing} today . it was very {kind} .,{kind} {thing} .")
        (folder / f"{name}.csv").write_text("\n".join(rows) + "\n")
    write_model(folder / "model")
    (folder / "rouge").mkdir()
    (folder / "rouge" / "rouge.py").write_text(METRIC)
    write_nltk_data(folder / "nltk_data")


def write_model(folder: Path) -> None:
    """Write a T5 with random weights, its tokenizer and optimum-habana's configuration."""
    folder.mkdir()
    words = ("<pad>", "</s>", "<unk>", *THINGS, *KINDS, *OTHERS)
    tokenizer = Tokenizer(WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    tokenizer.post_processor = TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    names = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names).save_pretrained(folder)
    torch.manual_seed(0)
    config = T5Config(
        vocab_size=len(words), d_model=32, d_kv=16, d_ff=64, num_layers=2, num_heads=2, dropout_rate=0.0,
        decoder_start_token_id=0, pad_token_id=0, eos_token_id=1,
    )  # fmt: skip
    T5ForConditionalGeneration(config).save_pretrained(folder)
    gaudi = {"use_fused_adam": True, "use_fused_clip_norm": True}
    (folder / "gaudi_config.json").write_text(json.dumps(gaudi))


def write_nltk_data(folder: Path) -> None:
    """Write what NLTK 3.8.1 loads to split a text into sentences, and the folder that the program looks for."""
    punkt = folder / "tokenizers" / "punkt"
    for place in (punkt, punkt / "PY3"):
        place.mkdir(parents=True)
        (place / "english.pickle").write_bytes(pickle.dumps(PunktSentenceTokenizer()))
    (folder / "punkt_tab").mkdir()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
