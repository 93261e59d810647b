"""Runs a program in this one's place: it has the terminal, and its end is this one's end."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence


def run_in_foreground(command: Sequence[str], env: Mapping[str, str] | None = None) -> int:
    """Run a command and return its exit code, as a shell tells it.

    Ctrl-C reaches the program from the terminal. It ends by that, or asks whether to, in its own time.
    """
    with subprocess.Popen(command, env=env) as process:
        while True:
            try:
                code = process.wait()
            except KeyboardInterrupt:
                continue
            return code if code >= 0 else 128 - code
