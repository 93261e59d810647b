"""A cell: the device memory behind one `hpu` tensor, or the promise of it.

In eager mode a cell always holds its value. In lazy mode it is first a *slot* of the recording that will
compute it, and holds a value once that recording has run. Which cells are alive when a recording runs
decides what the compiled graph returns, so nothing in the emulator may keep a cell alive by accident.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch

from gaudi_lab.emulator.device.memory import ledger


class Owner(Protocol):
    """The recording that owes a cell its value."""

    def execute(self) -> None:
        """Run what was recorded, so that the cell gets its value."""


class Cell:
    """The memory of one `hpu` tensor.

    Attributes
    ----------
    host : torch.Tensor or None
        The value, in host memory; None while it is only recorded.
    recording, slot : Owner or None, int
        The recording that knows this cell, and its number there.
    fresh : bool
        True until it enters a recording: a copy from the host may then write straight into it, unless another cell
        has its memory too, because no recorded operator can be waiting to read it.
    error : str or None
        Why the value will never come, when the recording that owed it has failed.
    """

    __slots__ = ("__weakref__", "_key", "_signature", "error", "fresh", "host", "recording", "slot")

    def __init__(
        self, host: torch.Tensor | None = None, recording: Owner | None = None, slot: int = -1
    ) -> None:
        self._key: int | None = None  # first: an interrupt may end this anywhere, and __del__ asks for it
        self.recording = recording
        self.slot = slot
        self.fresh = False
        self.error: str | None = None
        self._signature: tuple[Any, ...] | None = None
        self.host = host
        if host is not None:
            self._key = ledger.hold(host)

    def read(self) -> torch.Tensor:
        """Return the value, running the recording that owes it first.

        Raises
        ------
        RuntimeError
            The recording that owed the value has failed; the message is its own.
        """
        host = self.host
        if host is None:
            if self.recording is not None:
                self.recording.execute()
            host = self.host
            if host is None:
                raise RuntimeError(self.error or "this hpu tensor never got a value")
        return host

    def settle(self, host: torch.Tensor) -> None:
        """Give the cell its value."""
        if self._key is not None:
            ledger.release(self._key)
        self.host = host
        self.recording = None
        self._signature = None
        self._key = ledger.hold(host)

    def fail(self, reason: str) -> None:
        """Say why the value will never come."""
        self.recording = None
        self.error = reason

    @property
    def signature(self) -> tuple[Any, ...]:
        """What a graph must know of a value that it takes as input: shape, strides, offset and dtype."""
        known = self._signature
        if known is None:
            host = self.host
            assert host is not None
            known = self._signature = (host.shape, host.stride(), host.storage_offset(), host.dtype)
        return known

    def __del__(self, release: Callable[[int], None] = ledger.release) -> None:
        # `release` is bound early: at interpreter exit the module may be gone before the last cell.
        if self._key is not None:
            release(self._key)
