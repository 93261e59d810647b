"""The snapshots that lie there: the last one of each process, and those that nobody came for."""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any

from gaudi_lab.errors import LabError, LabValueError
from gaudi_lab.handover.folder import Standing, mark_arrived, open_snapshot, standing
from gaudi_lab.handover.manifest import Manifest
from gaudi_lab.handover.snapshot import Loaded, load

_WEEK = 7 * 24 * 3600.0


def kept(parent: str | Path | None = None) -> tuple[Standing, ...]:
    """Return the finished snapshots of this user, the newest first."""
    return tuple([each for each in standing(parent) if each.finished])


def orphans(parent: str | Path | None = None) -> tuple[Standing, ...]:
    """Return the snapshots that were made for a process which is gone and never loaded them, the newest first.

    Where that process was killed while it wrote, the names are in it that were whole by then.
    """
    return tuple(
        [
            each
            for each in standing(parent)
            if each.holds_something and not each.arrived and not each.is_of_a_living_process
        ]
    )


def arrived(path: str | Path) -> None:
    """Take note that a snapshot has been loaded by the process that it was made for."""
    mark_arrived(Path(path))


def remove_at_exit(path: str | Path) -> None:
    """Remove a snapshot when this process ends by itself: it is in memory, and nobody asks for it any more."""
    process = os.getpid()

    def remove() -> None:
        if os.getpid() == process:  # and not a child that was forked
            shutil.rmtree(path, ignore_errors=True)

    atexit.register(remove)


def clean_up(keep: str | Path | None = None, parent: str | Path | None = None) -> tuple[Path, ...]:
    """Remove what nobody will ask for, and return what was removed.

    That is: earlier snapshots of this process, those of processes which are gone and had loaded them or had not
    written anything whole, and what is older than a week and belongs to none.

    Parameters
    ----------
    keep
        A snapshot to keep in any case.
    parent
        Where to look; by default in shared memory and among temporary files.
    """
    removed = []
    for each in standing(parent):
        if keep is not None and each.path == Path(keep):
            continue
        gone = not each.is_of_a_living_process
        if each.process == os.getpid() or (
            gone and (each.arrived or not each.holds_something or each.age > _WEEK)
        ):
            with contextlib.suppress(OSError):
                shutil.rmtree(each.path)
                removed.append(each.path)
    return tuple(removed)


def restore(
    path: str | Path | None = None,
    names: Collection[str] | None = None,
    *,
    into: dict[str, Any],
    replace: bool = False,
    parent: str | Path | None = None,
) -> Loaded:
    """Bind what a snapshot holds in `into`.

    Parameters
    ----------
    path
        The folder of the snapshot; by default the last one of this process, else the newest that nobody came for.
    names
        Only these names, with those that share objects with them. By default all but those that were given up.
    into
        The namespace.
    replace
        Whether names that are bound to something else may be bound anew.
    parent
        Where to look for the snapshot.

    Raises
    ------
    LabError
        There is none, or it must not be loaded.
    LabValueError
        A name is not in it, or would be bound anew. Nothing has changed.
    """
    found = Path(path) if path is not None else _newest(parent)
    told = Manifest.from_text(open_snapshot(found).manifest())
    bound = [name for entry in told.wanted(names) for name in entry.names if name in into]
    if bound and not replace:
        asked = f", names={list(names)!r}" if names is not None else ""
        raise LabValueError(
            f"{', '.join(bound)} would be bound anew, and what is bound now would be lost.",
            python=f"gaudi_lab.restore({str(found)!r}{asked}, replace=True)",
        )
    return load(found, into, names=names)


def _newest(parent: str | Path | None) -> Path:
    own = [each for each in kept(parent) if each.process == os.getpid()]
    found = [*own, *orphans(parent)]
    if not found:
        raise LabError("There is no snapshot of this process, and none that another one has left.")
    return found[0].path
