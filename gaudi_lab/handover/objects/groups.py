"""Which names belong together: those whose objects share references (Kishu's co-variables).

Found by pickling everything once without keeping a byte: a pickler sees every object that would travel.
"""

from __future__ import annotations

import enum
import pickle
import types
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from gaudi_lab.handover.objects import reach
from gaudi_lab.handover.objects.blocks import Piece
from gaudi_lab.handover.objects.carrier import ATOMS, Carrier, Counted
from gaudi_lab.handover.objects.landmarks import Landmarks
from gaudi_lab.handover.objects.refusals import CannotTravel

_LONG = 2**16
"""From this length on, a string or bytes that two names share is worth keeping shared."""

_VALUES = (int, float, bool, complex, type(None), type(...), type(NotImplemented), range, slice)
_BY_NAME = (types.FunctionType, types.BuiltinFunctionType, types.ModuleType, type)
_MODULES_OF_VALUES = frozenset({"datetime", "decimal", "fractions", "pathlib", "re", "uuid", "zoneinfo"})
_PIECE = Piece(("memory",))


class Root(NamedTuple):
    """A name, or a hidden entry, and its value."""

    name: str
    is_hidden: bool
    value: Any


class Culprit(NamedTuple):
    """An object that cannot travel, what it is, and the root that it was found from."""

    root: int
    thing: Any
    words: str


class Loss(NamedTuple):
    """An object that travels and loses something, what it loses, and the root that it was found from."""

    root: int
    thing: Any
    how: str


class Region(NamedTuple):
    """A stretch of host memory, and the root that it was found from."""

    start: int
    end: int
    root: int


@dataclass
class Group:
    """Roots that travel together or not at all.

    Attributes
    ----------
    roots
        Their numbers, in order.
    culprits
        What holds them here.
    """

    roots: list[int]
    culprits: list[Culprit]


class Tracer(Carrier):
    """Looks at everything that would travel.

    Parameters
    ----------
    roots
        Where to begin.
    landmarks
        What travels by its name only.

    Attributes
    ----------
    regions, of_devices, counted
        The memory that was seen, on the host and by the address of a device's storage, and the size of all else.
    """

    def __init__(self, roots: list[Root], landmarks: Landmarks) -> None:
        self.counted = Counted()
        super().__init__(self.counted, landmarks)
        self.roots = roots
        self.changed: list[Loss] = []
        self._culprits: list[Culprit] = []
        self.regions: list[Region] = []
        self.of_devices: dict[int, int] = {}
        self._parents = list(range(len(roots)))
        self._first: dict[int, int] = {}  # address of an object -> the root that it was first found from
        self._by_value: set[int] = set()
        self._alive: list[Any] = []
        self._kinds: dict[type, bool] = {}
        self._now = 0

    @property
    def bytes(self) -> int:
        """About what it would take to write it all."""
        return bytes_of(self)

    def trace(self) -> list[Group]:
        """Look at every root, and return the groups in the order of their first names."""
        for number, root in enumerate(self.roots):
            self._now = number
            try:
                self.dump(root.value)
            except (pickle.PicklingError, RecursionError) as error:
                deep = isinstance(error, RecursionError) or isinstance(error.__cause__, RecursionError)
                words = "is nested too deeply" if deep else f"cannot be pickled: {error}"
                self._culprits.append(Culprit(number, root.value, words))
            except Exception as error:
                self._culprits.append(Culprit(number, root.value, f"cannot be pickled: {error}"))
        self._join_overlapping()
        groups: dict[int, Group] = {}
        for number in range(len(self.roots)):
            groups.setdefault(self._find(number), Group([], [])).roots.append(number)
        for culprit in self._culprits:
            groups[self._find(culprit.root)].culprits.append(culprit)
        return list(groups.values())

    def where(self, root: int, thing: Any) -> str | None:
        """Return how to reach something from a root; None if it is not known."""
        name, _, value = self.roots[root]
        return reach.way(name, value, thing, self.landmarks.namespace)

    # What a carrier does.

    def persistent_id(self, obj: Any) -> Any:
        """Take note that the root of now holds `obj`."""
        kind = type(obj)
        if kind in ATOMS:
            return None
        if kind is str or kind is bytes:
            if len(obj) >= _LONG:
                self._claim(obj)
            return None
        key = super().persistent_id(obj)
        if key is None and not self._is_value(kind, obj):
            self._claim(obj)
        return key

    def memory(self, start: int, size: int, owner: Any) -> Piece:
        """Take note of memory of the host."""
        self._alive.append(owner)
        if size:
            self.regions.append(Region(start, start + size, self._now))
        return _PIECE

    def device_memory(self, storage: Any) -> Piece:
        """Take note of memory of another device."""
        self._alive.append(storage)
        self.of_devices[storage._cdata] = storage.nbytes()
        self._claim(storage, storage._cdata)
        return _PIECE

    def travels_by_value(self, thing: Any) -> None:
        """Take note of a class or function of the notebook."""
        self._by_value.add(id(thing))
        self._alive.append(thing)
        self._claim(thing)

    def changes(self, thing: Any, how: str) -> None:
        """Take note of something that will have lost something."""
        self.changed.append(Loss(self._now, thing, how))

    def refuse(self, thing: Any, reason: CannotTravel) -> Any:
        """Take note of something that cannot travel, and go on."""
        self._culprits.append(Culprit(self._now, thing, reason.words))
        return type, (None,)

    def _is_value(self, kind: type, thing: Any) -> bool:
        """Return whether it does not matter that two names share `thing`, because it never changes."""
        if kind is tuple or kind is frozenset:
            return all(type(part) in (*_VALUES, str, bytes) for part in thing)
        known = self._kinds.get(kind)
        if known is None:
            known = self._kinds[kind] = (
                kind in _VALUES or issubclass(kind, enum.Enum) or kind.__module__ in _MODULES_OF_VALUES
            )
            known = self._kinds[kind] = known or kind.__module__.startswith("numpy.dtypes")
            known = self._kinds[kind] = known or (
                kind.__module__ == "torch"
                and kind.__name__ in ("dtype", "device", "Size", "layout", "memory_format")
            )
        return known or (issubclass(kind, _BY_NAME) and id(thing) not in self._by_value)

    def _claim(self, thing: Any, address: int | None = None) -> None:
        first = self._first.setdefault(id(thing) if address is None else -address, self._now)
        if first != self._now:
            self._join(first, self._now)

    def _join_overlapping(self) -> None:
        end, root = 0, 0
        for region in sorted(self.regions):
            if region.start < end:
                self._join(root, region.root)
            if region.end > end:
                end, root = region.end, region.root

    def _join(self, one: int, other: int) -> None:
        one, other = sorted((self._find(one), self._find(other)))
        self._parents[other] = one

    def _find(self, number: int) -> int:
        while self._parents[number] != number:
            self._parents[number] = self._parents[self._parents[number]]
            number = self._parents[number]
        return number


def bytes_of(*tracers: Tracer) -> int:
    """Return about what it would take to write all that these have seen, what several have seen once."""
    memory = sum(end - start for start, end in extents(*tracers))
    of_devices = {key: size for tracer in tracers for key, size in tracer.of_devices.items()}
    return sum(tracer.counted.bytes for tracer in tracers) + memory + sum(of_devices.values())


def extents(*tracers: Tracer) -> list[tuple[int, int]]:
    """Return the stretches of host memory that were seen, those that overlap as one, in order."""
    found: list[tuple[int, int]] = []
    for start, end, _ in sorted(region for tracer in tracers for region in tracer.regions):
        if found and start < found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return found


def roots_of(names: Iterable[tuple[str, Any]], hidden: Iterable[tuple[str, Any]]) -> list[Root]:
    """Return the roots of a namespace and of hidden entries."""
    return [Root(name, False, value) for name, value in names] + [Root(name, True, x) for name, x in hidden]
