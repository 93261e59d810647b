"""What a step costs the first time: shape inference, the trie, and the program it is compiled into."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import habana_frameworks.torch.core as htcore
import torch

LIMIT = 60


def measure(run: Callable[[int], torch.Tensor], sizes: range) -> tuple[int, float]:
    """Return the steps of a program, and the microseconds that each of them costs more the first time.

    Parameters
    ----------
    run
        Records a program on inputs of a size, and returns its result.
    sizes
        Each is run twice; none of them was run before.
    """
    from gaudi_lab.emulator.lazy.record import tape

    extra, steps = [], 0
    for size in sizes:
        times = []
        for _ in range(2):
            htcore.mark_step()
            started = time.thread_time()
            result = run(size)
            steps = tape.recording.steps
            htcore.mark_step()
            times.append(time.thread_time() - started)
            del result
        extra.append((times[0] - times[1]) / steps * 1e6)
    return steps, statistics.median(extra)


def table(programs: dict[str, Callable[[int], torch.Tensor]], sizes: range) -> None:
    """Print a row for each program."""
    print(f"\n{'a cold step, CPU time':<40}{'steps':>14}{'µs (median)':>14}{'limit':>8}")
    for name, run in programs.items():
        run(sizes.start - 1)
        steps, micros = measure(run, sizes)
        print(f"{name:<40}{steps:>14}{micros:>14.1f}{LIMIT:>8}")
