"""What it costs that an attached model's calls are watched, for the causes of compiles.

MiniLM (real weights, batch 1, 32 tokens, one thread), its calls in turn watched and not. Each pair gives one
difference, in CPU time of the thread, so that other work on the machine does not count.

Run: python benchmarks/watching.py [--rounds N]
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable

os.environ.setdefault("GAUDI_LAB_COMPILER", "replay")

import torch
from overhead import TOKENS, weights
from transformers import AutoModel

import gaudi_lab
from gaudi_lab import bridge
from gaudi_lab.instruments import attention
from gaudi_lab.instruments.graphs import hpu_graphs
from gaudi_lab.measure.causes.watching import watching


def main() -> None:
    """Print one row for each mode."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=200)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    model = AutoModel.from_pretrained(weights()).eval().to("hpu")
    ids = torch.randint(5, 1000, (1, TOKENS)).to("hpu")
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    print(f"{'MiniLM, batch 1':<20}{'ms a call':>12}{'watching, µs':>14}{'share':>9}")
    for name in ("eager", "lazy", "HPU graphs"):
        gaudi_lab.mode("eager" if name == "eager" else "lazy")
        # A mask that is asked for its values keeps a call from being captured, as the workbench knows.
        handles = [attention.static_masks(model), hpu_graphs(model)] if name == "HPU graphs" else []
        plain, extra = measure(lambda: run(model, batch), model, rounds)
        print(f"{name:<20}{plain * 1e3:>12.2f}{extra * 1e6:>14.1f}{extra / plain:>9.2%}")
        for handle in reversed(handles):
            handle.remove()


def run(model: torch.nn.Module, batch: dict[str, torch.Tensor]) -> None:
    """Call the model once, and wait for the device."""
    with torch.no_grad():
        model(**batch)
    bridge.settle()


def measure(call: Callable[[], None], model: torch.nn.Module, rounds: int) -> tuple[float, float]:
    """Return the median seconds of a call that nobody watches, and the median of what watching adds to it."""
    plain, extra = [], []
    for _ in range(5):
        call()
    for number in range(rounds):
        times = {}
        for watched in (number % 2 == 0, number % 2 == 1):
            handle = watching.follow("MiniLM", model) if watched else None
            call()  # not counted: what comes once, when a model is attached or let go
            started = time.thread_time()
            call()
            times[watched] = time.thread_time() - started
            if handle is not None:
                handle.remove()
        plain.append(times[False])
        extra.append(times[True] - times[False])
    return statistics.median(plain), statistics.median(extra)


if __name__ == "__main__":
    main()
