"""A namespace in a folder: `take` writes it, `load` brings it back.

Names whose objects share references are one group, and a group travels whole or not at all.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from gaudi_lab.errors import LabValueError
from gaudi_lab.handover import folder as folders
from gaudi_lab.handover.manifest import GroupEntry, Manifest, closing_line, group_line, opening_line
from gaudi_lab.handover.objects.blocks import BlockMemory, Full
from gaudi_lab.handover.objects.canonical_hash import likeness
from gaudi_lab.handover.objects.carrier import Fetcher, FoundAs
from gaudi_lab.handover.objects.groups import Group, Root, Tracer, bytes_of, extents, roots_of
from gaudi_lab.handover.objects.landmarks import Landmarks
from gaudi_lab.handover.objects.writing import Files

_SHOWN = 12
"""So many names of a snapshot are told to whoever asks for one that is not in it."""


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
        The folder.
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
    spare
        Those of them that are in it all the same, for whoever asks for them by name.
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
    spare: tuple[str, ...]
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
    skip: Collection[str] = (),
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
        Names and hidden entries to leave behind. A name that can travel by itself is written too if there is space,
        as what it is now and no longer bound up with anything: `load` brings it only if it is asked for.
    folder
        Where to make the snapshot's folder. By default in shared memory if it fits, else among temporary files.
    landmarks
        Objects that the new process has of its own, such as its kernel, by a key. They are not written: whoever refers
        to one will refer to that of the new process.
    skip
        Names of the namespace that are not the notebook's own, such as those that IPython puts there. Nothing is told
        of them, nor of those that every module has, such as ``__builtins__``.

    Raises
    ------
    LabError
        there is not enough space. Nothing is left behind.
    LabValueError
        `drop` has a name that is not there.
    """
    began = time.monotonic()
    # What is garbage already, and not collected, would travel for a weak reference to it, and be gone there.
    gc.collect()
    hidden = hidden or {}
    _check_names(drop, [*namespace, *hidden], "cannot be dropped: there is none")
    marks = Landmarks(namespace, landmarks)
    roots = roots_of(_kept(namespace, {*drop, *skip, *_OF_EVERY_MODULE}), _kept(hidden, drop))
    tracer = Tracer(roots, marks)
    groups = tracer.trace()
    left = [reason for group in groups if group.culprits for reason in reasons(group, tracer)]
    going = [group for group in groups if not group.culprits]
    spares, alone = apart(roots_of(_only(namespace, drop), ()), marks)
    with folders.making(tracer.bytes, folder) as made, made.writing() as (objects, memory):
        if not made.fits(bytes_of(tracer, spares)):
            spares, alone = apart([], marks)
        files = Files(objects, memory, extents(tracer, spares))
        made.note(opening_line([roots[n].name for group in going for n in group.roots], drop))
        entries = [_note(group, roots, files, marks, made, left) for group in going]
        spare = [_note(group, spares.roots, files, marks, made, [], given_up=True) for group in alone]
        made.note(closing_line([reason.name for reason in left]))
        made.finish()
        size = files.bytes
    written = [entry for entry in entries if entry is not None]
    names = {name for entry in written for name in entry.all_names}
    return Snapshot(
        path=made.path,
        names=tuple(root.name for root in roots if not root.is_hidden and root.name in names),
        hidden=tuple(root.name for root in roots if root.is_hidden and root.name in names),
        groups=tuple(entry.all_names for entry in written),
        left=tuple(left),
        changed=tuple(_changes(tracer, names)),
        dropped=tuple(drop),
        spare=tuple(name for entry in spare if entry is not None for name in entry.names),
        bytes=size,
        seconds=time.monotonic() - began,
    )


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

    A group that fails binds none of its names; the others come all the same. Each is bound as soon as it is loaded, for
    what is loaded may call functions of the notebook, which read its names.

    Parameters
    ----------
    path
        The folder of the snapshot. It must be this user's, writable by nobody else.
    into
        The namespace that the notebook's functions will read.
    names
        Only the groups of these names and hidden entries; by default all but those that were given up.
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
    began = time.monotonic()
    found = folders.open_snapshot(path)
    manifest = Manifest.from_text(found.manifest())
    known = [name for entry in manifest.groups for name in entry.all_names]
    own = [name for entry in manifest.groups for name in entry.names]
    there = f"{', '.join(own[:_SHOWN])}{' and more' if len(own) > _SHOWN else ''}" or "nothing"
    _check_names(names or (), [*known, *manifest.unwritten], f"is not in this snapshot, which has {there}")
    marks = Landmarks(into, landmarks)
    left = [
        Left(name, f"{name} had no time to be written, as process {found.process} was killed", name)
        for name in manifest.unwritten
        if names is None or name in names
    ]
    before = dict(into)
    with found.reading() as (objects, memory_file), _as_before_if_it_fails(into):
        came, failed = _load_groups(manifest, names, objects, memory_file, into, marks, on_host)
    for entry, error in failed:
        words = " ".join(str(error).split()) or type(error).__name__
        left += [Left(name, f"{name} could not be loaded: {words}", name) for name in entry.all_names]
    bound = {name: value for each in came for name, value in each.named.items()}
    differs: list[str] = []
    unknown: list[str] = []
    for each in came if compare else ():
        verdict = _compared(each.entry, each.values, marks, on_host, each.found_as)
        if verdict is not True:
            (unknown if verdict is None else differs).extend(each.entry.all_names)
    return Loaded(
        names=tuple(bound),
        hidden={name: value for each in came for name, value in each.hidden.items()},
        left=tuple(left),
        replaced=tuple(x for x, value in bound.items() if x in before and before[x] is not value),
        differs=tuple(differs),
        not_compared=tuple(unknown),
        seconds=time.monotonic() - began,
    )


class _Came(NamedTuple):
    """A group that was loaded."""

    entry: GroupEntry
    values: Sequence[Any]
    found_as: FoundAs

    @property
    def named(self) -> dict[str, Any]:
        return dict(zip(self.entry.names, self.values, strict=False))

    @property
    def hidden(self) -> dict[str, Any]:
        return dict(zip(self.entry.hidden, self.values[len(self.entry.names) :], strict=True))


def _load_groups(
    manifest: Manifest,
    names: Collection[str] | None,
    objects: int,
    memory_file: int,
    into: dict[str, Any],
    marks: Landmarks,
    on_host: bool,
) -> tuple[list[_Came], list[tuple[GroupEntry, Exception]]]:
    """Load groups and bind their names; return those that came and those that failed.

    One that fails is tried again if another one came since, whose names it may have missed.
    """
    came: list[_Came] = []
    waiting, before = manifest.wanted(names), -1
    failed: list[tuple[GroupEntry, Exception]] = []
    while waiting and len(came) > before:
        before, failed = len(came), []
        # Anew each time: what had failed may have written to it.
        memory = BlockMemory(memory_file, list(manifest.blocks))
        for entry in waiting:
            try:
                data = folders.read(objects, entry.offset, entry.size)
                fetcher = Fetcher(data, marks, memory.piece, on_host)
                came.append(_Came(entry, fetcher.load(), fetcher.found_as))
            except Exception as error:
                failed.append((entry, error))
                continue
            into.update(came[-1].named)
        waiting = [entry for entry, _ in failed]
    return came, failed


@contextlib.contextmanager
def _as_before_if_it_fails(namespace: dict[str, Any]) -> Iterator[None]:
    before = dict(namespace)
    try:
        yield
    except BaseException:
        namespace.clear()
        namespace.update(before)
        raise


_OF_EVERY_MODULE = frozenset(
    f"__{name}__"
    for name in (
        "name",
        "doc",
        "package",
        "loader",
        "spec",
        "builtin",
        "builtins",
        "file",
        "cached",
        "annotations",
    )
) | {"__warningregistry__"}


def _check_names(asked: Collection[str], known: Collection[str], why_not: str) -> None:
    strangers = [name for name in asked if name not in known]
    if strangers:
        raise LabValueError(f"{', '.join(strangers)} {why_not}.")


def _kept(entries: Mapping[str, Any], drop: Collection[str]) -> list[tuple[str, Any]]:
    return [(name, value) for name, value in list(entries.items()) if name not in drop]


def _only(entries: Mapping[str, Any], names: Collection[str]) -> list[tuple[str, Any]]:
    return [(name, entries[name]) for name in names if name in entries]


def apart(roots: list[Root], marks: Landmarks) -> tuple[Tracer, list[Group]]:
    """Trace those of the roots that can travel when the others, which they may share objects with, do not."""
    tracer = Tracer(roots, marks)
    groups = tracer.trace()
    held = {tracer.roots[culprit.root].name for group in groups for culprit in group.culprits}
    return apart([root for root in roots if root.name not in held], marks) if held else (tracer, groups)


def _note(
    group: Group,
    roots: list[Root],
    files: Files,
    marks: Landmarks,
    made: folders.Folder,
    left: list[Left],
    *,
    given_up: bool = False,
) -> GroupEntry | None:
    """Write a group and its line in the manifest."""
    before = len(files.blocks)
    entry = _try_to_write(group, roots, files, marks, left)
    if entry is not None:
        entry = dataclasses.replace(entry, given_up=given_up)
        made.note(group_line(entry, files.blocks[before:]))
    return entry


def _try_to_write(
    group: Group, roots: list[Root], files: Files, marks: Landmarks, left: list[Left]
) -> GroupEntry | None:
    """Write a group; if one of its objects fails now, say so in `left`."""
    try:
        return _write(group, roots, files, marks)
    except Full:
        raise
    except Exception as error:
        for number in group.roots:
            name = roots[number].name
            left.append(Left(name, f"{name} could not be written: {error}", name))
        return None


def _write(group: Group, roots: list[Root], files: Files, marks: Landmarks) -> GroupEntry:
    """Write a group, and hash it twice: a hash that is not the same twice says nothing later."""
    named = [roots[number] for number in group.roots if not roots[number].is_hidden]
    hidden = [roots[number] for number in group.roots if roots[number].is_hidden]
    values = [root.value for root in (*named, *hidden)]
    offset, size = files.write(values, marks)
    once, again = (likeness(values, marks, files.hashes) for _ in range(2))
    return GroupEntry(
        names=tuple(root.name for root in named),
        hidden=tuple(root.name for root in hidden),
        offset=offset,
        size=size,
        hash=once.hash if once is not None and once == again else None,
        places=once.places if once is not None else {},
    )


def _compared(
    entry: GroupEntry, values: Any, marks: Landmarks, on_host: bool, found_as: FoundAs
) -> bool | None:
    """Return whether a group came back as it was; None if that is not known."""
    if entry.hash is None:
        return None
    now = likeness(values, marks, {}, found_as)
    if now is None:
        return False
    return now.hash == entry.hash and (on_host or now.places == entry.places)


def reasons(group: Group, tracer: Tracer) -> Iterator[Left]:
    """Yield why each name of a group stays: what it holds itself, or the name that it shares objects with."""
    own: dict[int, Left] = {}
    for culprit in group.culprits:
        if culprit.root not in own:
            name = tracer.roots[culprit.root].name
            way = tracer.where(culprit.root, culprit.thing)
            why = f"{way} {culprit.words}" if way else f"something in {name} {culprit.words}"
            own[culprit.root] = Left(name, why, way or name)
    first = next(iter(own.values()))
    for number in group.roots:
        name = tracer.roots[number].name
        why = f"{name} is bound up with {first.name} by objects that they share, and {first.why}"
        yield own.get(number) or Left(name, why, first.where, because_of=first.name)


def _changes(tracer: Tracer, names: set[str]) -> Iterator[Changed]:
    for change in tracer.changed:
        name = tracer.roots[change.root].name
        if name in names:
            yield Changed(name, tracer.where(change.root, change.thing) or name, change.how)
