"""What memory grows by: over repeated shapes, for each captured graph, and for a model of 860 million weights."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch

from limits.limit import Limit


@torch.no_grad()
def measure(quick: bool) -> list[Limit]:
    """Return the limits of memory. What is counted is what the process holds, of the system."""
    torch.set_num_threads(1)
    import habana_frameworks.torch  # noqa: F401 - the device

    found = [_repeated_shapes(100 if quick else 400), _graph_per_shape(50 if quick else 200)]
    return found if quick else [*found, _large_model()]


def _repeated_shapes(repeats: int) -> Limit:
    model = _tiny_bert()

    def call(length: int) -> None:
        model(input_ids=torch.full((1, length), 7).to("hpu")).last_hidden_state.cpu()

    def all_shapes(times: int) -> None:
        for _ in range(times):
            for length in (4, 8, 12, 16, 24, 32):
                call(length)

    all_shapes(20)
    return Limit(
        f"lazy memory over {repeats} repeats of six shapes",
        1.0,
        "MiB",
        [_grown_by(lambda: all_shapes(repeats))],
    )


def _graph_per_shape(shapes: int) -> Limit:
    from habana_frameworks.torch.hpu import wrap_in_hpu_graph

    model = wrap_in_hpu_graph(_tiny_bert())

    def capture(lengths: range) -> None:
        for length in lengths:
            model(input_ids=torch.full((1, length), 7).to("hpu")).last_hidden_state.cpu()

    capture(range(1, 9))
    _give_back()
    before = _resident()
    each = _grown_by(lambda: capture(range(9, 9 + shapes))) / shapes
    _give_back()
    in_use = (_resident() - before) / 2**20 / shapes
    return Limit(
        f"memory of a captured graph, tiny BERT, mean of {shapes} lengths",
        0.3,
        "MiB",
        [each],
        f"{in_use:.2f} MiB are in use, the allocator keeps the rest for what comes next",
    )


def _large_model() -> Limit:
    on_cpu, on_hpu = [_peak(device) for device in ("cpu", "hpu")]
    return Limit(
        "peak memory of a UNet of 860 million weights, lazy, of CPU eager's",
        1.02,
        "",
        [on_hpu / on_cpu],
        f"CPU eager's is {on_cpu / 1024:.2f} GiB",
    )


def _peak(device: str) -> float:
    child = [sys.executable, str(Path(__file__).with_name("peak_memory.py")), device]
    return float(subprocess.run(child, stdout=subprocess.PIPE, text=True, check=True).stdout)


def _tiny_bert() -> torch.nn.Module:
    from transformers import BertConfig, BertModel

    sizes = {"num_hidden_layers": 2, "hidden_size": 128, "num_attention_heads": 2, "intermediate_size": 512}
    return BertModel(BertConfig(**sizes), add_pooling_layer=False).eval().requires_grad_(False).to("hpu")


def _grown_by(run: Callable[[], None]) -> float:
    """Return by how many MiB the process has grown when `run` is done."""
    gc.collect()
    before = _resident()
    run()
    gc.collect()
    return (_resident() - before) / 2**20


def _give_back() -> None:
    """Have the C library give memory that is not in use back to the system, where it can."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def _resident() -> int:
    import psutil

    return psutil.Process().memory_info().rss
