"""What a model's call takes: operators, and device memory. Counted with an operator and without, by the same inputs."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from gaudi_lab import bridge
from gaudi_lab.instruments import nested
from gaudi_lab.instruments.fused_operators.place import Run


class Taken(NamedTuple):
    """What one call took.

    Attributes
    ----------
    operators
        How many operators the device was given; views are none.
    memory
        The most bytes of device memory in use after any operator, beyond what was in use before the call; None in lazy
        mode, where nothing is computed until the call is over.
    """

    operators: int
    memory: int | None


class _Counting(TorchDispatchMode):
    def __init__(self, before: int, *, memory: bool) -> None:
        super().__init__()
        self.operators, self.most = 0, 0
        self._before, self._memory = before, memory

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if not func.is_view and func._schema.name not in _FREE:  # noqa: SLF001 - it has no public name
            self.operators += 1
            if self._memory:
                self.most = max(self.most, _in_use() - self._before)
        return out


# They compute nothing.
_FREE = {"aten::detach", "aten::_unsafe_view", "aten::empty", "aten::empty_like"}


def measure(run: Run) -> Taken:
    """Return what a run takes."""
    lazy = bridge.is_lazy()
    if not lazy:
        # What earlier calls left in cycles would be collected during this one, and make its memory seem less.
        gc.collect()
    bridge.settle()
    with _Counting(_in_use(), memory=not lazy) as counting:
        run()
    return Taken(counting.operators, None if lazy else counting.most)


def _in_use() -> int:
    memory = bridge.memory()
    return memory.in_use if memory is not None else 0


def outputs_of(run: Run) -> list[torch.Tensor]:
    """Return the floating point tensors that a run returns, on the host in float64."""
    return [x.detach().cpu().double() for _, x in nested.find_tensors(run()) if x.is_floating_point()]


def largest_difference(before: list[torch.Tensor], after: list[torch.Tensor]) -> float | None:
    """Return the largest difference between any two numbers of two runs; None where nothing can be compared.

    Infinite where one is not a number and the other is.
    """
    if len(before) != len(after) or any(a.shape != b.shape for a, b in zip(before, after, strict=True)):
        return None
    found = [_difference(a, b) for a, b in zip(before, after, strict=True) if a.numel()]
    return max(found) if found else None


def _difference(a: torch.Tensor, b: torch.Tensor) -> float:
    same = (a == b) | (a.isnan() & b.isnan())
    apart = torch.where(same, torch.zeros_like(a), (a - b).abs())
    return float(apart.nan_to_num(nan=torch.inf).max())


@contextmanager
def same_random_numbers() -> Iterator[None]:
    """Leave the generators of host and device where they were."""
    host, device = torch.get_rng_state(), bridge.random_state()
    try:
        yield
    finally:
        torch.set_rng_state(host)
        bridge.set_random_state(device)
