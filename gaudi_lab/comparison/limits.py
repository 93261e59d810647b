"""How long comparing may take, and how much disk, in words: "20 min, 4 GiB"."""

from __future__ import annotations

import re
from dataclasses import dataclass

from gaudi_lab.errors import LabValueError

_SECONDS = {"s": 1, "sec": 1, "second": 1, "min": 60, "minute": 60, "h": 3600, "hour": 3600}
_BYTES = {
    **{name.lower(): 1 << 10 * power for power, name in enumerate(("B", "KiB", "MiB", "GiB", "TiB"))},
    **{name.lower(): 1000**power for power, name in enumerate(("kB", "MB", "GB", "TB"), 1)},
}
_TURN = re.compile(r"\s*(?:(?:a|per|each)\s+turn|/\s*turn)$")


@dataclass(frozen=True)
class Limits:
    """What comparing may take; None for any.

    Attributes
    ----------
    turn
        Seconds for one turn of one setting, its warm-up included but not the start of its process.
    seconds
        Seconds for all of it.
    disk
        Bytes on disk meanwhile, for all of it.
    """

    turn: float | None = None
    seconds: float | None = None
    disk: int | None = None


def parse_limits(asked: str | float | None) -> Limits:
    """Return the limits that are asked for: "20 min", "4 GiB", "20 min, 4 GiB, 90 s a turn"; a number is for one turn.

    Raises
    ------
    LabValueError
        They cannot be read, or one is given twice.
    """
    if asked is None:
        return Limits()
    found: dict[str, float] = {}
    for part in re.split(r",|\band\b", str(asked).lower()):
        name, value = _read(part.strip(), asked)
        if name in found:
            raise _unreadable(f"limit={asked!r} gives two limits of one kind")
        found[name] = value
    disk = found.pop("disk", None)
    return Limits(**found, disk=None if disk is None else int(disk))


def say_seconds(value: float) -> str:
    """Return a limit of time in words: "20 min", "90 s"."""
    for scale, unit in ((3600, "h"), (60, "min")):
        if value >= scale and value % scale == 0:
            return f"{value / scale:g} {unit}"
    return f"{value:g} s"


def say_bytes(value: int) -> str:
    """Return a limit of disk in words: "4 GiB"."""
    unit = next(
        name for name in ("TiB", "GiB", "MiB", "KiB", "B") if value >= _BYTES[name.lower()] or name == "B"
    )
    return f"{value / _BYTES[unit.lower()]:.3g} {unit}"


def _read(part: str, asked: str | float) -> tuple[str, float]:
    text, of_turn = _TURN.subn("", part)
    found = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+)\s*([a-z]*)", text)
    if found is None or not float(found[1]):
        raise _unreadable(f"limit={asked!r} cannot be read: {part!r} is no time and no size")
    number, unit = float(found[1]), found[2]
    seconds = _SECONDS.get(unit.rstrip("s") or unit)
    if not unit or (of_turn and seconds is not None):
        return "turn", number * (seconds or 1)
    if seconds is not None:
        return "seconds", number * seconds
    if unit in _BYTES and not of_turn:
        return "disk", number * _BYTES[unit]
    units = ", ".join(("s", "min", "h", "MiB", "GiB"))
    raise _unreadable(f"limit={asked!r} cannot be read: {part!r} has none of the units {units}")


def _unreadable(why: str) -> LabValueError:
    return LabValueError(
        f"{why}.",
        python='gaudi_lab.compare(..., limit="20 min, 4 GiB, 90 s a turn")',
        magic='%gaudi_compare --limit "20 min, 4 GiB" model(**batch)',
    )
