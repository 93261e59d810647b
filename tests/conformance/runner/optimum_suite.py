"""optimum-habana, unmodified, in an environment with its own pins: its programs and its tests."""

from __future__ import annotations

import json
import re
import shutil
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path

import glue_rows
import hub_stand_ins
import summarization_rows
from conformance_table import Row
from foreign_tests import HERE, SUITES, checkout, environment, on_bridge, run_tests
from known_failures import Verdict

# Its pipelines import torchvision, of which there is no CPU build beside this torch.
_SHIM = {"PYTHONPATH": str(HERE / "optimum_habana" / "shim")}
# The second line is what optimum-habana's own pins come to: pip would find that out by a long search.
PINS = (
    "optimum-habana==1.21.2", "pytest<8", "parameterized", "datasets==3.6.0", "GitPython", "torchmetrics",
    "transformers==4.55.4", "diffusers==0.35.1", "huggingface-hub<1", "tokenizers<0.22",
    "torchsde", "optuna",
)  # fmt: skip
PROGRAMS = ("trainer_evaluation", "stable_diffusion", "text_generation")
MODES = ("eager", "lazy", "graphs")
TESTS = {
    "trainer": ["tests/test_trainer.py"],
    "configuration": ["tests/test_gaudi_configuration.py"],
    "profiler": ["tests/test_habana_profiler_unit.py"],
    "diffusers": [
        "tests/test_diffusers.py", "-k", "GaudiStableDiffusionPipelineTester or GaudiPipelineUtilsTester",
    ],
}  # fmt: skip
# transformers' tests of these models, as optimum-habana keeps them for its own versions of the models.
MODELS = ("bert", "distilbert", "gpt2", "vit", "t5", "llama")


def runs(workers: int) -> list[tuple[Row, Verdict | None]]:
    """Run everything; return the rows, with what known_failures.toml says of each."""
    python = environment("optimum", PINS)
    with ThreadPoolExecutor(workers) as pool:
        examples = (glue_rows, summarization_rows)
        rows = [*_programs(python, pool), *[x.row(python, pool, _SHIM) for x in examples]]
        return [*[(row, None) for row in rows], *_tests(python, pool)]


def _programs(python: Path, pool: Executor) -> list[Row]:
    """Run optimum-habana's main programs in each mode and hold their results against the CPU's."""
    asked = [(program, mode) for mode in ("cpu", *MODES) for program in PROGRAMS]
    results = dict(zip(asked, pool.map(lambda run: _program(python, *run), asked), strict=True))
    found = []
    for mode in MODES:
        same = [
            results[program, "cpu"] is not None and _close(results[program, mode], results[program, "cpu"])
            for program in PROGRAMS
        ]
        found.append(Row("optimum-habana programs", mode, sum(same), len(same), "same result as on the CPU"))
    return found


def _program(python: Path, program: str, mode: str) -> object:
    # Without a bridge optimum-habana does not import: on the CPU it computes there, in eager mode.
    bridge_mode = "eager" if mode in ("cpu", "eager") else "lazy"
    done = on_bridge(python, bridge_mode, [str(HERE / "optimum_habana" / f"{program}.py"), mode], more=_SHIM)
    match = re.search(r"^RESULT (.*)$", done.stdout, re.MULTILINE)
    return json.loads(match[1]) if match else None


def _close(got: object, expected: object) -> bool:
    if isinstance(expected, list):
        return isinstance(got, list) and len(got) == len(expected) and all(map(_close, got, expected))
    if isinstance(expected, float):
        return isinstance(got, float) and abs(got - expected) < 1e-4
    return got == expected


def _tests(python: Path, pool: Executor) -> list[tuple[Row, Verdict | None]]:
    folder = checkout("optimum-habana", ("v1.21.2", "main"))
    if folder is None:
        return [(Row("optimum-habana tests", "lazy", 0, 0, "not run: no checkout could be had"), None)]
    alone = SUITES / "optimum-habana-tests"  # beside `optimum/` they would import the checkout's
    shutil.copytree(folder / "tests", alone / "tests", dirs_exist_ok=True)
    models = alone / "tests" / "transformers"  # has a package `tests` of its own
    for place in (alone, models):
        shutil.copy(folder / "conftest.py", place)
    variables = {**_SHIM, "HF_HOME": str(hub_stand_ins.make(alone / "hub"))}
    places = [
        *[(f"optimum-habana {name}", tests, alone) for name, tests in TESTS.items()],
        *[
            (f"optimum-habana {model}", [f"tests/models/{model}/test_modeling_{model}.py"], models)
            for model in MODELS
        ],
    ]
    started = [
        pool.submit(run_tests, name, mode, python, tests, place, variables)
        for name, tests, place in places
        for mode in ("cpu", "lazy")
    ]
    return [run.result() for run in started]
