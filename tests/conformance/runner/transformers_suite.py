"""transformers' own tests of some models: on the plain CPU, and with the device hpu in both modes.

The tests belong to one version of the library, so they run against the library beside them, in an environment
of its own. They come from GitHub: the source distribution on PyPI holds no tests of models.
"""

from __future__ import annotations

import importlib.metadata
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from conformance_table import Row
from foreign_tests import checkout, environment, run_tests
from known_failures import Verdict

MODELS = ("bert", "distilbert", "gpt2", "vit", "clip", "t5", "llama")
MODES = ("cpu", "eager", "lazy")
_NEEDS = (
    "accelerate", "datasets", "parameterized", "pillow", "pytest", "pytest-env", "pytest-timeout", "pytest-xdist",
    "requests", "scipy", "sentencepiece",
)  # fmt: skip


def runs(workers: int) -> list[tuple[Row, Verdict | None]]:
    """Run every model's tests in every mode; return the rows, with what known_failures.toml says of each."""
    today = importlib.metadata.version("transformers")
    folder = checkout("transformers", (f"v{today}",))
    if folder is None:
        return [(Row(f"transformers {today} tests", "both", 0, 0, "not run: no checkout could be had"), None)]
    python = environment("transformers", ["--editable", str(folder), *_NEEDS])
    with ThreadPoolExecutor(workers) as pool:
        started = [pool.submit(_run, python, folder, model, mode) for model in MODELS for mode in MODES]
        return [run.result() for run in started]


def _run(python: Path, folder: Path, model: str, mode: str) -> tuple[Row, Verdict]:
    device = {"TRANSFORMERS_TEST_DEVICE": "cpu" if mode == "cpu" else "hpu"}
    tests = [f"tests/models/{model}/test_modeling_{model}.py"]
    row, verdict = run_tests(f"transformers {model}", mode, python, tests, folder, device)
    return row._replace(note=f"{_version(folder)}; {row.note}"), verdict


def _version(folder: Path) -> str:
    text = (folder / "src" / "transformers" / "__init__.py").read_text()
    found = re.search(r'^__version__ = "(.*)"', text, re.MULTILINE)
    return found[1] if found else "version unknown"
