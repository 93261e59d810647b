"""Measure one model all ways, in turns, and print it as JSON.

Run: python benchmarks/peers/one_case.py tiny --rounds 15 --seconds 60
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# Before torch: one thread for everybody, and nothing that was compiled before.
os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", TORCHINDUCTOR_FORCE_DISABLE_CACHES="1")
os.environ.setdefault("PT_HPU_LAZY_MODE", "1")
sys.path.insert(0, str(Path(__file__).parent.parent))
warnings.simplefilter("ignore")

import gaudi_lab.emulator

gaudi_lab.emulator.install()

import habana_frameworks.torch  # noqa: F401 - the device
import torch

from gaudi_lab.emulator.lazy import agreement, compilers
from gaudi_lab.emulator.lazy.openvino.infer_request import InferRequest
from peers import BARE_RECORDER, BARE_SUBCLASS
from peers.cases import CASES
from peers.contenders import Run, contenders, on_the_device


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("case", choices=CASES)
    parser.add_argument("--rounds", type=int, default=15, help="how often they take turns (default: 15)")
    parser.add_argument(
        "--seconds", type=float, default=120.0, help="no further round after so long (default: 120)"
    )
    parser.add_argument("--only", nargs="*", help="these ways only, by name; CPU eager always")
    parser.add_argument("--without", nargs="*", default=[], help="these ways not, by name")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with torch.no_grad():
        found = measure(options)
    print(json.dumps(found))


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Return, for each way, the seconds to the first result and those of every round."""
    torch.manual_seed(0)
    label, make, fused = CASES[options.case]
    module, inputs = make()
    module = module.eval().requires_grad_(False)
    expected = module(*inputs)
    everybody = contenders(fused)
    asked = options.only or [x.name for x in everybody]
    chosen = [
        x for x in everybody if x.name == "CPU eager" or (x.name in asked and x.name not in options.without)
    ]
    runs: dict[str, Run] = {}
    ways: dict[str, dict[str, Any]] = {}
    for contender in chosen:
        way: dict[str, Any] = {"times": []}
        ways[contender.name] = way
        torch.compiler.reset()
        contender.enter()
        traced = _seconds_of_tracing()
        passed, disagreed = len(compilers.passed_over), len(agreement.disagreements)
        started = time.perf_counter()
        try:
            given = (
                on_the_device(module, inputs, fused or contender.fused)
                if contender.process
                else (module, inputs)
            )
            run = contender.make(*given)
            result = run()
        except Exception as error:  # a peer that cannot take it, or is not installed
            way["error"] = f"{type(error).__name__}: {error}".splitlines()[0][:200]
            continue
        way["first"] = time.perf_counter() - started
        way["tracing"] = _seconds_of_tracing() - traced
        way["differs"] = _difference(result, expected)
        way["notes"] = [str(x) for x in compilers.passed_over[passed:]]
        way["notes"] += [str(x) for x in agreement.disagreements[disagreed:]]
        runs[contender.name] = run
    # A graph is captured, and what comes twice is compiled; what was compiled was forgotten for the ways behind it.
    for contender in chosen:
        for _ in range(3 if contender.name in runs else 0):
            contender.enter()
            way, result = ways[contender.name], runs[contender.name]()
            way["differs"] = max(way["differs"], _difference(result, expected))
    in_openvino = _time_openvino()
    began = time.perf_counter()
    for number in range(options.rounds):
        if number >= 3 and time.perf_counter() - began > options.seconds:
            break
        turns = chosen if number % 2 else chosen[::-1]
        for contender in turns:
            if contender.name not in runs:
                continue
            contender.enter()
            in_openvino.clear()
            started = time.perf_counter()
            runs[contender.name]()
            ways[contender.name]["times"].append(time.perf_counter() - started)
            if in_openvino:
                ways[contender.name].setdefault("in_openvino", []).append(sum(in_openvino))
    _run_after_recording(ways)
    return {"case": options.case, "label": label, "ways": ways}


def _run_after_recording(ways: dict[str, dict[str, Any]]) -> None:
    """Give the bare recorder, which computes nothing, the HPU graph's time too; its first time says nothing."""
    for name in (BARE_SUBCLASS, BARE_RECORDER):
        ways.get(name, {}).pop("first", None)
    graph = ways.get("HPU graph", {}).get("times")
    recorder = ways.get(BARE_RECORDER, {})
    if graph and recorder.get("times"):
        recorder["times"] = [a + b for a, b in zip(recorder["times"], graph, strict=True)]
    else:
        ways.pop(BARE_RECORDER, None)


def _difference(result: torch.Tensor, expected: torch.Tensor) -> float:
    """Return the largest difference, as a share of the largest absolute value."""
    return float((result - expected).abs().max() / expected.abs().max())


def _time_openvino() -> list[float]:
    """Return a list to which each run of a program that the device gave to OpenVINO adds its seconds."""
    spent: list[float] = []
    run = InferRequest.__call__

    def timed(request: InferRequest, hosts: Sequence[torch.Tensor]) -> Any:
        started = time.perf_counter()
        try:
            return run(request, hosts)
        finally:
            spent.append(time.perf_counter() - started)

    InferRequest.__call__ = timed  # type: ignore[method-assign]
    return spent


def _seconds_of_tracing() -> float:
    """Return the seconds that Dynamo has traced so far in this process, without what it called to compile."""
    spent = torch._dynamo.utils.calculate_time_spent()  # noqa: SLF001 - its only account in numbers
    return spent.get("entire_frame_compile", 0.0) - spent.get("backend_compile", 0.0)


if __name__ == "__main__":
    main()
