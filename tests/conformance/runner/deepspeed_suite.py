"""DeepSpeed, unmodified, on the emulated device: its accelerator `hpu`, ZeRO, and its own launcher for two processes.

What it trains must have the losses and the weights that plain PyTorch has on the CPU with the same batches.
"""

from __future__ import annotations

import importlib.util
import json
import re
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from conformance_table import Row
from foreign_tests import HERE, environment, on_bridge, python_of
from known_failures import Verdict

PINS = ("deepspeed==0.19.8",)
MODES = ("lazy", "eager")
PROGRAM = str(HERE / "deepspeed_programs" / "train_with_zero.py")
# Of the losses and of the norms of the weights, which in bfloat16 are held against float32's.
NEAR = {"float32": 2e-4, "bfloat16": 5e-2}


class Training(NamedTuple):
    """One way to train."""

    stage: int
    dtype: str
    processes: int

    def __str__(self) -> str:
        return f"ZeRO-{self.stage} {self.dtype} on {self.processes}"


TRAININGS = tuple(
    Training(stage, dtype, processes)
    for processes in (1, 2)
    for stage, dtype in ((0, "float32"), (1, "float32"), (2, "float32"), (2, "bfloat16"))
)


def runs(workers: int) -> list[tuple[Row, Verdict | None]]:
    """Run every training in both modes; return a row for each mode."""
    python = environment("deepspeed", PINS)
    expected = {count: on_the_cpu(python, count) for count in (1, 2)}
    asked = [(mode, training) for mode in MODES for training in TRAININGS]
    with ThreadPoolExecutor(workers) as pool:
        found = dict(zip(asked, pool.map(lambda one: train(python, *one), asked), strict=True))
    rows = []
    for mode in MODES:
        wrong = [
            str(training)
            for training in TRAININGS
            if not same(found[mode, training], expected[training.processes], NEAR[training.dtype])
        ]
        note = "the losses and weights of PyTorch on the CPU" + (
            f"; not: {', '.join(wrong)}" if wrong else ""
        )
        rows.append((Row("DeepSpeed", mode, len(TRAININGS) - len(wrong), len(TRAININGS), note), None))
    return rows


def interpreter() -> Path | None:
    """Return an interpreter that has DeepSpeed, this one or the suite's; None if there is none."""
    if importlib.util.find_spec("deepspeed"):
        return Path(sys.executable)
    return python_of("deepspeed") if python_of("deepspeed").exists() else None


def train(python: Path, mode: str, training: Training) -> object:
    """Return the losses and the norms of the weights, None if the training failed."""
    launcher = _LAUNCHERS[training.processes]
    port = ("--master_port", str(_free_port()))
    command = [*launcher, *port, PROGRAM, str(training.stage), training.dtype]
    return _result(on_bridge(python, mode, command, more={"GAUDI_LAB_EMULATED_DEVICES": "2"}).stdout)


# Two processes start as by optimum-habana's gaudi_spawn. Without a launcher DeepSpeed asks MPI.
_LAUNCHERS = {
    1: ("-m", "torch.distributed.run", "--nproc_per_node", "1"),
    2: ("-m", "deepspeed.launcher.runner", "--num_nodes", "1", "--num_gpus", "2", "--no_local_rank"),
}


def on_the_cpu(python: Path, processes: int) -> object:
    """Return what PyTorch alone comes to, with the batches of so many processes."""
    return _result(on_bridge(python, "cpu", [PROGRAM, "cpu", str(processes)]).stdout)


def same(found: object, expected: object, near: float) -> bool:
    """Return True if both are lists of numbers of one form that differ by `near` at most."""
    if isinstance(expected, list):
        return (
            isinstance(found, list)
            and len(found) == len(expected)
            and all(same(x, y, near) for x, y in zip(found, expected, strict=True))
        )
    return isinstance(found, float) and isinstance(expected, float) and abs(found - expected) <= near


def _result(output: str) -> object:
    match = re.search(r"^RESULT (.*)$", output, re.MULTILINE)
    return json.loads(match[1]) if match else None


def _free_port() -> int:
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        port: int = asked.getsockname()[1]
        return port
