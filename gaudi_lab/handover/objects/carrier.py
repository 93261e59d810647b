"""The pickler that all of this is built on: it knows what to do with each kind of object, and refuses with a reason.

Three classes inherit it: one that only looks, one that writes, and one that hashes. They differ in what becomes of
memory and of an object that cannot travel.
"""

from __future__ import annotations

import io
import pickle
import sys
import types
from collections.abc import Callable
from typing import Any

import cloudpickle

from gaudi_lab.handover.objects import everyday, functions, open_files, refusals
from gaudi_lab.handover.objects.blocks import DevicePlace, Full, Piece
from gaudi_lab.handover.objects.landmarks import Landmarks

PROTOCOL = 5

Reduce = Callable[[Any, Any], Any]
"""Gets an object and the carrier; returns what `__reduce_ex__` would. Raises `CannotTravel` to refuse it."""

ReducerFor = Callable[[type], Reduce | None]
"""Gets a class; returns how its objects are reduced, or None if it has nothing to say of them."""

_registered: list[ReducerFor] = []


def register(reducer_for: ReducerFor) -> None:
    """Ask `reducer_for` for a reducer of every class from now on, before anything that is known here."""
    if reducer_for not in _registered:
        _registered.append(reducer_for)


FoundAs = dict[int, tuple[str, str]]
"""By the address of a function or class, the module and name that it was asked for by."""


class Carrier(cloudpickle.Pickler):
    """A pickler for the objects of a notebook.

    Parameters
    ----------
    file
        Where the bytes go.
    landmarks
        What travels by its name only.
    """

    dispatch_table: Any

    def __init__(self, file: Any, landmarks: Landmarks) -> None:
        super().__init__(file, protocol=PROTOCOL)
        self.landmarks = landmarks
        self._reducers: dict[type, Reduce | None] = {}
        self._refusals: dict[type, Callable[[Any], str] | None] = {}

    # What the three kinds of carriers decide for themselves.

    def memory(self, start: int, size: int, owner: Any) -> Piece:
        """Return what stands for `size` bytes of host memory at the address `start`, which `owner` keeps alive."""
        raise NotImplementedError

    def device_memory(self, storage: Any) -> Piece:
        """Return what stands for the memory of another device: an object with `nbytes()`, `cpu()` and `_cdata`."""
        raise NotImplementedError

    def travels_by_value(self, thing: Any) -> None:
        """Take note that a class or function is written itself, and not by its name."""

    def changes(self, thing: Any, how: str) -> None:
        """Take note that `thing` will have lost something: `how` is the rest of a sentence."""

    def refuse(self, thing: Any, reason: refusals.CannotTravel) -> Any:  # noqa: ARG002 - for those that go on
        """Say that `thing` cannot travel; what is returned is pickled in its place."""
        raise reason

    # What pickle calls.

    def persistent_id(self, obj: Any) -> Any:
        """Return what stands for an object that is not written, or None."""
        kind = type(obj)
        if kind in ATOMS:
            return None  # at once: they are most of what there is
        if kind in _STANDING:
            return obj.key
        return self.landmarks.key_of(obj)

    def reducer_override(self, obj: Any) -> Any:
        """Return how to rebuild `obj`; called for everything but the plainest built-in types."""
        kind = type(obj)
        if kind not in self._reducers:
            self._reducers[kind] = self._reducer_for(kind)
            self._refusals[kind] = refusals.words_for(kind)
        try:
            return self._reduced(obj, self._reducers[kind])
        except refusals.CannotTravel as reason:
            return self.refuse(obj, reason)
        except (RecursionError, Full):
            raise
        except Exception as error:
            return self.refuse(obj, refusals.of_error(error))

    def _reduced(self, obj: Any, reduce: Reduce | None) -> Any:
        if reduce is not None:
            return reduce(obj, self)
        name = functions.name_in_its_module(obj)
        if name is not None:
            return functions.by_name(*name)
        words = self._refusals[type(obj)]
        if words is not None:
            raise refusals.CannotTravel(words(obj))
        return self.stock_reduce(obj)

    def stock_reduce(self, obj: Any) -> Any:
        """Return what pickle and cloudpickle would do."""
        known = self.dispatch_table.get(type(obj))
        reduced = known(obj) if known is not None else obj.__reduce_ex__(PROTOCOL)
        if isinstance(reduced, str):
            functions.check_global(obj, reduced)
        return reduced

    def _reducer_for(self, kind: type) -> Reduce | None:
        for reducer_for in (*_registered, *_of_libraries(), *_ALWAYS):
            reduce = reducer_for(kind)
            if reduce is not None:
                return reduce
        return None


ATOMS = frozenset({int, float, bool, type(None)})
_STANDING = (Piece, DevicePlace)
_ALWAYS: tuple[ReducerFor, ...] = (functions.reducer_for, open_files.reducer_for, everyday.reducer_for)


def _of_libraries() -> list[ReducerFor]:
    """Return the reducers of the libraries that are loaded: none is loaded for this."""
    found: list[ReducerFor] = []
    if _is_loaded("torch"):
        from gaudi_lab.handover.objects import of_torch

        found.append(of_torch.reducer_for)
    if _is_loaded("numpy"):
        from gaudi_lab.handover.objects import of_numpy

        found.append(of_numpy.reducer_for)
    if _is_loaded("accelerate"):
        from gaudi_lab.handover.objects import of_accelerate

        found.append(of_accelerate.reducer_for)
    return found


def _is_loaded(library: str) -> bool:
    module = sys.modules.get(library)
    return isinstance(module, types.ModuleType) and not getattr(module.__spec__, "_initializing", False)


class Counted(io.RawIOBase):
    """A file that keeps nothing but the number of bytes."""

    def __init__(self) -> None:
        self.bytes = 0

    def write(self, data: Any) -> int:
        """Count `data`."""
        size = len(data) if isinstance(data, (bytes, bytearray)) else pickle.PickleBuffer(data).raw().nbytes
        self.bytes += size
        return size


class Fetcher(pickle.Unpickler):
    """Reads what a carrier has written.

    Parameters
    ----------
    file
        Where the bytes are.
    landmarks
        Those of this process.
    memory
        Returns the memory that a key stands for.
    on_host
        Whether what was on another device is left in host memory.

    Attributes
    ----------
    found_as
        The module and name that something was found by, where it bears other ones here: what a name of a library
        means may depend on the process, as `tqdm.auto.tqdm` does on whether there is a notebook. By the object.
    """

    def __init__(
        self, file: Any, landmarks: Landmarks, memory: Callable[[tuple[Any, ...]], Any], on_host: bool = False
    ) -> None:
        super().__init__(file)
        self._landmarks = landmarks
        self._memory = memory
        self._on_host = on_host
        self.found_as: FoundAs = {}

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        """Return what is found by a name, and take note if that is not its own."""
        found = super().find_class(module_name, global_name)
        if isinstance(found, functions.NAMED) and functions.own_name(found) != (module_name, global_name):
            self.found_as[id(found)] = (module_name, global_name)
        return found

    def persistent_load(self, pid: Any) -> Any:
        """Return the object of this process that a key stands for."""
        match pid[0]:
            case "memory":
                return self._memory(pid)
            case "place":
                return DevicePlace(pid[1], self._on_host)
        return self._landmarks.object_of(pid)
