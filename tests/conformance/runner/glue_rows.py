"""optimum-habana's run_glue, unmodified, on two processes that its own gaudi_spawn starts."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from concurrent.futures import Executor
from pathlib import Path

from conformance_table import Row
from foreign_tests import HERE, SUITES, on_bridge, packages

_NAME = "optimum-habana run_glue, 2 processes"
# What run_glue asks for beside the pins of optimum-habana's tests: newer.
_NEEDS = ("datasets==4.0.0", "evaluate==0.4.5")
# Of losses and accuracy: gradients are summed in another order on two processes.
NEAR = 0.01


def row(python: Path, pool: Executor, variables: Mapping[str, str]) -> Row:
    """Train and evaluate with run_glue on two processes, and hold them against one that takes the same batches."""
    examples = SUITES / "optimum-habana" / "examples"
    if not (examples / "text-classification").is_dir():
        return Row(_NAME, "both", 0, 0, "not run: GAUDI_LAB_SUITES has no optimum-habana with its examples")
    with tempfile.TemporaryDirectory() as scratch:
        files = Path(scratch) / "files"
        files.mkdir()
        on_bridge(python, "cpu", [str(HERE / "optimum_habana" / "glue_files.py"), str(files)], more=variables)
        asked = (("lazy", 1), ("lazy", 2), ("eager", 2))
        one, *two = pool.map(lambda one: _run(python, files, examples, variables, *one), asked)
    passed = sum(x is not None and one is not None and _near(x, one) for x in two)
    told = ", ".join(f"{mode} on {count} {x}" for (mode, count), x in zip(asked, (one, *two), strict=True))
    return Row(_NAME, "both", passed, len(two), f"losses in training and evaluation, accuracy: {told}")


def _run(
    python: Path, files: Path, examples: Path, variables: Mapping[str, str], mode: str, processes: int
) -> tuple[float, float, float] | None:
    """Return the losses of training and evaluation and the accuracy; None if it did not come to the end."""
    launcher = [] if processes == 1 else [str(examples / "gaudi_spawn.py"), "--world_size", str(processes)]
    batch = str(16 // processes)
    out = files / f"{mode}-{processes}"
    options = {
        "model_name_or_path": "model",
        "gaudi_config_name": "model",
        "train_file": "train.csv",
        "validation_file": "validation.csv",
        "max_seq_length": "16",
        "per_device_train_batch_size": batch,
        "per_device_eval_batch_size": batch,
        "learning_rate": "1e-2",
        "num_train_epochs": "6",
        "output_dir": str(out),
        "report_to": "none",
        "save_strategy": "no",
        "throughput_warmup_steps": "3",
        "use_lazy_mode": str(mode == "lazy"),
    }
    command = [*launcher, str(examples / "text-classification" / "run_glue.py")]
    command += [
        "--do_train",
        "--do_eval",
        "--use_habana",
        *(["--use_hpu_graphs_for_inference"] * (mode == "lazy")),
    ]
    command += [word for name, value in options.items() for word in (f"--{name}", value)]
    path = os.pathsep.join([str(packages("glue", _NEEDS)), variables["PYTHONPATH"]])
    on_bridge(python, mode, command, files, {"PYTHONPATH": path, "GAUDI_LAB_EMULATED_DEVICES": "2"})
    if not (out / "all_results.json").exists():
        return None
    results = json.loads((out / "all_results.json").read_text())
    return results["train_loss"], results["eval_loss"], results["eval_accuracy"]


def _near(got: tuple[float, ...], expected: tuple[float, ...]) -> bool:
    return all(abs(x - y) <= NEAR for x, y in zip(got, expected, strict=True))
