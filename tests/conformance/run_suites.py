"""Other people's programs and test suites, fetched and run unmodified on the emulated device.

    python tests/conformance/run_suites.py

What it needs, it makes or fetches: a second environment with optimum-habana and its own pins, and checkouts of
the suites from GitHub, because no package on PyPI carries them (transformers' source distribution holds the
shared mixins of its tests, not the tests of its models). ``GAUDI_LAB_SUITES`` names a folder that may hold the
checkouts already, as ``optimum-habana`` and ``transformers``. What cannot be fetched is said in the table.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import hub_stand_ins
from conformance_table import Row, text

from gaudi_lab.emulator import launch

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
ENVIRONMENT = ROOT / ".venv-optimum"
SUITES = Path(os.environ.get("GAUDI_LAB_SUITES", ROOT / "build" / "suites"))

# torch goes first and alone: with it in place nothing else asks for a CUDA build.
PINS = (
    ["torch==2.13.0"],
    [
        "optimum-habana==1.21.2",
        "pytest<8",
        "parameterized",
        "datasets==3.6.0",
        "GitPython",
        "torchmetrics",
        "torchsde",
        "optuna",
    ],
)

PROGRAMS = ("trainer_evaluation", "stable_diffusion", "text_generation")
MODES = ("eager", "lazy", "graphs")

OPTIMUM_TESTS = (
    "tests/test_trainer.py",
    "tests/test_gaudi_configuration.py",
    "tests/test_habana_profiler_unit.py",
    "tests/test_diffusers.py -k 'GaudiStableDiffusionPipelineTester or GaudiPipelineUtilsTester'",
)
# transformers' tests of these models, as optimum-habana keeps them for its own versions of the models.
OPTIMUM_MODELS = ("bert", "distilbert", "gpt2", "vit", "t5", "llama")
TRANSFORMERS_TESTS = ("bert", "distilbert", "gpt2", "vit", "clip", "t5", "llama")


def rows() -> list[Row]:
    """Run everything and return the rows of the table."""
    python = environment()
    return [*program_rows(python), *optimum_rows(python), *transformers_rows()]


def environment() -> Path:
    """Return the interpreter of the environment with optimum-habana, making it first if it is not there."""
    python = ENVIRONMENT / "bin" / "python"
    if not (ENVIRONMENT / ".ready").exists():
        subprocess.run([sys.executable, "-m", "venv", str(ENVIRONMENT)], check=True)
        for packages in PINS:
            subprocess.run([str(python), "-m", "pip", "install", "--quiet", *packages], check=True)
        (ENVIRONMENT / ".ready").touch()
    return python


def checkout(project: str, tags: tuple[str, ...]) -> tuple[Path | None, str]:
    """Return a checkout of ``huggingface/project`` at the first of `tags` that can be had, and a note on it."""
    folder = SUITES / project
    if (folder / "tests").is_dir():
        return folder, f"checkout in {folder.name}"
    SUITES.mkdir(parents=True, exist_ok=True)
    address = f"https://github.com/huggingface/{project}"
    for tag in tags:
        done = subprocess.run(
            ["git", "clone", "--quiet", "--depth", "1", "--branch", tag, address, str(folder)],
            check=False,
            capture_output=True,
        )
        if done.returncode == 0:
            return folder, tag
    return None, f"not run: {address} cannot be reached, and no package on PyPI carries these tests"


def program_rows(python: Path) -> list[Row]:
    """Run optimum-habana's main programs in each mode and hold their results against the CPU's."""
    expected = {program: _program(python, program, "cpu") for program in PROGRAMS}
    found = []
    for mode in MODES:
        same = [
            expected[program] is not None and _close(_program(python, program, mode), expected[program])
            for program in PROGRAMS
        ]
        found.append(Row("optimum-habana programs", mode, sum(same), len(same), "same result as on the CPU"))
    return found


def _program(python: Path, program: str, mode: str) -> object:
    done = _on_bridge(
        python,
        "eager" if mode in ("cpu", "eager") else "lazy",
        [str(HERE / "optimum_habana" / f"{program}.py"), mode],
    )
    match = re.search(r"^RESULT (.*)$", done.stdout, re.MULTILINE)
    return json.loads(match[1]) if match else None


def _close(got: object, expected: object) -> bool:
    if isinstance(expected, list):
        return isinstance(got, list) and len(got) == len(expected) and all(map(_close, got, expected))
    if isinstance(expected, float):
        return isinstance(got, float) and abs(got - expected) < 1e-4
    return got == expected


def optimum_rows(python: Path) -> list[Row]:
    """Run optimum-habana's own tests."""
    folder, note = checkout("optimum-habana", ("v1.21.2", "main"))
    if folder is None:
        return [Row("optimum-habana tests", "lazy", 0, 0, note)]
    found = []
    alone = folder.with_name(f"{folder.name}-tests")  # beside `optimum/` they would import the checkout's
    shutil.copytree(folder / "tests", alone / "tests", dirs_exist_ok=True)
    shutil.copy(folder / "conftest.py", alone)
    home = hub_stand_ins.make(alone / "hub")
    for tests in OPTIMUM_TESTS:
        command = ["-m", "pytest", "-q", "-p", "no:cacheprovider", *shlex.split(tests)]
        done = _on_bridge(python, "lazy", command, alone, {"HF_HOME": str(home)})
        found.append(_row(f"optimum-habana {shlex.split(tests)[0]}", "lazy", done.stdout))
    models = alone / "tests" / "transformers"  # a package `tests` of its own: not from the folder above
    shutil.copy(folder / "conftest.py", models)
    for model in OPTIMUM_MODELS:
        command = [
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            f"tests/models/{model}/test_modeling_{model}.py",
        ]
        done = _on_bridge(python, "lazy", command, models, {"HF_HOME": str(home)})
        found.append(_row(f"optimum-habana transformers {model}", "lazy", done.stdout))
    return found


def transformers_rows() -> list[Row]:
    """Run transformers' own tests of some models, with device hpu and on the plain CPU."""
    version = importlib.metadata.version("transformers")
    folder, note = checkout("transformers", (f"v{version}",))
    if folder is None:
        return [Row(f"transformers {version} tests", "lazy", 0, 0, note)]
    found = []
    for model in TRANSFORMERS_TESTS:
        command = [
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            f"tests/models/{model}/test_modeling_{model}.py",
        ]
        for mode in ("cpu", "eager", "lazy"):
            python = Path(sys.executable)
            device = {"TRANSFORMERS_TEST_DEVICE": "cpu" if mode == "cpu" else "hpu"}
            done = _on_bridge(python, None if mode == "cpu" else mode, command, folder, device)
            found.append(_row(f"transformers {model}", mode, done.stdout))
    return found


def _on_bridge(
    python: Path,
    mode: str | None,
    command: list[str],
    folder: Path | None = None,
    more: dict[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run `command` in `folder` on the emulated bridge; without `mode` on plain Python."""
    path = os.pathsep.join(
        filter(None, [str(HERE / "optimum_habana" / "shim"), os.environ.get("PYTHONPATH")])
    )
    variables = {
        **os.environ,
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
        "GAUDI_LAB_COMPILER": "replay",
        "PYTHONPATH": path,
        **(more or {}),
    }
    with tempfile.TemporaryDirectory() as site:
        if mode is not None:
            variables = launch.environment(launch.make_site(Path(site)), mode, variables)
        return subprocess.run(
            [str(python), *command], check=False, capture_output=True, text=True, cwd=folder, env=variables
        )


def _row(what: str, mode: str, output: str) -> Row:
    counts = {kind: int(n) for n, kind in re.findall(r"(\d+) (passed|failed|skipped|error)", output[-400:])}
    passed, failed = counts.get("passed", 0), counts.get("failed", 0) + counts.get("error", 0)
    lost = re.findall(r"^FAILED \S+::(\w+)", output, re.MULTILINE)
    return Row(
        what,
        mode,
        passed,
        passed + failed,
        f"{counts.get('skipped', 0)} skipped" + (f"; failed: {', '.join(lost)}" if lost else ""),
    )


if __name__ == "__main__":
    print(text(rows()))
