"""Move a sample to the device, and hold what comes back against the CPU's answer."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch

# What a compiler may differ by, relative to the largest value of a tensor: eight roundings of a 16-bit dtype.
COMPILED = {
    torch.float64: 1e-9,
    torch.float32: 1e-4,
    torch.complex64: 1e-4,
    torch.bfloat16: 2.0**-4,
    torch.float16: 2.0**-7,
}
Tolerance = float | Mapping[torch.dtype, float] | None


class Mover:
    """Copies the tensors of a sample to `device`, each with its strides, offset and shared memory."""

    def __init__(self, device: str) -> None:
        self.device = device
        self._storages: dict[tuple[int, torch.dtype], torch.Tensor] = {}

    def __call__(self, x: Any) -> Any:
        """Return `x` with every tensor in it copied."""
        if isinstance(x, torch.Tensor):
            return self._tensor(x)
        if isinstance(x, dict):
            return {name: self._option(name, y) for name, y in x.items()}
        if isinstance(x, (list, tuple)) and x.__class__ in (list, tuple):
            return x.__class__([self(y) for y in x])
        return x

    def _option(self, name: str, x: Any) -> Any:
        if name == "device" and x is not None and not isinstance(x, torch.Tensor):
            return self.device
        return self(x)

    def _tensor(self, x: torch.Tensor) -> torch.Tensor:
        if x.layout is not torch.strided or x.is_quantized or x.is_nested:
            return x.clone() if self.device == "cpu" else x.to(self.device)
        if x.is_conj():
            return self._tensor(x.conj()).conj()
        if x.is_neg():
            return torch._neg_view(self._tensor(torch._neg_view(x)))
        key = x.untyped_storage()._cdata, x.dtype
        flat = self._storages.get(key)
        if flat is None:
            whole = torch.empty(0, dtype=x.dtype).set_(x.untyped_storage())
            flat = self._storages[key] = whole.clone().to(self.device)
        return flat.as_strided(x.size(), x.stride(), x.storage_offset())


def difference(got: Any, expected: Any, contents: bool = True, tolerance: Tolerance = None) -> str | None:
    """Return how `got`, from the device, differs from `expected`, from the CPU; None if it does not.

    `tolerance`, absolute and relative, takes the place of PyTorch's own; by dtype, as in `COMPILED`, it is relative to
    the largest value. Without `contents` the values are free.
    """
    if isinstance(expected, torch.Tensor):
        return _tensor_difference(got, expected, contents, tolerance)
    if isinstance(expected, (list, tuple)):
        if not isinstance(got, (list, tuple)) or len(got) != len(expected):
            return f"{_kind(got)} where {_kind(expected)} was expected"
        return _first(difference(a, b, contents, tolerance) for a, b in zip(got, expected, strict=True))
    if isinstance(expected, dict):
        if not isinstance(got, dict) or set(got) != set(expected):
            return f"{_kind(got)} where {_kind(expected)} was expected"
        return _first(difference(got[name], expected[name], contents, tolerance) for name in expected)
    if not contents or expected is None or isinstance(expected, Callable):  # type: ignore[arg-type]
        return None
    if isinstance(expected, float) and math.isnan(expected) and isinstance(got, float) and math.isnan(got):
        return None
    if isinstance(expected, (bool, int, float, complex, str)) and got != expected:
        return f"wrong: {got!r} where {expected!r} was expected"
    return None


def _tensor_difference(got: Any, expected: torch.Tensor, contents: bool, tolerance: Tolerance) -> str | None:
    if not isinstance(got, torch.Tensor):
        return f"{_kind(got)} where a tensor was expected"
    if got.shape != expected.shape:
        return f"wrong shape: {tuple(got.shape)} where {tuple(expected.shape)} was expected"
    if got.dtype != expected.dtype:
        return f"wrong dtype: {got.dtype} where {expected.dtype} was expected"
    if expected.layout is not torch.strided:
        return f"layout {expected.layout}"
    host = got.detach().cpu()
    if host.shape != got.shape or host.dtype != got.dtype:
        return f"wrong memory: {tuple(host.shape)} {host.dtype} behind {tuple(got.shape)} {got.dtype}"
    if not contents:
        return None
    relative, absolute = _allowed(expected.detach(), tolerance)
    try:
        torch.testing.assert_close(
            host, expected.detach(), rtol=relative, atol=absolute, equal_nan=True, check_stride=False
        )
    except AssertionError as error:
        return f"wrong numbers: {str(error).splitlines()[0]}"
    return None


def _allowed(expected: torch.Tensor, tolerance: Tolerance) -> tuple[float | None, float | None]:
    if not isinstance(tolerance, Mapping):
        return tolerance, tolerance
    if expected.dtype not in tolerance:
        return None, None
    sizes = expected.abs().nan_to_num(0.0, 0.0, 0.0)
    bound = tolerance[expected.dtype]
    return bound, bound * float(sizes.max()) if sizes.numel() else bound


def _first(differences: Any) -> str | None:
    return next((found for found in differences if found is not None), None)


def _kind(x: Any) -> str:
    return f"{type(x).__name__} of {len(x)}" if isinstance(x, (list, tuple, dict)) else type(x).__name__
