"""What an operator costs: dispatched in eager mode, recorded in lazy mode, and recorded for the first time."""

from __future__ import annotations

import statistics
import time

import cold_steps
import habana_frameworks.torch.core as htcore
import torch
from floors import Remembering, Unwrapping
from overhead import OPERATORS, in_mode, program, take_turns, weights

import gaudi_lab.emulator
from limits.limit import Limit

STEADY = 5.0


@torch.no_grad()
def measure(quick: bool) -> list[Limit]:
    """Return the limits of operators, with the floors of `floors` beside them. What is counted is CPU time."""
    torch.set_num_threads(1)
    host = torch.randn(8, 8)
    device, unwrapping, remembering = host.to("hpu"), Unwrapping.over(host), Remembering.over(host)

    def flush() -> None:
        gaudi_lab.emulator.set_lazy(True)
        htcore.mark_step()

    contenders = {
        "cpu": lambda: program(host),
        "eager": in_mode(False, lambda: program(device)),
        "eager floor": lambda: program(unwrapping),
        "lazy": in_mode(True, lambda: program(device)),
        "lazy floor": lambda: program(remembering),
    }
    rounds = 5 if quick else 21
    seconds = take_turns(contenders, rounds, between=flush, clock=time.thread_time)
    micros = {name: [x / OPERATORS * 1e6 for x in found] for name, found in seconds.items()}
    over = {
        name: [a - b for a, b in zip(micros[name], micros["cpu"], strict=True)]
        for name in ("eager", "eager floor")
    }
    return [
        _beside_floor("eager dispatch of an operator, over the CPU's", over["eager"], over["eager floor"]),
        _beside_floor("recording of an operator, steady", micros["lazy"], micros["lazy floor"]),
        _cold_step(3 if quick else 11),
    ]


def _beside_floor(what: str, values: list[float], floor: list[float]) -> Limit:
    """Return a limit, with the least that a device in Python can cost by its side."""
    return Limit(
        what, STEADY, "µs", values, f"{statistics.median(floor):.1f} µs is the least that Python takes"
    )


def _cold_step(sizes: int) -> Limit:
    from transformers import AutoModel

    model = AutoModel.from_pretrained(weights()).eval().to("hpu")

    def forward(length: int) -> torch.Tensor:
        ids = torch.ones(1, length, dtype=torch.long).to("hpu")
        return model(input_ids=ids).last_hidden_state

    forward(8)
    cold = cold_steps.measure(forward, range(9, 9 + sizes))
    what = "a step that comes the first time, MiniLM of a new length"
    told = f"in a program of {cold.steps}; {cold.inferring:.0f} µs of it infer shapes"
    return Limit(what, float(cold_steps.LIMIT), "µs", [cold.micros], told)
