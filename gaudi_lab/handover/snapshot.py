"""A namespace in a folder: `take` writes it, `load` brings it back.

Names whose objects share references are one group, and a group travels whole or not at all.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Left:
    """A name that does not travel.

    Attributes
    ----------
    name
        The name, or that of a hidden entry.
    why
        The reason as a sentence without a full stop, such as "loader.lock is a lock".
    where
        How to reach what cannot travel from the name: "loader.lock"; the name itself if it is not known.
    because_of
        The name that this one shares objects with, if the reason lies there.
    """

    name: str
    why: str
    where: str
    because_of: str | None = None


@dataclass(frozen=True)
class Changed:
    """What travels and comes back with something missing.

    Attributes
    ----------
    name
        The name that it belongs to.
    where
        How to reach it: "history[3]".
    how
        What it will have lost, as a part of a sentence: "has no autograd graph any more".
    """

    name: str
    where: str
    how: str


@dataclass(frozen=True)
class Snapshot:
    """What was written.

    Attributes
    ----------
    path
        The folder; None if nothing was left to write.
    names, hidden
        The names that are in it, and the hidden entries, in the order of the namespace.
    groups
        The same, cut into groups.
    left
        What is not in it, and why. Dropped names are not told here.
    changed
        What is in it but loses something on the way, such as a tensor its autograd graph.
    dropped
        The names that were given up on request.
    bytes
        What it takes on disk or in shared memory.
    seconds
        What taking it took.
    """

    path: Path
    names: tuple[str, ...]
    hidden: tuple[str, ...]
    groups: tuple[tuple[str, ...], ...]
    left: tuple[Left, ...]
    changed: tuple[Changed, ...]
    dropped: tuple[str, ...]
    bytes: int
    seconds: float


@dataclass(frozen=True)
class Loaded:
    """What came back.

    Attributes
    ----------
    names
        The names that were bound.
    hidden
        The hidden entries, which are bound nowhere.
    left
        What did not come, and why.
    replaced
        Names that were bound to something else before.
    differs
        Names of groups that came back differently: their hash is not what it was.
    not_compared
        Names of groups of which that is not known, because their hash is not the same twice.
    seconds
        What loading took.
    """

    names: tuple[str, ...]
    hidden: Mapping[str, Any]
    left: tuple[Left, ...]
    replaced: tuple[str, ...]
    differs: tuple[str, ...]
    not_compared: tuple[str, ...]
    seconds: float = field(compare=False, default=0.0)


def take(
    namespace: dict[str, Any],
    *,
    hidden: Mapping[str, Any] | None = None,
    drop: Collection[str] = (),
    folder: str | Path | None = None,
    landmarks: Mapping[str, Any] | None = None,
) -> Snapshot:
    """Write what `namespace` binds into a folder of its own, and say what is not in it.

    Nothing of the namespace is changed. What cannot travel is in `left`; whether that matters is for the caller to say.

    Parameters
    ----------
    namespace
        The live namespace of the notebook. Functions of the notebook read it, and will read the one they are loaded
        into.
    hidden
        Entries that belong to the notebook and are no names of it, such as attached models or ``Out[5]``.
    drop
        Names and hidden entries to leave behind.
    folder
        Where to make the snapshot's folder. By default in shared memory if there is room, else among temporary files.
    landmarks
        Objects that the new process has of its own, such as its kernel, by a key. They are not written: whoever refers
        to one will refer to that of the new process.

    Raises
    ------
    LabError
        There is not enough room. Nothing is left behind.
    LabValueError
        `drop` has a name that is not there.
    """
    raise NotImplementedError


def load(
    path: str | Path,
    into: dict[str, Any],
    *,
    names: Collection[str] | None = None,
    on_host: bool = False,
    landmarks: Mapping[str, Any] | None = None,
    compare: bool = True,
) -> Loaded:
    """Bind what a snapshot holds in `into`.

    A group that fails binds none of its names; the others come all the same.

    Parameters
    ----------
    path
        The folder of the snapshot. It must be this user's, writable by nobody else.
    into
        The namespace that the notebook's functions will read.
    names
        Only the groups of these names and hidden entries.
    on_host
        Leave the tensors of other devices in host memory, so that no device is touched.
    landmarks
        As in `take`, the objects of this process.
    compare
        Compare the hash of each group with that of the original.

    Raises
    ------
    LabError
        The folder is not a snapshot of this user, Python and format.
    LabValueError
        `names` has one that is not in it.
    """
    raise NotImplementedError
