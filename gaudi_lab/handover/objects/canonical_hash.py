"""One hash for all that a group holds, which is the same in the process that it was loaded into.

The order of sets, which strings are interned, and where in memory something lies do not enter it; what is shared does.
Memory enters by its own hash. Which device a tensor is on is counted beside it, so that what was loaded on the host
can be compared too.
"""

from __future__ import annotations

import hashlib
import types
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from gaudi_lab.handover.objects import blocks, functions
from gaudi_lab.handover.objects.blocks import DevicePlace, Piece
from gaudi_lab.handover.objects.carrier import ATOMS, Carrier, FoundAs
from gaudi_lab.handover.objects.landmarks import Landmarks

Hashes = Mapping[tuple[Any, ...], str]
"""What memory hashes to that is known already. It must be there for as long as the mapping is used."""

_PLAIN = (str, int, float, bool, bytes, type(None))


class Likeness(NamedTuple):
    """What is compared of a group.

    Attributes
    ----------
    hash
        Of its objects.
    places
        How many tensors are on which device.
    """

    hash: str
    places: dict[str, int]


def likeness(
    values: Any, landmarks: Landmarks, hashes: Hashes, found_as: FoundAs | None = None
) -> Likeness | None:
    """Return the hash of `values`; None if there is none, because something in it cannot be pickled any more.

    Parameters
    ----------
    hashes
        What memory hashes to that is known already.
    found_as
        Of loaded values, the names that their functions and classes were asked for by: those are compared.
    """
    hasher = Hasher(landmarks, hashes, found_as=found_as)
    try:
        return Likeness(hasher.of(values), dict(hasher.places))
    except Exception:
        return None


class _Digest:
    """A file that is a hash."""

    def __init__(self) -> None:
        self.hash = hashlib.sha256()

    def write(self, data: Any) -> None:
        self.hash.update(data)


class Hasher(Carrier):
    """Pickles into a hash, in an order that does not depend on the process.

    Attributes
    ----------
    places
        How many tensors are on which device.
    """

    def __init__(
        self,
        landmarks: Landmarks,
        hashes: Hashes,
        within: tuple[int, ...] = (),
        found_as: FoundAs | None = None,
    ) -> None:
        self._digest = _Digest()
        super().__init__(self._digest, landmarks)
        self.places: Counter[str] = Counter()
        self._known = hashes
        self._found_as = found_as or {}
        self._hashed: dict[
            tuple[Any, ...], str
        ] = {}  # its own: memory that only this pass has made goes with it
        self._within = within  # the sets that are being hashed, which may hold themselves
        self._texts: dict[tuple[type, Any], int] = {}
        self._numbers: dict[tuple[Any, ...], int] = {}
        self._alive: list[Any] = []

    def of(self, values: Any) -> str:
        """Return the hash of `values`."""
        self.dump(values)
        for kind, text in self._texts:
            data = text.encode("utf-8", "surrogatepass") if kind is str else text
            self._digest.write(f"{kind.__name__} {len(data)} ".encode())
            self._digest.write(data)
        return self._digest.hash.hexdigest()

    def persistent_id(self, obj: Any) -> Any:
        """Return what stands for a text, a set, code or a name: its value, and not which object it is."""
        kind = type(obj)
        if kind in ATOMS:
            return None
        if kind is str or kind is bytes:
            return self._texts.setdefault((kind, obj), len(self._texts))
        if kind is set or kind is frozenset:
            return (kind.__name__, *self._elements(obj))
        if kind is types.CodeType:
            return ("code", hash_of_code(obj))
        # By its type: a weak proxy says that it is what it stands for, or raises when that is gone.
        if issubclass(kind, functions.NAMED) and functions.goes_by_name(obj):
            return ("named", *(self._found_as.get(id(obj)) or functions.own_name(obj)))
        if kind is DevicePlace:
            self.places[obj.device] += 1
            return ("place",)
        return super().persistent_id(obj)

    def reducer_override(self, obj: Any) -> Any:
        """Return how `obj` is rebuilt, its attributes in the order of their names."""
        reduced = super().reducer_override(obj)
        if isinstance(reduced, tuple) and len(reduced) > 2:
            return (*reduced[:2], _in_order(reduced[2]), *reduced[3:])
        return reduced

    def memory(self, start: int, size: int, owner: Any) -> Piece:
        """Return the hash of memory, and the how manieth it is."""
        self._alive.append(owner)
        key = (start, size) if size else ("empty", id(owner))
        return self._piece(key, size, lambda: blocks.hash_of(blocks.view(start, size)))

    def device_memory(self, storage: Any) -> Piece:
        """Return the hash of a copy on the host."""
        self._alive.append(storage)
        size = storage.nbytes()
        key = ("device", storage._cdata, size)

        def hash_of_copy() -> str:
            copy = storage.cpu()
            return blocks.hash_of(blocks.view(copy.data_ptr(), size, copy))

        return self._piece(key, size, hash_of_copy)

    def _piece(self, key: tuple[Any, ...], size: int, hash_it: Callable[[], str]) -> Piece:
        found = self._known.get(key) or self._hashed.get(key) if size else ""
        if found is None:
            found = self._hashed[key] = hash_it()
        number = self._numbers.setdefault(key, len(self._numbers))
        return Piece(("memory", number, size, found))

    def _elements(self, items: Any) -> list[Any]:
        if all(type(item) in _PLAIN for item in items):
            return sorted(f"{type(item).__name__} {item!r}" for item in items)
        if id(items) in self._within:
            return ["itself"]
        found = []
        for item in items:
            hasher = Hasher(self.landmarks, self._known, (*self._within, id(items)), self._found_as)
            found.append(hasher.of(item))
            self.places.update(hasher.places)
        return sorted(found)


def _in_order(state: Any) -> Any:
    if isinstance(state, tuple):
        return (
            tuple(_in_order(part) for part in state) if any(type(part) is dict for part in state) else state
        )
    if type(state) is dict and all(type(key) is str for key in state):
        return {key: state[key] for key in sorted(state)}
    return state


def hash_of_code(code: types.CodeType) -> str:
    """Return a hash of code; marshal's own bytes depend on which of its strings are interned."""
    numbers = (
        code.co_argcount,
        code.co_posonlyargcount,
        code.co_kwonlyargcount,
        code.co_flags,
        code.co_firstlineno,
    )
    names = (
        code.co_names,
        code.co_varnames,
        code.co_freevars,
        code.co_cellvars,
        code.co_name,
        code.co_filename,
    )
    tables = (code.co_code, getattr(code, "co_linetable", b""), getattr(code, "co_exceptiontable", b""))
    constants = [_constant(value) for value in code.co_consts]
    return hashlib.sha256(
        repr((numbers, names, tables, constants)).encode("utf-8", "surrogatepass")
    ).hexdigest()


def _constant(value: Any) -> Any:
    if isinstance(value, types.CodeType):
        return hash_of_code(value)
    if isinstance(value, tuple):
        return [_constant(part) for part in value]
    if isinstance(value, frozenset):
        return ["frozenset", *sorted(str(_constant(part)) for part in value)]
    return f"{type(value).__name__} {value!r}"
