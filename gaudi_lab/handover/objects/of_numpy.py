"""NumPy arrays: memory is written once, and what shares it shares it again, tensors included."""

from __future__ import annotations

import array
import os
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

try:
    from numpy.lib.array_utils import byte_bounds
except ImportError:  # before NumPy 2
    byte_bounds = np.byte_bounds  # type: ignore[attr-defined]

from gaudi_lab.handover.objects.refusals import CannotTravel

DummyArray: Any = type(as_strided(np.empty(1), (1,)).base)
Array = np.ndarray[Any, Any]


def reducer_for(kind: type) -> Callable[[Any, Any], Any] | None:
    """Return how an object of `kind` is reduced, if it is an array."""
    if issubclass(kind, np.memmap):
        return _reduce_memmap
    if issubclass(kind, np.ndarray):
        known = (np.ndarray.__reduce__, np.ma.MaskedArray.__reduce__)
        return _reduce_array if kind.__reduce__ in known else None
    return None


def _reduce_array(values: Array, carrier: Any) -> Any:
    kind = type(values)
    state = getattr(values, "__dict__", None) or None
    arguments = _plain(values, carrier)
    if arguments is None:
        if type(values) is not np.ndarray:
            return carrier.stock_reduce(values)
        return _reduce_references(values, carrier)
    make, *rest = arguments
    if kind is np.ndarray:
        return make, tuple(rest)
    return make_subclass, (kind, make, tuple(rest)), state, None, None, set_attributes


def _plain(values: Array, carrier: Any) -> tuple[Any, ...] | None:
    """Return how to rebuild an array over its memory; None if it holds references, which are no plain memory."""
    if values.dtype.hasobject or values.dtype.char == "T":
        return None
    root = root_of(values)
    if isinstance(root, np.memmap):
        offset = values.ctypes.data - root.ctypes.data
        return make_view, root, offset, values.dtype, values.shape, values.strides, values.flags.writeable
    exporter = _exporter(root)
    if exporter is not None:
        start = np.frombuffer(exporter, np.uint8).ctypes.data if len(exporter) else values.ctypes.data
        offset = values.ctypes.data - start
        return (
            make_over_buffer,
            exporter,
            offset,
            values.dtype,
            values.shape,
            values.strides,
            values.flags.writeable,
        )
    start, size = extent(root)
    if _is_foreign(root):
        carrier.changes(values, f"does not share its memory with a {type(_base(root)).__name__} any more")
    piece = carrier.memory(start, size, root)
    order = "C" if values.flags.c_contiguous else "F" if values.flags.f_contiguous else None
    whole = values.size > 0 and order is not None and values.nbytes == size and values.ctypes.data == start
    offset = values.ctypes.data - start if values.size else 0
    # The strides of a dimension of size one may be anything; an array that is allocated has the usual ones.
    whole = whole and values.strides == _usual_strides(values.shape, values.dtype.itemsize, order)
    layout = (offset, values.dtype, values.shape, values.strides)
    return make_array, piece, *layout, values.flags.writeable, order if whole else None


def _usual_strides(shape: tuple[int, ...], size: int, order: str | None) -> tuple[int, ...]:
    """Return the strides, in bytes, of an array that has just been allocated in `order`."""
    strides = []
    for length in shape if order == "F" else reversed(shape):
        strides.append(size)
        size *= length
    return tuple(strides if order == "F" else reversed(strides))


def root_of(values: Array) -> Array:
    """Return the array that `values` is a view of."""
    base = _base(values)
    while isinstance(base, np.ndarray):
        values, base = base, _base(base)
    return values


def _base(values: Array) -> Any:
    """Return what the memory of an array belongs to; `as_strided` puts an object of its own in between."""
    base: Any = values.base
    return base.base if type(base) is DummyArray else base


def extent(root: Array) -> tuple[int, int]:
    """Return where the memory of an array begins, and its size in bytes. That of a tensor is its whole storage."""
    base = _base(root)
    if type(base).__module__.partition(".")[0] == "torch" or hasattr(base, "untyped_storage"):
        storage = base.untyped_storage()
        return storage.data_ptr(), storage.nbytes()
    if root.size == 0:
        return root.ctypes.data, 0
    low, high = byte_bounds(root)
    return low, high - low


def _exporter(root: Array) -> Any:
    """Return the bytes, bytearray or array.array that the memory belongs to, if it does."""
    base = _base(root)
    if isinstance(base, memoryview):
        base = base.obj
    return base if type(base) in (bytes, bytearray, array.array) else None


def _is_foreign(root: Array) -> bool:
    base = _base(root)
    if base is None or hasattr(base, "untyped_storage"):
        return False
    from gaudi_lab.handover.objects.blocks import Mapped

    return not (isinstance(base, memoryview) and isinstance(base.obj, Mapped))


def make_array(
    piece: Any,
    offset: int,
    dtype: np.dtype[Any],
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    writeable: bool,
    order: Any,
) -> Array:
    """Return an array over a piece of memory; one that fills it in `order` may own it."""
    if order is not None and piece.can_be_owned:
        made: Array = piece.owned(lambda: np.empty(shape, dtype, order))
    else:
        made = np.ndarray(shape, dtype, piece.array(), offset, strides)
    made.flags.writeable = writeable
    return made


def make_view(
    root: Array,
    offset: int,
    dtype: np.dtype[Any],
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    writeable: bool,
) -> Array:
    """Return a view of an array by its place in memory."""
    made = np.ndarray(shape, dtype, root.view(np.ndarray), offset, strides)
    made.flags.writeable = writeable and root.flags.writeable
    return made


def make_over_buffer(
    exporter: Any,
    offset: int,
    dtype: np.dtype[Any],
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    writeable: bool,
) -> Array:
    """Return an array over the memory of a bytes, a bytearray or an array.array."""
    made: Array = np.ndarray(shape, dtype, exporter, offset, strides)
    if not writeable:
        made.flags.writeable = False
    return made


def make_subclass(kind: type[Array], make: Callable[..., Array], arguments: tuple[Any, ...]) -> Array:
    """Return an array as one of a subclass; its attributes follow."""
    return make(*arguments).view(kind)


def set_attributes(values: Array, state: dict[str, Any]) -> None:
    """Give an array of a subclass its attributes; its `__setstate__` takes something else."""
    vars(values).update(state)


def _reduce_references(values: Array, carrier: Any) -> Any:
    """Reduce an array of objects or of strings of any length: by its elements, a view by its place in the whole."""
    root = root_of(values)
    if root is values or values.dtype.char == "T":
        return carrier.stock_reduce(values)
    flat = root.reshape(-1, order="F" if root.flags.f_contiguous and not root.flags.c_contiguous else "C")
    if not np.shares_memory(flat, root) or values.dtype != root.dtype:
        raise CannotTravel("is a view of an array of objects with a layout that is not supported")
    first = (values.ctypes.data - flat.ctypes.data) // values.dtype.itemsize
    return make_view_of_references, (root, first, values.shape, values.strides)


def make_view_of_references(
    root: Array, first: int, shape: tuple[int, ...], strides: tuple[int, ...]
) -> Array:
    """Return a view of an array of objects by its first element and its strides."""
    flat = root.reshape(-1, order="F" if root.flags.f_contiguous and not root.flags.c_contiguous else "C")
    return as_strided(flat[first:], shape, strides)


def _reduce_memmap(values: np.memmap[Any, Any], carrier: Any) -> Any:
    if getattr(values, "_mmap", None) is None:  # the result of an operation: ordinary memory under that class
        return _reduce_array(values, carrier)
    if values.mode != "r":
        raise CannotTravel(
            f"is a file mapped into memory for writing (mode {values.mode}, {values.filename})"
        )
    root = root_of(values)
    if root is not values:
        offset = values.ctypes.data - root.ctypes.data
        return make_view_of_memmap, (root, offset, values.dtype, values.shape, values.strides)
    path = os.path.abspath(str(values.filename))
    try:
        found = os.stat(path)
    except OSError as error:
        raise CannotTravel(f"is mapped from {path}, which is no longer there") from error
    order = "F" if values.flags.f_contiguous and not values.flags.c_contiguous else "C"
    arguments = (path, found.st_size, found.st_mtime_ns, values.dtype, values.offset, values.shape, order)
    return map_again, arguments


def make_view_of_memmap(
    root: Array, offset: int, dtype: np.dtype[Any], shape: tuple[int, ...], strides: tuple[int, ...]
) -> Array:
    """Return a view of a mapped file that knows of the file, as slicing would."""
    made: Array = np.ndarray.__new__(np.memmap, shape, dtype, root, offset, strides)
    vars(made).update(vars(root))
    return made


def map_again(
    path: str, size: int, changed: int, dtype: np.dtype[Any], offset: int, shape: tuple[int, ...], order: Any
) -> Array:
    """Map a file into memory again, to be read.

    Raises
    ------
    OSError
        It is gone, or it is not the same any more.
    """
    now = os.stat(path)
    if (now.st_size, now.st_mtime_ns) != (size, changed):
        raise OSError(f"{path} has changed since")
    return np.memmap(path, dtype, "r", offset, shape, order)
