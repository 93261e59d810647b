"""What a step costs the first time: shape inference, the trie, and the program it is compiled into."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

import habana_frameworks.torch.core as htcore
import torch

LIMIT = 60


class ColdStep(NamedTuple):
    """What a step costs more the first time.

    Attributes
    ----------
    steps
        How many of them the program has.
    micros
        The microseconds of each, by the median over programs.
    inferring
        Those of them in which PyTorch infers shapes.
    """

    steps: int
    micros: float
    inferring: float


def measure(run: Callable[[int], torch.Tensor], sizes: range) -> ColdStep:
    """Measure what the steps of a program cost more the first time.

    Parameters
    ----------
    run
        Records a program on inputs of a size, and returns its result.
    sizes
        Each is run twice; none of them was run before.
    """
    from gaudi_lab.emulator.lazy.record import tape

    extra, inferring, steps = [], [], 0
    for size in sizes:
        times = []
        for _ in range(2):
            htcore.mark_step()
            started = time.thread_time()
            result = run(size)
            steps = tape.recording.steps
            times.append(tape.recording.inferring)
            htcore.mark_step()
            times.append(time.thread_time() - started)
            del result
        inferred, first, _, second = times
        inferring.append(inferred / steps * 1e6)
        extra.append((first - second) / steps * 1e6)
    return ColdStep(steps, statistics.median(extra), statistics.median(inferring))


def table(programs: dict[str, Callable[[int], torch.Tensor]], sizes: range) -> None:
    """Print a row for each program."""
    print(f"\n{'a cold step, CPU time':<40}{'steps':>14}{'µs (median)':>14}{'limit':>8}")
    for name, run in programs.items():
        run(sizes.start - 1)
        cold = measure(run, sizes)
        print(f"{name:<40}{cold.steps:>14}{cold.micros:>14.1f}{LIMIT:>8}")
