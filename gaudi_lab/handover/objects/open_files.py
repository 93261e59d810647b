"""Open files: one that is read comes back at its place, one that is written never does.

Opening a file for writing may empty it, so nothing here opens one that way.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from typing import Any, NamedTuple

from gaudi_lab.handover.objects.refusals import CannotTravel

_LONGEST_LOOK = 64 * 2**20


class Spot(NamedTuple):
    """A file that was being read, and where.

    Attributes
    ----------
    path, size, changed
        The file, its size in bytes, and when it was last changed, in nanoseconds.
    name, mode
        As it was opened.
    position
        What `tell` said.
    encoding, errors
        Of a text file; None for bytes.
    buffering
        0 for a raw file.
    """

    path: str
    size: int
    changed: int
    name: Any
    mode: str
    position: int
    encoding: str | None
    errors: str | None
    buffering: int


def reducer_for(kind: type) -> Callable[[Any, Any], Any] | None:
    """Return how an object of `kind` is reduced, if it is a file that `open` returns."""
    if kind in (io.TextIOWrapper, io.BufferedReader, io.FileIO):
        return _reduce_file
    return _reduce_written if kind in (io.BufferedWriter, io.BufferedRandom, io.BufferedRWPair) else None


def _reduce_file(file: Any, carrier: Any) -> Any:
    if file.closed:
        return _reduce_closed(file)
    name = getattr(file, "name", None)
    if file.writable():
        raise CannotTravel(f"is a file that is open for writing ({name})")
    if not isinstance(name, (str, bytes, os.PathLike)):
        raise CannotTravel("is an open stream that has no path")
    return reopen, (_spot(file, os.path.abspath(os.fsdecode(name))),)


def _reduce_written(file: Any, carrier: Any) -> Any:
    return _reduce_file(file, carrier)


def _spot(file: Any, path: str) -> Spot:
    here = os.fstat(file.fileno())
    try:
        there = os.stat(path)
    except OSError as error:
        raise CannotTravel(f"is a file that is being read and is no longer at {path}") from error
    if not os.path.samestat(here, there):
        raise CannotTravel(f"is a file that is being read, and at {path} there is another now")
    text = isinstance(file, io.TextIOWrapper)
    if text and _has_carriage_returns(path):
        raise CannotTravel(
            f"reads {path}, which has carriage returns, and how it treats them cannot be found out"
        )
    try:
        position = file.tell()
    except OSError as error:
        raise CannotTravel(f"is a file whose position is not known: {error}") from error
    return Spot(
        path=path,
        size=here.st_size,
        changed=here.st_mtime_ns,
        name=file.name,
        mode=file.mode,
        position=position,
        encoding=file.encoding if text else None,
        errors=file.errors if text else None,
        buffering=0 if isinstance(file, io.FileIO) else -1,
    )


def _has_carriage_returns(path: str) -> bool:
    """Return whether it matters how line ends are read, which a text file does not tell."""
    if os.path.getsize(path) > _LONGEST_LOOK:
        return True
    with open(path, "rb") as file:
        return b"\r" in file.read()


def reopen(spot: Spot) -> Any:
    """Open a file for reading and go to where it was.

    Raises
    ------
    OSError
        It is gone, or it is not the same any more.
    """
    now = os.stat(spot.path)
    if (now.st_size, now.st_mtime_ns) != (spot.size, spot.changed):
        raise OSError(f"{spot.path} has changed since")
    mode = "r" if spot.encoding is not None else "rb"
    file = open(spot.path, mode, buffering=spot.buffering, encoding=spot.encoding, errors=spot.errors)  # noqa: SIM115
    file.seek(spot.position)
    return file


def _reduce_closed(file: Any) -> Any:
    text = isinstance(file, io.TextIOWrapper)
    return make_closed, (
        type(file),
        getattr(file, "name", None),
        getattr(file, "mode", None),
        file.encoding if text else None,
        file.errors if text else None,
    )


def make_closed(kind: type, name: Any, mode: str | None, encoding: str | None, errors: str | None) -> Any:
    """Return a closed file that says the same of itself; the file of that name is not touched."""
    writes = kind is io.BufferedWriter or (mode or "r")[0] in "wax"
    raw = io.FileIO(os.devnull, "w" if writes else "r")
    raw.name = name
    file: Any = raw
    if kind is not io.FileIO:
        file = io.BufferedWriter(raw) if writes else io.BufferedReader(raw)
    if kind is io.TextIOWrapper:
        file = io.TextIOWrapper(file, encoding=encoding, errors=errors)
        file.mode = mode
    file.close()
    return file
