"""Device memory, counted as it is really held: bytes of the distinct storages behind living tensors."""

from __future__ import annotations

import os

import torch

from gaudi_lab.emulator.process import flags


class Ledger:
    """Who holds how much: running totals in bytes and in numbers of allocations.

    Attributes
    ----------
    in_use, peak, largest : int
        Bytes held now, the most held since `reset_peak`, and the largest single allocation since then.
    total_allocs, total_frees : int
        Allocations and frees since the start.
    """

    __slots__ = ("_earlier", "_held", "_others", "in_use", "largest", "peak", "total_allocs", "total_frees")

    def __init__(self) -> None:
        self._held: dict[int, int] = {}  # storage -> its bytes
        self._others: dict[int, int] = {}  # storage -> cells that hold it besides the first
        self.in_use = self.peak = self.largest = 0
        self.total_allocs = self.total_frees = 0
        self._earlier = 0, 0  # what the totals were at `reset_counts`

    def hold(self, host: torch.Tensor) -> int | None:
        """Count the storage of `host` as held once more, and return the key to release it with."""
        if host.__class__ is not _TENSOR:
            return None  # a fake tensor of the compiler: it has no memory
        storage = host.untyped_storage()
        key: int = storage._cdata
        if key in self._held:
            self._others[key] = self._others.get(key, 0) + 1
            return key
        self._held[key] = size = storage.nbytes()
        self.total_allocs += 1
        self.in_use = in_use = self.in_use + size
        if in_use > self.peak:
            self.peak = in_use
        if size > self.largest:
            self.largest = size
        return key

    def release(self, key: int) -> None:
        """Let go of a storage that `hold` counted."""
        if key in self._others:
            left = self._others[key] - 1
            if left:
                self._others[key] = left
            else:
                del self._others[key]
        else:
            self.in_use -= self._held.pop(key)
            self.total_frees += 1

    def is_shared(self, host: torch.Tensor) -> bool:
        """Return whether more than one cell holds the storage of `host`."""
        return host.untyped_storage()._cdata in self._others

    @property
    def allocs(self) -> int:
        """Allocations since `reset_counts`."""
        return self.total_allocs - self._earlier[0]

    @property
    def frees(self) -> int:
        """Frees since `reset_counts`."""
        return self.total_frees - self._earlier[1]

    @property
    def active(self) -> int:
        """How many distinct storages are held now."""
        return len(self._held)

    def reset_peak(self) -> None:
        """Start the peak again from what is in use now."""
        self.peak = self.in_use
        self.largest = 0

    def reset_counts(self) -> None:
        """Start the numbers of allocations and frees again."""
        self._earlier = self.total_allocs, self.total_frees


_TENSOR = torch.Tensor
ledger = Ledger()


def limit() -> int:
    """Return the memory of the emulated device in bytes.

    It is the host's physical memory, because that is what the emulated device really has;
    ``GAUDI_LAB_MEMORY_GB`` sets another limit. Of either the bridge's pool takes
    ``PT_HPU_POOL_MEM_ACQUIRE_PERC`` percent.
    """
    asked = os.environ.get("GAUDI_LAB_MEMORY_GB")
    whole = int(float(asked) * 2**30) if asked else os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return whole * min(int(flags.get("PT_HPU_POOL_MEM_ACQUIRE_PERC")), 100) // 100
