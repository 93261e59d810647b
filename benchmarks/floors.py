"""The least that a device in Python can cost: what stands beside the limits of `overhead`.

Two tensor subclasses do as little as an `hpu` tensor can, by the same means. `Unwrapping` takes the host tensors out,
calls the host's kernel and wraps what it returns: no modes, no memory counted, no errors told. `Remembering` looks up
what an operator on these operands returned the first time and wraps that, without a value: no lock, no inputs, no
memory, nothing that could run later.
"""

from __future__ import annotations

from typing import Any

import torch

from gaudi_lab.emulator.device.host_kernels import host_kernel
from gaudi_lab.emulator.device.tensor import DEVICE, make_wrapper


class Unwrapping(torch.Tensor):
    """Runs each operator at once, on `host`."""

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]  # noqa: SLF001
    host: torch.Tensor

    @classmethod
    def over(cls, host: torch.Tensor) -> Unwrapping:
        """Return a tensor over `host`."""
        tensor = make_wrapper(
            Unwrapping, host.shape, strides=host.stride(), storage_offset=host.storage_offset(),
            dtype=host.dtype, device=DEVICE,
        )  # fmt: skip
        tensor.host = host
        return tensor

    @staticmethod
    def __torch_dispatch__(func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # type: ignore[override]
        """Run one operator of positional arguments that returns a new tensor."""
        kernel = _kernels.get(id(func)) or _keep_kernel(func)
        host = kernel(*[x.host if x.__class__ is Unwrapping else x for x in args])
        tensor = make_wrapper(
            Unwrapping, host.shape, strides=host.stride(), storage_offset=host.storage_offset(),
            dtype=host.dtype, device=DEVICE,
        )  # fmt: skip
        tensor.host = host
        return tensor


class Remembering(torch.Tensor):
    """Looks up each operator by its operands, which are known by their `number`; the first one has 0."""

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]  # noqa: SLF001
    number: int

    @classmethod
    def first(cls, host: torch.Tensor) -> Remembering:
        """Return a tensor like `host`, with which a program begins."""
        tensor = make_wrapper(Remembering, host.shape, strides=host.stride(), dtype=host.dtype, device=DEVICE)
        tensor.number = 0
        return tensor

    @staticmethod
    def __torch_dispatch__(func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # type: ignore[override]
        """Look up one operator of positional arguments that returns a new tensor."""
        key = (id(func), *[x.number if x.__class__ is Remembering else (x.__class__, x) for x in args])
        known = _known.get(key) or _infer(key, func, args)
        size, stride, dtype, number = known
        tensor = make_wrapper(Remembering, size, strides=stride, dtype=dtype, device=DEVICE)
        tensor.number = number
        return tensor


_kernels: dict[int, Any] = {}
_known: dict[Any, tuple[Any, Any, torch.dtype, int]] = {}


def _keep_kernel(func: Any) -> Any:
    kernel = _kernels[id(func)] = host_kernel(func)
    return kernel


def _infer(key: Any, func: Any, args: Any) -> tuple[Any, Any, torch.dtype, int]:
    out = func(
        *[
            torch.empty_strided(x.shape, x.stride(), dtype=x.dtype) if x.__class__ is Remembering else x
            for x in args
        ]
    )
    known = _known[key] = out.shape, out.stride(), out.dtype, len(_known) + 1
    return known
