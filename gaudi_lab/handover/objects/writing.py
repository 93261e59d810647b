"""Write groups into two files: what pickle makes of the objects, and the memory that they lie over."""

from __future__ import annotations

import bisect
import io
from typing import Any, NamedTuple

from gaudi_lab.handover.objects import blocks
from gaudi_lab.handover.objects.blocks import Piece
from gaudi_lab.handover.objects.carrier import Carrier
from gaudi_lab.handover.objects.landmarks import Landmarks


class Files:
    """The two files of a snapshot, while it is written.

    Parameters
    ----------
    objects, memory
        Descriptors of the files, open for writing.
    extents
        The stretches of host memory that stay where they are until all is written, in order.

    Attributes
    ----------
    blocks
        What is in the file of memory.
    hashes
        What the memory of `extents`, and that of devices, hashes to.
    """

    def __init__(self, objects: int, memory: int, extents: list[tuple[int, int]]) -> None:
        self._objects = objects
        self._memory = memory
        self._starts = [start for start, _ in extents]
        self._ends = [end for _, end in extents]
        self._numbers: dict[tuple[Any, ...], int] = {}
        self._objects_end = 0
        self.blocks: list[blocks.Block] = []
        self.hashes: dict[tuple[Any, ...], str] = {}

    @property
    def bytes(self) -> int:
        """How much has been written."""
        return self._objects_end + self._memory_end

    @property
    def _memory_end(self) -> int:
        return self.blocks[-1].offset + self.blocks[-1].size if self.blocks else 0

    def write(self, values: Any, landmarks: Landmarks) -> tuple[int, int]:
        """Write one group, and return where its pickle is: offset and size.

        Raises
        ------
        Full
            There is no space left.
        Exception
            Whatever an object raises that is asked to be pickled. Nothing of the group is in the files then.
        """
        before = len(self.blocks)
        stream = _Stream(self._objects, self._objects_end)
        writer = Writer(stream, landmarks, self)
        try:
            writer.dump(values)
            stream.flush()
        except BaseException:
            del self.blocks[before:]
            self._numbers = {key: number for key, number in self._numbers.items() if number < before}
            raise
        finally:
            writer.forget()
        place = (self._objects_end, stream.end - self._objects_end)
        self._objects_end = stream.end
        return place

    def lasting(self, start: int, end: int) -> tuple[int, int] | None:
        """Return the stretch of memory that stays and that a part of it lies in."""
        found = bisect.bisect_right(self._starts, start) - 1
        return (self._starts[found], self._ends[found]) if found >= 0 and end <= self._ends[found] else None

    def block(self, key: tuple[Any, ...], memory: Any, lasts: bool) -> int:
        """Return the number of a block, written now if it is not there; `memory` returns what is in it."""
        number = self._numbers.get(key)
        if number is None:
            block = blocks.write(self._memory, self._memory_end, memory())
            number = self._numbers[key] = len(self.blocks)
            self.blocks.append(block)
            if lasts:
                self.hashes[key] = block.hash
        return number

    def forget(self, keys: list[tuple[Any, ...]]) -> None:
        """Forget memory that goes away: something else may lie at its address next."""
        for key in keys:
            self._numbers.pop(key, None)


class _Stream(io.RawIOBase):
    """A file that is written from a place on, in large steps."""

    _STEP = 2**20

    def __init__(self, file: int, offset: int) -> None:
        self._file = file
        self._waiting = bytearray()
        self.end = offset

    def write(self, data: Any) -> int:
        memory = memoryview(data)
        self._waiting += memory
        if len(self._waiting) >= self._STEP:
            self.flush()
        return memory.nbytes

    def flush(self) -> None:
        rest = memoryview(bytes(self._waiting))
        self._waiting.clear()
        blocks.put(self._file, rest, self.end)
        self.end += len(rest)


class _Passing(NamedTuple):
    key: tuple[Any, ...]
    owner: Any


class Writer(Carrier):
    """Writes the objects of one group."""

    def __init__(self, stream: Any, landmarks: Landmarks, files: Files) -> None:
        super().__init__(stream, landmarks)
        self._files = files
        self._passing: list[_Passing] = []  # memory that only this pass has made, kept until it is done

    def memory(self, start: int, size: int, owner: Any) -> Piece:
        """Return where memory of the host has been written."""
        if not size:
            key: tuple[Any, ...] = ("empty", id(owner))
            self._passing.append(_Passing(key, owner))
            return Piece(("memory", self._files.block(key, lambda: memoryview(b""), lasts=False), 0, 0))
        whole = self._files.lasting(start, start + size)
        if whole is None:
            self._passing.append(_Passing((start, size), owner))
        begin, end = whole or (start, start + size)
        key = (begin, end - begin)
        number = self._files.block(key, lambda: blocks.view(begin, end - begin), lasts=whole is not None)
        return Piece(("memory", number, start - begin, size))

    def device_memory(self, storage: Any) -> Piece:
        """Return where a copy of another device's memory has been written."""
        size = storage.nbytes()
        key = ("device", storage._cdata, size)
        number = self._files.block(key, lambda: _on_host(storage), lasts=True)
        return Piece(("memory", number, 0, size))

    def forget(self) -> None:
        """Forget the memory that goes away with this pass."""
        self._files.forget([passing.key for passing in self._passing])
        self._passing.clear()


def _on_host(storage: Any) -> memoryview:
    size = storage.nbytes()
    if not size:
        return memoryview(b"")
    copy = storage.cpu()
    return blocks.view(copy.data_ptr(), size, copy)
