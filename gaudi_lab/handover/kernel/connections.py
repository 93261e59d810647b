"""The kernel's connections, as the operating system sees them: who is connected, and what is still under way."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

_TABLES = ("/proc/net/tcp", "/proc/net/tcp6")
_ESTABLISHED = "01"


class Connection(NamedTuple):
    """One that a front end has made.

    Attributes
    ----------
    port
        The kernel's port.
    unsent, unread
        Bytes that wait in the system in either direction.
    """

    port: int
    unsent: int
    unread: int


def connections(ports: Iterable[int]) -> list[Connection] | None:
    """Return the connections that were made to these ports of this machine; None if the system does not say."""
    wanted = set(ports)
    tables = [path for path in map(Path, _TABLES) if path.exists()]
    if not tables or not wanted:
        return None
    return [x for table in tables for x in _rows(table.read_text(encoding="ascii")) if x.port in wanted]


def _rows(table: str) -> Iterator[Connection]:
    for row in table.splitlines()[1:]:
        _, local, _, state, waiting, *_ = row.split()
        if state == _ESTABLISHED:
            unsent, unread = waiting.split(":")
            yield Connection(int(local.rpartition(":")[2], 16), int(unsent, 16), int(unread, 16))


def close_at_exec() -> list[int]:
    """Have every descriptor but the standard ones closed when the process is replaced, so that devices are let go.

    Returns
    -------
    list of int
        The descriptors for which that was not so before.
    """
    changed = []
    for descriptor in _descriptors():
        with contextlib.suppress(OSError):  # closed meanwhile, such as the one that listed them
            if descriptor > 2 and os.get_inheritable(descriptor):
                os.set_inheritable(descriptor, False)
                changed.append(descriptor)
    return changed


def _descriptors() -> list[int]:
    for folder in ("/proc/self/fd", "/dev/fd"):
        if os.path.isdir(folder):
            return [int(name) for name in os.listdir(folder)]
    return list(range(3, os.sysconf("SC_OPEN_MAX")))
