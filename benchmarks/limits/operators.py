"""What an operator costs: dispatched in eager mode, recorded in lazy mode, and recorded for the first time."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from limits.limit import Limit

OPERATORS = 500


def measure(quick: bool) -> list[Limit]:
    """Return the limits of operators. What is counted is the CPU time of the thread."""
    import habana_frameworks.torch.core as htcore
    import torch

    import gaudi_lab.emulator

    torch.set_num_threads(1)
    host = torch.randn(8, 8)
    device = host.to("hpu")
    times: dict[str, list[float]] = {"cpu": [], "eager": [], "lazy": []}
    with torch.no_grad():
        for _ in range(7 if quick else 21):
            times["cpu"].append(_microseconds(lambda: many_small(host)))
            gaudi_lab.emulator.set_lazy(False)
            times["eager"].append(_microseconds(lambda: many_small(device)))
            gaudi_lab.emulator.set_lazy(True)
            times["lazy"].append(_microseconds(lambda: many_small(device)))
            htcore.mark_step()
    steady = {name: found[2:] for name, found in times.items()}
    over = [a - b for a, b in zip(steady["eager"], steady["cpu"], strict=True)]
    return [
        Limit("eager dispatch of an operator, over the CPU's", 5.0, "µs", over),
        Limit("recording of an operator, steady", 5.0, "µs", steady["lazy"]),
        *_cold_steps(2 if quick else 5),
    ]


def many_small(x, operators: int = OPERATORS):
    """Run so many operators on 8 x 8 matrices: matmul, add, relu, transpose, multiply by a number."""
    y = x
    for _ in range(operators // 5):
        y = x.mm(y)
        y = y + x
        y = y.relu()
        y = y.transpose(0, 1)
        y = y * 0.5
    return y


def _microseconds(run: Callable[[], object]) -> float:
    started = time.thread_time()
    result = run()
    seconds = time.thread_time() - started
    del result
    return seconds / OPERATORS * 1e6


def _cold_steps(often: int) -> list[Limit]:
    child = [sys.executable, str(Path(__file__).with_name("cold_step.py"))]
    ran = [subprocess.run(child, stdout=subprocess.PIPE, text=True, check=True).stdout for _ in range(often)]
    first, other = zip(*[map(float, printed.split()) for printed in ran], strict=True)
    return [
        Limit("cold step, 12 layers of BERT: the first in a process", 60.0, "µs", first),
        Limit("cold step, the same of another length", 60.0, "µs", other),
    ]
