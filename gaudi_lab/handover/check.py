"""Load a snapshot in a process of its own, to see that it can be.

It is run under the environment that the notebook's process is to have. Everything is left on the host, so that no
device is touched: the process that asks still holds it. What is found is printed as one line of JSON.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import time
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from gaudi_lab.errors import LabError
from gaudi_lab.handover.kernel import starting
from gaudi_lab.handover.snapshot import Left, load

_MARK = "gaudi-lab-check "


@dataclass(frozen=True)
class Checked:
    """What became of a snapshot in another process.

    Attributes
    ----------
    names, hidden
        What could be loaded.
    left
        What could not, and why.
    differs, not_compared
        As in `gaudi_lab.handover.snapshot.Loaded`.
    seconds
        What the process took, its start included.
    """

    names: tuple[str, ...]
    hidden: tuple[str, ...]
    left: tuple[Left, ...]
    differs: tuple[str, ...]
    not_compared: tuple[str, ...]
    seconds: float


def check(
    path: str | Path,
    environment: Mapping[str, str],
    *,
    landmarks: Sequence[str] = (),
    before: Sequence[str] = (),
    timeout: float | None = None,
) -> Checked:
    """Load a snapshot in a child process, and say what came of it.

    Parameters
    ----------
    path
        The folder of the snapshot.
    environment
        All variables of the child: those that the notebook's process is to have.
    landmarks
        The keys of the landmarks that were given to `take`. In the child something stands for each.
    before
        Modules to import first, such as those that register how to load what travels.
    timeout
        Seconds after which it is given up.

    Raises
    ------
    LabError
        The child died, or said nothing within the time; the message has the end of what it said.
    """
    began = time.monotonic()
    search_path = [place for place in sys.path if isinstance(place, str)]  # Python passes over all others
    asked = json.dumps(
        {"path": str(path), "landmarks": list(landmarks), "before": list(before), "search_path": search_path}
    )
    try:
        child = subprocess.run(
            starting.python_command(__name__),
            input=asked,
            env=dict(environment),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise LabError(f"The snapshot was not loaded within {timeout:.0f} s by a child process.") from error
    answers = [line.removeprefix(_MARK) for line in child.stdout.splitlines() if line.startswith(_MARK)]
    if not answers:
        said = " ".join(child.stderr.split())[-500:]
        raise LabError(
            f"The snapshot could not be loaded by a child process, which ended with {child.returncode}: {said}"
        )
    told = json.loads(answers[-1])
    return Checked(
        names=tuple(told["names"]),
        hidden=tuple(told["hidden"]),
        left=tuple(Left(**reason) for reason in told["left"]),
        differs=tuple(told["differs"]),
        not_compared=tuple(told["not_compared"]),
        seconds=time.monotonic() - began,
    )


class Stand:
    """Stands for a landmark of the process that asks."""

    def __init__(self, name: str) -> None:
        self.name = name


def main() -> NoReturn:
    """Load what is asked for, and print the answer; it ends the process."""
    asked: dict[str, Any] = json.loads(sys.stdin.read())
    sys.path[:] = asked["search_path"]
    # A module of its own: names of the notebook must not become those of this one.
    sys.modules["__main__"] = notebook = types.ModuleType("__main__")
    answer = os.dup(1)  # what a library prints while it is loaded is no answer
    with contextlib.redirect_stdout(sys.stderr):
        for module in asked["before"]:
            __import__(module)
        landmarks = {name: Stand(name) for name in asked["landmarks"]}
        found = load(asked["path"], vars(notebook), on_host=True, landmarks=landmarks)
    told = {
        "names": found.names,
        "hidden": tuple(found.hidden),
        "left": [dataclasses.asdict(reason) for reason in found.left],
        "differs": found.differs,
        "not_compared": found.not_compared,
        "seconds": found.seconds,
    }
    os.write(answer, f"\n{_MARK}{json.dumps(told)}\n".encode())
    sys.stderr.flush()
    # Nothing that was loaded is taken down: its end could run anything, and is not what was asked.
    os._exit(0)
