"""Have a process in the new environment load a snapshot, before anything is given up for it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Mapping

from gaudi_lab.errors import LabError
from gaudi_lab.handover.kernel.leaving import interpreter_options


_MOST_TOLD = 4


def load_elsewhere(path: str, variables: Mapping[str, str]) -> None:
    """Load a snapshot in a process of its own.

    Parameters
    ----------
    path
        The snapshot.
    variables
        All variables of that process.

    Raises
    ------
    LabError
        It could not.
    """
    command = [sys.executable, *interpreter_options(), "-m", "gaudi_lab.handover.check", path]
    pipe = subprocess.PIPE
    try:
        child = subprocess.Popen(command, env=dict(variables), stdout=pipe, stderr=pipe, text=True)
    except OSError as error:
        raise LabError(f"No process starts in the new environment: {error.strerror}.") from None
    try:
        printed, complained = child.communicate()
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()
    why = _why_not(printed, complained, child.returncode)
    if why:
        raise LabError(
            f"What was saved could not be loaded in the new environment: {why}. Everything is as it was."
        )


def _why_not(printed: str, complained: str, code: int) -> str:
    """Return why a check failed; empty if it did not."""
    lines = [line for line in printed.splitlines() if line.startswith("{")]
    told = json.loads(lines[-1]) if lines else {}
    if failed := told.get("left"):
        more = f"; and {len(failed) - _MOST_TOLD} more" if len(failed) > _MOST_TOLD else ""
        return "; ".join(x["why"] for x in failed[:_MOST_TOLD]) + more
    if code < 0:
        return f"the process that tried it was ended by {signal.Signals(-code).name}"
    if code or not lines:
        return (complained.strip().splitlines() or [f"it ended with {code}"])[-1]
    return ""
