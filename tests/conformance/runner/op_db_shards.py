"""Runs cases in child processes: one that crashes or hangs costs its own case, and the rest go on in a new one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Outcome:
    """What became of one case.

    Attributes
    ----------
    case
        Its name.
    samples
        How many samples the CPU accepted and the device was asked for.
    problems
        One line for each sample that failed.
    seconds
        How long it took.
    compiled, passed_over
        How many of its programs the compiler asked for has compiled, and how many ran step by step instead.
    disagreements
        Programs that were compiled and not believed, one line each.
    """

    case: str
    samples: int
    problems: tuple[str, ...]
    seconds: float = 0.0
    compiled: int = 0
    passed_over: int = 0
    disagreements: tuple[str, ...] = ()


class Worker(NamedTuple):
    """What a child process is asked for: see `run`."""

    database: str
    mode: str
    compiler: str
    samples: int | None


def names(database: str) -> list[str]:
    """Return the names of all cases of ``op_db`` or ``module_db``."""
    listing = (
        f"import sys; sys.path.insert(0, {str(HERE)!r}); "
        f"import {database}_cases as cases; print('\\n'.join(cases.cases()))"
    )
    return subprocess.run(
        [sys.executable, "-c", listing], check=True, capture_output=True, text=True, env=_environment()
    ).stdout.split()


def run(
    database: str,
    mode: str,
    cases: Sequence[str],
    *,
    compiler: str = "replay",
    workers: int = 1,
    shard: int = 250,
    samples: int | None = None,
    seconds_each: float = 240.0,
) -> list[Outcome]:
    """Run `cases` in `mode`, in `workers` processes at a time, and return what became of each.

    Parameters
    ----------
    database
        ``"op_db"`` or ``"module_db"``.
    mode
        ``"eager"`` or ``"lazy"``.
    cases
        Names, as `names` returns them.
    compiler
        What compiles recorded programs: ``"replay"``, ``"openvino"`` or ``"inductor"``.
    workers, shard
        How many processes at a time, and how many cases one of them gets.
    samples
        At most so many samples of a case; None for all.
    seconds_each
        A case that takes longer is stopped, and has failed.
    """
    worker = Worker(database, mode, compiler, samples)
    count = max(1, -(-len(cases) // shard))
    shards = [list(cases[first::count]) for first in range(count)]
    with ThreadPoolExecutor(workers) as pool:
        done = pool.map(lambda part: _shard(worker, part, seconds_each), shards)
        return sorted((outcome for part in done for outcome in part), key=lambda outcome: outcome.case)


def _shard(worker: Worker, cases: list[str], limit: float) -> list[Outcome]:
    outcomes: list[Outcome] = []
    left = cases
    while left:
        done, reason = _child(worker, left, limit)
        outcomes += done
        finished = {outcome.case for outcome in done}
        left = [case for case in left if case not in finished]
        if left and reason is not None:
            outcomes.append(Outcome(left[0], 0, (reason,)))
            left = left[1:]
    return outcomes


def _child(worker: Worker, cases: list[str], limit: float) -> tuple[list[Outcome], str | None]:
    """Run one process until it ends, dies or hangs; return what it finished and why it did not finish the rest."""
    with tempfile.TemporaryDirectory() as folder:
        lines, log = Path(folder, "lines.jsonl"), Path(folder, "log.txt")
        lines.touch()
        command = [sys.executable, str(HERE / "op_db_worker.py"), worker.database, worker.mode, str(lines)]
        command += [] if worker.samples is None else ["--samples", str(worker.samples)]
        with log.open("w") as output:
            child = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                text=True,
                env=_environment(worker.compiler),
            )
            assert child.stdin is not None
            child.stdin.write("\n".join(cases))
            child.stdin.close()
            hung = _wait(child, lines, limit)
        done = [_outcome(x) for x in map(json.loads, lines.read_text().splitlines()) if "began" not in x]
        if hung:
            return done, f"stopped after {limit:.0f} s"
        if child.returncode:
            tail = " | ".join(log.read_text().splitlines()[-3:])
            return done, f"the process ended with {child.returncode}: {tail[-300:]}"
        return done, None


def _wait(child: subprocess.Popen[str], lines: Path, limit: float) -> bool:
    """Wait for `child`; stop it and return True if it writes nothing for `limit` seconds."""
    size, since = -1, time.monotonic()
    while child.poll() is None:
        time.sleep(0.2)
        grown = lines.stat().st_size
        if grown != size:
            size, since = grown, time.monotonic()
        elif time.monotonic() - since > limit:
            child.kill()
            child.wait()
            return True
    return False


def _outcome(line: dict[str, object]) -> Outcome:
    problems = tuple([f"sample {number}: {problem}" for number, problem in line["problems"]])  # type: ignore[attr-defined]
    return Outcome(
        str(line["case"]),
        int(str(line["samples"])),
        problems,
        float(str(line["seconds"])),
        int(str(line["compiled"])),
        int(str(line["passed_over"])),
        tuple(map(str, line["disagreements"])),  # type: ignore[arg-type]
    )


def _environment(compiler: str = "replay") -> dict[str, str]:
    return {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "GAUDI_LAB_COMPILER": compiler,
        "PYTHONPATH": os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH")])),
        "TORCH_DEVICE_BACKEND_AUTOLOAD": "0",
    }
