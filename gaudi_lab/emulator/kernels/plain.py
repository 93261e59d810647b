"""Operators of one step: `exp_fast_math`, `sqrt_fast_math`, `rsqrt_fast_math` and `plain_index`.

Fast mathematics is faster and less exact on a Gaudi; here it is as exact as any.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from gaudi_lab.emulator.kernels.library import define


def _like_first(data, *rest):  # type: ignore[no-untyped-def]
    return torch.empty_like(data)


def _index(data: torch.Tensor, indices: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return what `data[indices]` is: the first dimensions indexed by a tensor each, which broadcast to each other."""
    return torch.ops.aten.index.Tensor(data, list(indices))


for _name, _function in (("exp", torch.exp), ("sqrt", torch.sqrt), ("rsqrt", torch.rsqrt)):
    define(f"{_name}_fast_math(Tensor self) -> Tensor", _function, _like_first)
define("plain_index(Tensor self, Tensor[] indices) -> Tensor", _index, _index)
