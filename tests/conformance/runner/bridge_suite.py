"""The bridge's own tests (gaudi-pytorch-bridge, `tests/pytest_working`), unmodified, in lazy, eager and compile mode.

They lie in the folder that ``GAUDI_LAB_SUITES`` names, as ``gaudi-pytorch-bridge``: an exported tree is enough. Of
some 25,000 cases a fixed sample runs, at most `MOST` of each test function. A process gets some files at a time; one
that aborts or hangs costs the case that it was at, and another process goes on behind that.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import bridge_sample
from conformance_table import Row
from foreign_tests import HERE, SUITES, packages
from known_failures import Verdict, judge
from op_db_shards import Outcome

from gaudi_lab.cli.run import environment as emulated_environment
from gaudi_lab.cli.run import make_site

FOLDER = SUITES / "gaudi-pytorch-bridge" / "tests" / "pytest_working"
NAME = "bridge's own tests"
MODES = ("lazy", "eager", "compile")
MOST = int(os.environ.get("GAUDI_LAB_BRIDGE_MOST", "3"))
FILES_EACH = 12
# What its tests import beside PyTorch; NumPy is there.
_NEEDS = ("pandas", "python-dateutil", "pytz", "six", "tzdata")
# Left out: they make tensors of several GiB: a minute each on a host, and more memory than CI has.
LEFT_OUT = ("any_mode/test_huge_tensor.py", "compile/test_compile_huge_tensor.py")
# Seconds for a case, of which most take less than one, and for what comes before the first.
LIMIT = 60.0
START = 240.0


@dataclass
class Shard:
    """What some files of the suite came to.

    Attributes
    ----------
    outcomes
        Of each case that ran and was not skipped.
    skipped
        How many cases the suite itself skips or expects to fail.
    aborted
        How many ended their process, or had to be stopped.
    """

    outcomes: list[Outcome] = field(default_factory=list)
    skipped: int = 0
    aborted: int = 0


def runs(workers: int) -> list[tuple[Row, Verdict | None]]:
    """Run the sample in every mode; return the rows, with what known_failures.toml says of each."""
    if not FOLDER.is_dir():
        return [(Row(NAME, "all", 0, 0, "not run: GAUDI_LAB_SUITES has no gaudi-pytorch-bridge"), None)]
    return [_run_mode(mode, workers) for mode in MODES]


def _run_mode(mode: str, workers: int) -> tuple[Row, Verdict]:
    packages("bridge", _NEEDS)  # before two threads ask for it at once
    with ThreadPoolExecutor(workers) as pool:
        shards = list(pool.map(lambda files: _shard(mode, files), _parts(mode)))
    outcomes = [outcome for shard in shards for outcome in shard.outcomes]
    verdict = judge(NAME, mode, outcomes)
    # A file whose import stops at a closed package, and is known to, applies no more than a skipped case does.
    files = [x for x in outcomes if "::" not in x.case]
    closed = judge(NAME, mode, files).known
    failed = verdict.known + len(verdict.new) - closed
    skipped, aborted = sum(x.skipped for x in shards), sum(x.aborted for x in shards)
    note = f"{failed} failed, {len(verdict.new)} of them new; {aborted} aborted; {skipped} skipped; "
    note += f"{closed} files cannot be imported"
    return Row(NAME, mode, verdict.passed, verdict.passed + failed, note), verdict


def _parts(mode: str) -> list[list[str]]:
    """Return the test files for `mode`, in parts. Files that import much together stay together."""
    files = sorted(
        str(path.relative_to(FOLDER))
        for place in (mode, "any_mode")
        for path in (FOLDER / place).rglob("test_*.py")
    )
    files = [name for name in files if name not in LEFT_OUT]
    return [files[first : first + FILES_EACH] for first in range(0, len(files), FILES_EACH)]


def _shard(mode: str, files: list[str]) -> Shard:
    shard = Shard()
    done: set[str] = set()
    while True:
        before = len(done)
        problem = _child(mode, files, done, shard)
        if problem is None:
            return shard
        shard.aborted += 1
        if len(done) == before:  # not even one case began
            shard.outcomes.append(Outcome(files[0], 1, (problem,)))
            return shard


def _child(mode: str, files: list[str], done: set[str], shard: Shard) -> str | None:
    """Run one process until it ends, dies or hangs; add what it finished; return why it did not finish the rest."""
    with tempfile.TemporaryDirectory() as scratch:
        lines, log = Path(scratch, "lines.jsonl"), Path(scratch, "log.txt")
        lines.touch()
        site = Path(scratch, "site")
        site.mkdir()
        variables = emulated_environment(
            make_site(site), _bridge_mode(mode), _variables(lines, done, scratch)
        )
        command = [sys.executable, "-m", "pytest", f"--mode={mode}", f"--rootdir={FOLDER}", *_OPTIONS, *files]
        with log.open("w") as output:
            child = subprocess.Popen(command, cwd=FOLDER, env=variables, stdout=output, stderr=output)
            hung = _wait(child, lines)
        began = None
        for line in map(json.loads, lines.read_text().splitlines()):
            began = line.get("began")
            if began is None and line["case"] not in done:
                _add(shard, line)
                done.add(line["case"])
        if not hung and child.returncode in _ENDED:
            return None  # collection errors are cases of their own
        tail = " | ".join(log.read_text(errors="replace").splitlines()[-3:])
        problem = f"stopped after {LIMIT:.0f} s" if hung else f"ended with {child.returncode}: {tail[-300:]}"
        if began is not None:
            shard.outcomes.append(Outcome(began, 1, (problem,)))
            done.add(began)
        return problem


_OPTIONS = (
    "-q", "-p", "bridge_sample", "-p", "no:cacheprovider", "-p", "no:xdist", "--continue-on-collection-errors",
    "--tb=short", "-W", "ignore",
)  # fmt: skip
# All passed, some failed, stopped by collection errors, none collected.
_ENDED = (0, 1, 2, 5)


def _bridge_mode(mode: str) -> str:
    return "lazy" if mode == "lazy" else "eager"


def _variables(lines: Path, done: set[str], scratch: str) -> dict[str, str]:
    return {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "GAUDI_LAB_COMPILER": "replay",
        "HF_HUB_OFFLINE": "1",
        "HABANA_LOGS": scratch,
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": os.pathsep.join(
            [str(HERE), *filter(None, [os.environ.get("PYTHONPATH")]), str(packages("bridge", _NEEDS))]
        ),
        bridge_sample.LINES: str(lines),
        bridge_sample.MOST: str(MOST),
        bridge_sample.DONE: json.dumps(sorted(done)),
    }


def _add(shard: Shard, line: dict[str, object]) -> None:
    if line["skipped"]:
        shard.skipped += 1
    else:
        shard.outcomes.append(Outcome(str(line["case"]), 1, tuple(line["problems"])))  # type: ignore[arg-type]


def _wait(child: subprocess.Popen[bytes], lines: Path) -> bool:
    """Wait for `child`; stop it and return True if it writes nothing for too long."""
    size, since = -1, time.monotonic()
    while child.poll() is None:
        time.sleep(0.2)
        grown = lines.stat().st_size
        if grown != size:
            size, since = grown, time.monotonic()
        elif time.monotonic() - since > (LIMIT if size else START):
            child.kill()
            child.wait()
            return True
    return False
