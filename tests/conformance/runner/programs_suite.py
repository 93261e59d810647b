"""Intel's own programs, unmodified: hello_world in every mode and on two processes, GPU migration, the tutorials.

They are read from ``Model-References`` and ``Gaudi-tutorials`` below ``GAUDI_LAB_SUITES``: exported trees are enough.
Each must reach the accuracy that the CPU reaches on the same digits, which `intel_programs/digits.py` draws.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from conformance_table import Row
from foreign_tests import HERE, SUITES, on_bridge
from known_failures import Verdict

HELLO = SUITES / "Model-References" / "PyTorch" / "examples" / "computer_vision" / "hello_world"
MIGRATED = (
    SUITES
    / "Model-References"
    / "PyTorch"
    / "examples"
    / "gpu_migration"
    / "simple_examples"
    / "mnist"
    / "main.py"
)
TUTORIALS = SUITES / "Gaudi-tutorials" / "PyTorch" / "Inference"
_PYTHON = Path(sys.executable)
_SHIM = {"PYTHONPATH": str(HERE / "intel_programs" / "shim"), "GAUDI_LAB_EMULATED_DEVICES": "2"}
_TWO = (
    "-m",
    "torch.distributed.run",
    "--nproc_per_node",
    "2",
    "--rdzv_backend",
    "c10d",
    "--rdzv_endpoint",
    "localhost:0",
)
# Dropout draws other numbers than on the CPU, and two processes take steps of their own: in percent of the test set.
NEAR = 3.0


class Run(NamedTuple):
    """One way to start hello_world."""

    name: str
    mode: str
    options: tuple[str, ...]
    launcher: tuple[str, ...] = ()


RUNS = (
    Run("plain", "lazy", ()),
    Run("autocast", "lazy", ("--autocast",)),
    Run("two processes", "lazy", ("--distributed",), _TWO),
    Run("plain", "eager", ()),
    Run("autocast", "eager", ("--autocast",)),
    Run("torch.compile", "eager", ("--use-torch-compile",)),
    Run("two processes", "eager", ("--distributed",), _TWO),
)


def runs(workers: int) -> list[tuple[Row, Verdict | None]]:
    """Run what is there; return the rows."""
    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(workers) as pool:
        folder = Path(scratch)
        done = on_bridge(_PYTHON, "cpu", [str(HERE / "intel_programs" / "digits.py"), str(folder)])
        return [(row, None) for row in _all(folder, pool, done.stdout)]


def _all(folder: Path, pool: Executor, digits: str) -> list[Row]:
    return [*_hello_world(folder, pool), *_migrated(folder, pool), *_tutorials(folder, pool, digits)]


def _hello_world(folder: Path, pool: Executor) -> list[Row]:
    if not HELLO.is_dir():
        return [Row("Intel's hello_world", "", 0, 0, "not run: no Model-References in GAUDI_LAB_SUITES")]

    def accuracy(run: Run, on_cpu: bool = False) -> float | None:
        # Two processes share a batch, so that all runs take the same number of steps.
        batch = ("--batch-size", "16" if run.launcher else "32", "--test-batch-size", "512")
        options = ["--epochs", "1", "--data-path", str(folder / "data"), *batch, *run.options]
        options += [] if on_cpu else ["--hpu"]
        done = on_bridge(_PYTHON, run.mode, [*run.launcher, str(HELLO / "mnist.py"), *options], folder, _SHIM)
        found = re.findall(r"Average Acc ([\d.]+)", done.stdout)
        return float(found[-1]) if found and done.returncode == 0 else None

    expected = accuracy(Run("plain", "eager", ()), on_cpu=True)
    found = list(pool.map(accuracy, RUNS))
    return [
        _row(
            "Intel's hello_world",
            mode,
            expected,
            {run.name: x for run, x in zip(RUNS, found, strict=True) if run.mode == mode},
            NEAR,
        )
        for mode in ("lazy", "eager")
    ]


def _migrated(folder: Path, pool: Executor) -> list[Row]:
    """A program for CUDA: GPU migration runs it on hpu, where it must reach the CPU's accuracy."""
    what = "Intel's GPU migration example"
    if not MIGRATED.is_file():
        return [Row(what, "", 0, 0, "not run: no Model-References in GAUDI_LAB_SUITES")]

    def accuracy(run: Run) -> float | None:
        command = [str(MIGRATED), "--epochs", "1", "--batch-size", "32", *run.options]
        done = on_bridge(_PYTHON, run.mode, command, folder, _SHIM | {"PT_HPU_GPU_MIGRATION": "1"})
        on_cpu = "--no-cuda" in run.options
        found = re.search(r"Accuracy: (\d+)/(\d+)", done.stdout)
        if done.returncode or found is None or f"use_cuda: {not on_cpu}" not in done.stdout:
            return None
        return 100 * int(found[1]) / int(found[2])

    runs = (
        Run("plain", "lazy", ()),
        Run("plain", "eager", ()),
        Run("torch.compile", "eager", ("--use-torch-compile",)),
    )
    found = dict(zip(runs, pool.map(accuracy, runs), strict=True))
    expected = accuracy(Run("CPU", "eager", ("--no-cuda",)))
    return [
        _row(what, mode, expected, {run.name: x for run, x in found.items() if run.mode == mode}, NEAR)
        for mode in ("lazy", "eager")
    ]


def _tutorials(folder: Path, pool: Executor, on_cpu: str) -> list[Row]:
    notebooks = sorted(TUTORIALS.glob("Gaudi_inference_ex*.ipynb"))
    if not notebooks:
        return [
            Row("Intel's inference tutorials", "", 0, 0, "not run: no Gaudi-tutorials in GAUDI_LAB_SUITES")
        ]

    def accuracy(notebook: Path) -> float | None:
        script = folder / f"{notebook.stem}.py"
        script.write_text(code_of(notebook))
        done = on_bridge(_PYTHON, "lazy", [str(script)], folder, _SHIM)
        match = re.search(r"^Accuracy: ([\d.]+)%", done.stdout, re.MULTILINE)
        return float(match[1]) if match else None

    expected = re.search(r"^RESULT ([\d.]+)", on_cpu, re.MULTILINE)
    found = zip([x.stem for x in notebooks], pool.map(accuracy, notebooks), strict=True)
    return [
        _row(
            "Intel's inference tutorials", "lazy", float(expected[1]) if expected else None, dict(found), 0.01
        )
    ]


def code_of(notebook: Path) -> str:
    """Return the cells of Python of `notebook`, without those that call the shell."""
    cells = json.loads(notebook.read_text())["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    return "\n\n".join([x for x in code if not re.search(r"^\s*[!%]", x, re.MULTILINE)])


def _row(what: str, mode: str, expected: float | None, found: dict[str, float | None], near: float) -> Row:
    passed = [
        x for x in found.values() if x is not None and expected is not None and abs(x - expected) <= near
    ]
    told = ", ".join(f"{name} {'failed' if x is None else f'{x:.2f} %'}" for name, x in found.items())
    return Row(what, mode, len(passed), len(found), f"the CPU's accuracy is {expected} %: {told}")
