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
    allocs, frees : int
        Allocations and frees since `reset_counts`; `total_allocs` and `total_frees` since the start.
    """

    def __init__(self) -> None:
        self._held: dict[int, list[int]] = {}  # storage -> [cells that hold it, its bytes]
        self.in_use = self.peak = self.largest = 0
        self.allocs = self.frees = self.total_allocs = self.total_frees = 0

    def hold(self, host: torch.Tensor) -> int | None:
        """Count the storage of `host` as held once more, and return the key to release it with."""
        if host.__class__ is not torch.Tensor:
            return None  # a fake tensor of the compiler: it has no memory
        storage = host.untyped_storage()
        key = storage._cdata
        entry = self._held.get(key)
        if entry is not None:
            entry[0] += 1
            return key
        size = storage.nbytes()
        self._held[key] = [1, size]
        self.allocs += 1
        self.total_allocs += 1
        self.in_use += size
        if self.in_use > self.peak:
            self.peak = self.in_use
        if size > self.largest:
            self.largest = size
        return key

    def release(self, key: int) -> None:
        """Let go of a storage that `hold` counted."""
        entry = self._held[key]
        entry[0] -= 1
        if entry[0] == 0:
            del self._held[key]
            self.frees += 1
            self.total_frees += 1
            self.in_use -= entry[1]

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
        self.allocs = self.frees = 0


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
