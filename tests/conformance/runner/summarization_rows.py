"""optimum-habana's run_summarization, unmodified: a T5 that learns to summarise, in lazy mode on HPU graphs and eager.

The losses of both modes have to be the same, and every summary that it generates has to be the right one.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from concurrent.futures import Executor
from pathlib import Path

from conformance_table import Row
from foreign_tests import HERE, SUITES, on_bridge, packages

_NAME = "optimum-habana run_summarization"
_PROGRAM = SUITES / "optimum-habana" / "examples" / "summarization" / "run_summarization.py"
_NEEDS = (
    "datasets==4.0.0", "evaluate==0.4.5", "nltk==3.8.1", "rouge-score==0.1.2", "absl-py", "click", "joblib",
    "six",
)  # fmt: skip
# Of one process it asks in eager mode for a barrier of processes: a launcher makes them.
_LAUNCHERS = {"lazy": (), "eager": ("-m", "torch.distributed.run", "--nproc_per_node", "1")}
# A label that is as long as what is generated is kept, and is the tensor that a graph takes its next input into.
_OPTIONS = {
    "model_name_or_path": "model",
    "gaudi_config_name": "model",
    "train_file": "train.csv",
    "validation_file": "validation.csv",
    "text_column": "text",
    "summary_column": "summary",
    "max_source_length": "16",
    "max_target_length": "8",
    "generation_max_length": "10",
    "pad_to_max_length": "True",
    "predict_with_generate": "True",
    "per_device_train_batch_size": "16",
    "per_device_eval_batch_size": "8",
    "learning_rate": "1e-2",
    "num_train_epochs": "6",
    "report_to": "none",
    "save_strategy": "no",
    "throughput_warmup_steps": "3",
}
NEAR = 1e-4


def row(python: Path, pool: Executor, variables: Mapping[str, str]) -> Row:
    """Train, evaluate and generate in both modes, and return the row."""
    if not _PROGRAM.is_file():
        return Row(_NAME, "both", 0, 0, "not run: GAUDI_LAB_SUITES has no optimum-habana with its examples")
    with tempfile.TemporaryDirectory() as scratch:
        files = Path(scratch)
        path = os.pathsep.join([str(packages("summarization", _NEEDS)), variables["PYTHONPATH"]])
        more = {**variables, "PYTHONPATH": path, "NLTK_DATA": str(files / "nltk_data")}
        writer = HERE / "optimum_habana" / "summarization_files.py"
        on_bridge(python, "cpu", [str(writer), str(files)], more=more)
        found = dict(
            zip(
                _LAUNCHERS,
                pool.map(lambda mode: _run(python, files, more, mode), _LAUNCHERS),
                strict=True,
            )
        )
    first = next((x for x in found.values() if x is not None), None)
    passed = sum(x is not None and first is not None and _right(x, first) for x in found.values())
    told = ", ".join(f"{mode} {x}" for mode, x in found.items())
    return Row(_NAME, "both", passed, len(found), f"losses in training and evaluation, ROUGE-1: {told}")


def _run(
    python: Path, files: Path, variables: Mapping[str, str], mode: str
) -> tuple[float, float, float] | None:
    """Return the losses of training and evaluation and ROUGE-1 in percent; None if it did not come to the end."""
    command = [*_LAUNCHERS[mode], str(_PROGRAM), "--do_train", "--do_eval", "--use_habana"]
    command += ["--use_hpu_graphs_for_inference"] * (mode == "lazy")
    options = {**_OPTIONS, "output_dir": mode, "use_lazy_mode": str(mode == "lazy")}
    command += [word for name, value in options.items() for word in (f"--{name}", value)]
    on_bridge(python, mode, command, files, variables)
    results = files / mode / "all_results.json"
    if not results.exists():
        return None
    found = json.loads(results.read_text())
    return (found["train_loss"], found["eval_loss"], found["eval_rouge1"]) if "eval_rouge1" in found else None


def _right(got: tuple[float, float, float], expected: tuple[float, float, float]) -> bool:
    return got[2] == 100 and all(abs(x - y) <= NEAR for x, y in zip(got[:2], expected[:2], strict=True))
