"""What Intel's software wrote into its logs just now: there it says which operator a graph did not compile for."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

_DEFAULT = "/var/log/habana_logs"
_READ_AT_MOST = 1 << 18  # bytes at the end of a file
_JUST_NOW = 60.0  # seconds

# [19:08:34.164951][GC                    ][error][tid:44F8A] Failed to load tpc kernel for node: ...
_LINE = re.compile(r"^\[(?:\S+ )?(\d\d):(\d\d):(\d\d)[.\d]*\]\[(\w+)\s*\]\[(\w+)\s*\](?:\[[^\]]*\])*\s*(.*)$")
_ERRORS = ("error", "critical")
# The bridge repeats what it raises, with a backtrace; the others have said it before.
_REPEATS = "PT_BRIDGE"


def folder() -> Path:
    """Return where the logs are: `HABANA_LOGS`, or where Intel's images put them."""
    return Path(os.environ.get("HABANA_LOGS") or _DEFAULT)


def errors_just_now(at_most: int = 3) -> tuple[str, ...]:
    """Return the first errors of the last minute, such as "GC: Failed to load tpc kernel ..."; the first is the cause.

    Parameters
    ----------
    at_most
        How many.
    """
    found = [line for path in _files() for line in _last_burst(path)]
    return tuple(dict.fromkeys(text for _, text in sorted(found, key=lambda line: line[0])))[:at_most]


def _files() -> list[Path]:
    """Return the logs that were written to just now, those of each process of a launcher in folders of their own."""
    since = time.time() - _JUST_NOW
    try:
        there = [path for path in folder().rglob("*") if path.suffix in (".log", ".txt") and path.is_file()]
        return [path for path in there if path.stat().st_mtime >= since]
    except OSError:
        return []


def _last_burst(path: Path) -> list[tuple[float, str]]:
    """Return the errors at the end of a file, each with its second of the day.

    Lines have the time of day, in a zone that is not told: what is new is told by the file's own last line.
    """
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _READ_AT_MOST))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return []
    told = [match.groups() for line in lines if (match := _LINE.match(line))]
    at = [(3600 * int(h) + 60 * int(m) + float(s), who, level, said) for h, m, s, who, level, said in told]
    return [
        (second, f"{who}: {said.strip()}")
        for second, who, level, said in at
        if level in _ERRORS and said and who != _REPEATS and 0 <= at[-1][0] - second <= _JUST_NOW
    ]
