"""Tensors inside larger memory, filled with what nobody should read, and looked at for what nobody should write."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from gaudi_lab.custom_ops import examples, torch_internals

_MARGIN = 64
"""Elements before and after: whole cache lines, so that the tensor starts where an allocator might have put it."""


class Guarded:
    """Makes tensors with guarded memory around them, and knows what became of it.

    Parameters
    ----------
    fill
        What lies around: "nan" or "large". For integers both are a large number, for truth values True.
    """

    def __init__(self, fill: str) -> None:
        self._fill = fill
        self._around: list[tuple[torch.Tensor, torch.Tensor, str]] = []

    def place(self, x: torch.Tensor, what: str, *, keep: bool = True) -> torch.Tensor:
        """Return a tensor like `x` in guarded memory: of its values, or filled as what lies around it.

        Parameters
        ----------
        what
            What it is, for `written`.
        keep
            Whether it has the values of `x`.
        """
        if x.layout is not torch.strided or x.device.type != "cpu":
            return x
        extent = (
            1 + sum((n - 1) * step for n, step in zip(x.shape, x.stride(), strict=True)) if x.numel() else 0
        )
        buffer = torch.full((extent + 2 * _MARGIN,), _filling(x.dtype, self._fill), dtype=x.dtype)
        placed = buffer.as_strided(x.shape, x.stride(), _MARGIN)
        if keep:
            placed.copy_(x)
        self._around.append((buffer, _outside(buffer, extent).clone(), what))
        return placed

    def written(self) -> list[str]:
        """Return beside which tensors something was written."""
        return [
            what
            for buffer, before, what in self._around
            if not torch.equal(_bits(_outside(buffer, buffer.numel() - 2 * _MARGIN)), _bits(before))
        ]


class GuardedResults(TorchDispatchMode):
    """Gives guarded memory to every new tensor that is made inside, by Python or by C++."""

    def __init__(self, guarded: Guarded) -> None:
        super().__init__()
        self._guarded = guarded

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if not torch_internals.returns_own_memory(func):
            return out
        filled = not func.name().startswith(("aten::empty", "aten::new_empty"))
        return examples.map_tensors(out, lambda x: self._guarded.place(x, "a result", keep=filled))


def columns_first(x: torch.Tensor) -> torch.Tensor:
    """Return the same values with the last two dimensions the other way round in memory."""
    return x.mT.contiguous().mT if x.dim() > 1 else x


def gapped(x: torch.Tensor) -> torch.Tensor:
    """Return the same values with an element of NaN after each."""
    if not x.dim():
        return x
    wide = torch.full((*x.shape, 2), _filling(x.dtype, "nan"), dtype=x.dtype)
    wide[..., 0] = x
    return wide[..., 0]


def _outside(buffer: torch.Tensor, extent: int) -> torch.Tensor:
    return torch.cat([buffer[:_MARGIN], buffer[_MARGIN + extent :]])


def _bits(x: torch.Tensor) -> torch.Tensor:
    return x.view(torch.uint8) if x.dtype is not torch.bool else x


def _filling(dtype: torch.dtype, fill: str) -> Any:
    if dtype is torch.bool:
        return True
    if dtype.is_floating_point or dtype.is_complex:
        return float("nan") if fill == "nan" else torch.finfo(dtype).max / 4
    return torch.iinfo(dtype).max // 2
