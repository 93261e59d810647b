"""What it takes to run another project's tests: an environment, a checkout, a process, and its report."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree

from conformance_table import Row
from known_failures import Verdict, judge
from op_db_shards import Outcome

from gaudi_lab.cli.run import environment as emulated_environment
from gaudi_lab.cli.run import make_site

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
SUITES = Path(os.environ.get("GAUDI_LAB_SUITES", ROOT / "build" / "suites"))


def python_of(name: str) -> Path:
    """Return where the interpreter of the environment `.venv-NAME` is, or will be."""
    return ROOT / f".venv-{name}" / "bin" / "python"


def environment(name: str, *installs: Sequence[str]) -> Path:
    """Return the interpreter of the environment `.venv-NAME`, making it first if it is not there.

    Parameters
    ----------
    name
        What it is for.
    installs
        What pip installs, one call after the other. torch goes first and alone: with it in place nothing else
        asks for a CUDA build.
    """
    python = python_of(name)
    folder = python.parent.parent
    if not (folder / ".ready").exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        for packages in (["torch==2.13.0"], *installs):
            subprocess.run([str(python), "-m", "pip", "install", "--quiet", *packages], check=True)
        (folder / ".ready").touch()
    return python


@functools.cache
def packages(name: str, needs: tuple[str, ...]) -> Path:
    """Return a folder with the packages `needs`, without theirs, for a suite that runs in this environment."""
    folder = ROOT / "build" / f"packages-{name}"
    if not (folder / ".ready").exists():
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder)]
        subprocess.run([*command, *needs], check=True)
        (folder / ".ready").touch()
    return folder


def checkout(project: str, tags: Iterable[str]) -> Path | None:
    """Return a checkout of ``huggingface/PROJECT`` at the first of `tags` that can be had; None if none can.

    One that already lies in ``GAUDI_LAB_SUITES`` is taken as it is.
    """
    folder = SUITES / project
    if (folder / "tests").is_dir():
        return folder
    SUITES.mkdir(parents=True, exist_ok=True)
    for tag in tags:
        address = f"https://github.com/huggingface/{project}"
        clone = ["git", "clone", "--quiet", "--depth", "1", "--branch", tag, address, str(folder)]
        if subprocess.run(clone, check=False, capture_output=True).returncode == 0:
            return folder
    return None


def on_bridge(
    python: Path,
    mode: str,
    command: Sequence[str],
    folder: Path | None = None,
    more: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run `python *command` in `folder`, on the emulated bridge in `mode`, or for ``"cpu"`` without a bridge."""
    variables = {
        **os.environ,
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
        "GAUDI_LAB_COMPILER": "replay",
        **(more or {}),
    }
    with tempfile.TemporaryDirectory() as site:
        if mode != "cpu":
            variables = emulated_environment(make_site(Path(site)), mode, variables)
        return subprocess.run(
            [str(python), *command], check=False, capture_output=True, text=True, cwd=folder, env=variables
        )


def run_tests(
    database: str,
    mode: str,
    python: Path,
    tests: Sequence[str],
    folder: Path,
    more: Mapping[str, str] | None = None,
) -> tuple[Row, Verdict]:
    """Run pytest over `tests` and return the row of the table, and how it compares with known_failures.toml."""
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch) / "report.xml"
        command = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "log_cli=0", "--tb=line"]
        done = on_bridge(python, mode, [*command, f"--junitxml={report}", *tests], folder, more)
        outcomes, skipped = read_report(report) if report.exists() else ([], 0)
    if not outcomes:
        outcomes = [Outcome("collection", 1, (_last_error(done.stdout + done.stderr),))]
    verdict = judge(database, mode, outcomes)
    failed = verdict.known + len(verdict.new)
    notes = [f"{failed} failed, {skipped} skipped"]
    notes += [f"{verdict.known} known"] if verdict.known else []
    notes += [f"{verdict.left_out} more do not apply"] if verdict.left_out else []
    notes += [f"new: {', '.join(x.partition(': ')[0] for x in verdict.new)}"] if verdict.new else []
    return Row(database, mode, verdict.passed, verdict.passed + failed, "; ".join(notes)), verdict


def read_report(report: Path) -> tuple[list[Outcome], int]:
    """Return the outcome of each case of a report of pytest's, and how many were skipped."""
    outcomes, skipped = {}, 0
    for case in ElementTree.parse(report).getroot().iter("testcase"):
        name = f"{case.get('classname', '').rpartition('.')[2]}::{case.get('name')}"
        if case.find("skipped") is not None:
            skipped += 1
            continue
        problems = [x.get("message") or "" for kind in ("failure", "error") for x in case.findall(kind)]
        before = outcomes.get(name)
        problems = [*(before.problems if before else ()), *problems]
        outcomes[name] = Outcome(name, 1, tuple(problems))
    return list(outcomes.values()), skipped


def _last_error(output: str) -> str:
    lines = [line.removeprefix("E").strip() for line in output.splitlines() if "Error" in line]
    return lines[-1] if lines else "the run ended without a report"
