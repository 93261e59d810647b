"""Large memory beside the pickles: written once, and mapped where it is large, so that it costs nothing to load."""

from __future__ import annotations

import ctypes
import errno
import hashlib
import mmap
import os
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

LARGE = 2**20
"""From this size on, in bytes, a block begins on a page of its own and is mapped."""

_CHUNK = 16 * 2**20
_ALIGNED = 64
_MAPPINGS = 256
"""About so many mappings there are at most: each holds a descriptor, of which a process may have a thousand."""

_STRETCH = 64 * 2**20
"""Of blocks that are mapped together, none is let go before all are: that is not to be more than this or a part."""

_T = TypeVar("_T")


class Block(NamedTuple):
    """A stretch of the file of memory.

    Attributes
    ----------
    offset, size
        In bytes.
    hash
        Of what is in it.
    """

    offset: int
    size: int
    hash: str


class Piece:
    """Memory that is written beside the pickles, as an object refers to it.

    Attributes
    ----------
    key
        What stands for it in the pickle.
    """

    __slots__ = ("key",)

    def __init__(self, key: tuple[Any, ...]) -> None:
        self.key = key


class DevicePlace(Piece):
    """The device that something is on, as an object refers to it.

    Attributes
    ----------
    device
        Its name.
    on_host
        Whether its objects are left in host memory: nothing touches the device then.
    """

    __slots__ = ("device", "on_host")

    def __init__(self, device: str, on_host: bool = False) -> None:
        super().__init__(("place", device))
        self.device = device
        self.on_host = on_host and device != "cpu"


FULL = frozenset({errno.ENOSPC, errno.EFBIG, errno.EDQUOT})
"""The errors that say that there is no space left."""


class Full(OSError):
    """There is no space for what is being written, whichever object it belongs to."""


class Mapped(mmap.mmap):
    """Memory of a loaded block. It is the process's own: what is written to it never reaches the file."""


def view(start: int, size: int, owner: Any = None) -> memoryview:
    """Return `size` bytes at the address `start`; without an owner somebody else has to keep them alive."""
    memory: Any = (ctypes.c_char * size).from_address(start)
    memory.owner = owner
    return memoryview(memory).cast("B")


def put(file: int, memory: memoryview, offset: int) -> None:
    """Write all of `memory` at a place in a file.

    Raises
    ------
    Full
        There is no space left.
    """
    while memory:
        try:
            step = os.pwrite(file, memory, offset)
        except OSError as error:
            raise (Full(error.errno, error.strerror) if error.errno in FULL else error) from None
        if step == 0:
            raise Full(errno.ENOSPC, os.strerror(errno.ENOSPC))
        memory = memory[step:]
        offset += step


def hash_of(memory: memoryview) -> str:
    """Return the hash of some memory."""
    return hashlib.sha256(memory).hexdigest()


def write(file: int, offset: int, memory: memoryview) -> Block:
    """Write `memory` at the first good place from `offset` on, and return where it is.

    Raises
    ------
    Full
        There is no space left.
    """
    unit = mmap.ALLOCATIONGRANULARITY if len(memory) >= LARGE else _ALIGNED
    offset += -offset % unit
    digest = hashlib.sha256()
    done = 0
    while done < len(memory):
        chunk = memory[done : done + _CHUNK]
        digest.update(chunk)
        put(file, chunk, offset + done)
        done += len(chunk)
    return Block(offset, len(memory), digest.hexdigest())


class BlockMemory:
    """The memory of the blocks of one file, each loaded when it is first asked for.

    Parameters
    ----------
    file
        A descriptor of the file, open for reading. It may be closed once everything is loaded.
    blocks
        What is in it.
    """

    def __init__(self, file: int, blocks: list[Block]) -> None:
        self._file = file
        self._blocks = blocks
        self._stretches = _stretches(file, blocks)
        self._loaded: dict[int, LoadedBlock] = {}
        self._pieces: dict[tuple[Any, ...], LoadedPiece] = {}

    def piece(self, key: tuple[Any, ...]) -> LoadedPiece:
        """Return the piece of memory that a key in a pickle stands for."""
        found = self._pieces.get(key)
        if found is None:
            _, number, offset, size = key
            block = self._loaded.get(number)
            if block is None:
                block = LoadedBlock(self._file, self._blocks[number], self._stretches.get(number))
                self._loaded[number] = block
            found = self._pieces[key] = LoadedPiece(block, offset, size)
        return found


class Stretch:
    """Large blocks behind each other, which are mapped as one."""

    def __init__(self, file: int, start: int) -> None:
        self._file = file
        self.start = start
        self.end = start
        self._mapped: Mapped | None = None

    def part(self, block: Block) -> memoryview:
        """Return one of the blocks as memory."""
        if self._mapped is None:
            access = {"flags": mmap.MAP_PRIVATE, "prot": mmap.PROT_READ | mmap.PROT_WRITE}
            self._mapped = Mapped(self._file, self.end - self.start, offset=self.start, **access)
        at = block.offset - self.start
        return memoryview(self._mapped)[at : at + block.size]


def _stretches(file: int, blocks: list[Block]) -> dict[int, Stretch]:
    """Return for the number of each large block the stretch that it is mapped with."""
    longest = max(_STRETCH, sum(block.size for block in blocks) // _MAPPINGS)
    found: dict[int, Stretch] = {}
    stretch: Stretch | None = None
    for number, block in enumerate(blocks):
        if block.size >= LARGE:
            end = block.offset + block.size
            if stretch is None or end - stretch.start > longest:
                stretch = Stretch(file, block.offset)
            stretch.end = end
            found[number] = stretch
    return found


class LoadedBlock:
    """A block in memory: mapped if it is large, otherwise ordinary memory of whoever asks for it first.

    Parameters
    ----------
    file, block
        Where it is.
    stretch
        What it is mapped with; None if it is not large.
    """

    def __init__(self, file: int, block: Block, stretch: Stretch | None) -> None:
        self._file = file
        self._block = block
        self._stretch = stretch
        self.size = block.size
        self.array: Any = None  # all of it as a NumPy array of bytes, if an array owns it
        self.storage: Any = None  # all of it as a storage of PyTorch, if one owns it
        self._mapped: memoryview | None = None

    @property
    def is_free(self) -> bool:
        """Whether nobody owns it yet, and somebody may."""
        return self._stretch is None and self.array is self.storage is self._mapped is None

    def fill(self, target: memoryview) -> None:
        """Read the block into `target`."""
        done = 0
        while done < self.size:
            step = os.preadv(self._file, [target[done:]], self._block.offset + done)
            if step == 0:
                raise OSError("the file of memory ends before it should")
            done += step

    def mapped(self) -> memoryview:
        """Return the block as memory that belongs to neither library."""
        if self._mapped is None:
            if self._stretch is not None:
                self._mapped = self._stretch.part(self._block)
            else:
                self._mapped = memoryview(Mapped(-1, max(self.size, 1)))[: self.size]
                self.fill(self._mapped)
        return self._mapped


class LoadedPiece:
    """Part of a block, as arrays and storages lie over it."""

    def __init__(self, block: LoadedBlock, offset: int, size: int) -> None:
        self._block = block
        self._offset = offset
        self._size = size
        self._array: Any = None
        self._storage: Any = None
        self._on_device: dict[str, Any] = {}

    @property
    def size(self) -> int:
        """How many bytes it is."""
        return int(self._size)

    @property
    def can_be_owned(self) -> bool:
        """Whether an array or a storage may own this memory: it is the whole block, small, and nobody has it."""
        return self._block.is_free and (self._offset, self._size) == (0, self._block.size)

    def owned(self, make: Callable[[], _T]) -> _T:
        """Let the NumPy array that `make` returns own the memory, and fill it."""
        made: Any = make()
        self._block.array = made.reshape(-1, order="A").view("u1")
        self._block.fill(memoryview(self._block.array))
        self._array = self._block.array
        owner: _T = made
        return owner

    def array(self) -> Any:
        """Return the memory as a NumPy array of bytes."""
        if self._array is None:
            import numpy as np

            if self.can_be_owned:
                self.owned(lambda: np.empty(self._size, np.uint8))
            elif self._block.array is not None:
                self._array = self._block.array[self._offset : self._offset + self._size]
            elif self._block.storage is not None:
                import torch

                self._array = torch.empty(0, dtype=torch.uint8).set_(self.storage()).numpy()
            else:
                self._array = np.frombuffer(self._stretch(), np.uint8)
        return self._array

    def storage(self) -> Any:
        """Return the memory as a storage of PyTorch."""
        if self._storage is None:
            import torch

            if self.can_be_owned:
                self._storage = self._block.storage = torch.UntypedStorage(self._size)
                if self._size:
                    self._block.fill(view(self._storage.data_ptr(), self._size))
            elif self._block.array is not None:
                self._storage = torch.from_numpy(self.array()).untyped_storage()
            elif self._block.storage is not None:
                self._storage = self._block.storage[self._offset : self._offset + self._size]
            elif self._size == 0:
                self._storage = torch.UntypedStorage(0)
            else:
                self._storage = torch.frombuffer(self._stretch(), dtype=torch.uint8).untyped_storage()
        return self._storage

    def on_device(
        self, device: str, dtype: Any, shape: tuple[int, ...], stride: tuple[int, ...], offset: int
    ) -> Any:
        """Return a tensor over the memory on another device, where it is once, however many tensors there are."""
        import torch

        base = self._on_device.get(device)
        if base is None:
            host = torch.empty(0, dtype=dtype).set_(self.storage(), offset, shape, stride)
            if offset == 0 and host.nbytes == self._size and host.is_contiguous():
                # It needs no view of anything: a device that records its operators has nothing to compile.
                whole = self._on_device[device] = host.to(device)
                return whole
            flat = torch.empty(0, dtype=dtype).set_(self.storage())
            base = self._on_device[device] = flat.to(device)
        base = (
            base.detach() if base.requires_grad else base
        )  # it may be a tensor that the notebook has by now
        base = base if base.dtype == dtype else base.view(-1).view(dtype)
        return base.as_strided(shape, stride, offset)

    def _stretch(self) -> memoryview:
        return self._block.mapped()[self._offset : self._offset + self._size]
