"""A new process for each candidate and turn, with its environment set before anything is imported.

What runs travels as `packing` says, and what the notebook defined with it.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from gaudi_lab import bridge
from gaudi_lab.comparison.bounds import Bounds
from gaudi_lab.comparison.candidates import Candidate
from gaudi_lab.comparison.limits import Limits
from gaudi_lab.comparison.methods.packing import Packed, unpack
from gaudi_lab.comparison.plan import Procedure
from gaudi_lab.comparison.records import Journal
from gaudi_lab.comparison.row import FRESH
from gaudi_lab.errors import LabError
from gaudi_lab.handover.kernel import starting

SUBJECT, WEIGHTS, REFERENCE, RECORDS, ASKED, STARTED, SAID = (
    "subject.pickle",
    "weights.safetensors",
    "reference.pt",
    "records.jsonl",
    "asked.pickle",
    "started",
    "said.txt",
)
"""Files by which the processes talk."""

_CHILD = "gaudi_lab.comparison.methods.child"

_LOOKING = 0.05
"""Seconds between two looks at whether a process has started."""

_RUNNING = 0.5
"""Seconds between two looks at one that runs."""

_STARTING = 300.0
"""Seconds after which a process that has not loaded the bridge is ended, where its turn has a limit."""

_TAIL = 4000


@contextlib.contextmanager
def packed(what: Packed) -> Iterator[Path]:
    """Write what runs into a folder of its own, from which other processes read it, and take that away afterwards."""
    with tempfile.TemporaryDirectory(prefix="gaudi-lab-compare-") as name:
        folder = Path(name)
        (folder / SUBJECT).write_bytes(what.code)
        (folder / WEIGHTS).write_bytes(what.weights)
        yield folder


def unpacked(folder: Path) -> Any:
    """Return what runs, in the process that reads it."""
    return unpack(Packed((folder / SUBJECT).read_bytes(), (folder / WEIGHTS).read_bytes()))


def refuse_held_device(candidates: Sequence[Candidate]) -> None:
    """Raise if this process holds the only device, so that no other process can have it.

    Raises
    ------
    LabError
        With the line to run instead.
    """
    if not bridge.holds_only_device():
        return
    names = ", ".join(dict.fromkeys(str(candidate) for candidate in candidates))
    raise LabError(
        f"These settings need a process of their own, and this one holds the only card until it ends: {names}. "
        "Restart the kernel and compare before anything is on hpu: a model on the CPU is moved there in each process. "
        "Or compare what this process reaches.",
        python='gaudi_lab.compare(..., method="resident")',
        magic="%gaudi_compare --method resident ...",
    )


def compare_fresh(
    folder: Path,
    candidates: Sequence[Candidate],
    plan: Procedure,
    journal: Journal,
    bounds: Bounds | None = None,
) -> None:
    """Try candidates in processes of their own, and write down what comes of it.

    The order goes round: whoever was first is last in the next turn. A process that raises, dies or takes longer than
    it may costs its candidate, and no other.

    Parameters
    ----------
    folder
        From `packed`.
    candidates
        Those to try so.
    plan, journal
        How, and where to.
    bounds
        What it may take.

    Raises
    ------
    Stopped
        A limit is reached. The process that ran is ended.
    """
    if not candidates:
        return
    bounds = bounds or Bounds(Limits(plan.limit))
    bounds.count(folder, new=True)
    _make_reference(folder, candidates, plan, journal, bounds)
    for number in range(plan.rounds):
        start = number % len(candidates)
        for candidate in (*candidates[start:], *candidates[:start]):
            if not journal.out(candidate) and not journal.has(candidate, "timed", turn=number):
                _try(folder, candidate, number, plan, journal, bounds)


def _make_reference(
    folder: Path, candidates: Sequence[Candidate], plan: Procedure, journal: Journal, bounds: Bounds
) -> None:
    """Have the outputs of the first that runs, if an earlier process has not left them."""
    for candidate in candidates:
        if (folder / REFERENCE).exists():
            return
        if journal.has(candidate, "error"):
            continue
        first = not journal.has(candidate, "timed", turn=0)
        _try(folder, candidate, 0, plan, journal if first else Journal(), bounds)


def _try(
    folder: Path, candidate: Candidate, number: int, plan: Procedure, journal: Journal, bounds: Bounds
) -> None:
    """Run one turn in a process of its own."""
    bounds.begin(str(candidate))
    journal.begin(candidate)
    (folder / ASKED).write_bytes(pickle.dumps((candidate, number, plan)))
    written = folder / RECORDS
    for left in (written, folder / STARTED):
        left.unlink(missing_ok=True)
    with (folder / SAID).open("wb") as said:
        child = subprocess.Popen(
            starting.python_command(_CHILD, str(folder)),
            env=_environment(candidate),
            stdin=subprocess.PIPE,
            stdout=said,
            stderr=subprocess.STDOUT,
            # An interrupt is for this process, which then ends that one.
            start_new_session=True,
        )
        try:
            ended = _wait(child, folder / STARTED, plan.limit, bounds)
        except BaseException:
            _end(child)
            raise
    records = _read(written)
    for record in records:
        journal.put(record)
    if any(record["kind"] == "error" for record in records):
        return
    why = ""
    if ended is None:
        why = f"TooLong: took longer than {plan.limit:g} s, and was ended"
    elif ended:
        why = f"its process ended with {_name(ended)}{_last_line(folder / SAID)}"
    if why:
        journal.add("error", candidate=str(candidate), method=FRESH, error=why)


def _wait(child: subprocess.Popen[bytes], started: Path, limit: float | None, bounds: Bounds) -> int | None:
    """Return how the process ended; None if it had to be ended.

    The limit is for what runs, so that it counts from when the bridge is loaded.
    """
    assert child.stdin is not None
    with contextlib.suppress(BrokenPipeError), child.stdin as asked:  # broken: it is at its end already
        asked.write(json.dumps({"path": sys.path}).encode())
    until, since = time.monotonic() + _STARTING, None
    while True:
        bounds.check()
        now = time.monotonic()
        if since is None and (started.exists() or now >= until):
            since = now
        if limit is not None and since is not None and now - since > limit:
            _end(child)
            return None
        with contextlib.suppress(subprocess.TimeoutExpired):
            # Once it runs it is left alone: whoever looks takes time from it.
            return child.wait(_LOOKING if since is None else _RUNNING)


def _end(child: subprocess.Popen[bytes]) -> None:
    """End a process, and those that it has started."""
    if child.poll() is None:
        with contextlib.suppress(ProcessLookupError, AttributeError):
            os.killpg(child.pid, signal.SIGKILL)
        child.kill()
    child.wait()


def _environment(candidate: Candidate) -> dict[str, str]:
    found = {**os.environ, **bridge.environment_for(candidate.settings.mode.is_lazy)}
    for name, value in candidate.environment:
        if value is None:
            found.pop(name, None)
        else:
            found[name] = value
    return found


def _read(path: Path) -> list[dict[str, object]]:
    if not path.exists():
        return []
    found = []
    for line in path.read_bytes().splitlines():
        with contextlib.suppress(ValueError):  # the last line of a process that was ended
            found.append(json.loads(line))
    return found


def _name(code: int) -> str:
    if code >= 0:
        return f"status {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


def _last_line(path: Path) -> str:
    lines = path.read_text(encoding="utf-8", errors="replace")[-_TAIL:].strip().splitlines()
    return f": {lines[-1].strip()}" if lines else ""
