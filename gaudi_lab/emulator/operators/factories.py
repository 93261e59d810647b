"""Operators that reach the device without an `hpu` tensor among their arguments: factories, and copies to it.

PyTorch's Python backend asserts on a fallback for the whole key, so each is registered by name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from gaudi_lab.emulator.device import schema
from gaudi_lab.emulator.device.acquire import acquire, check_index
from gaudi_lab.emulator.device.cell import Cell
from gaudi_lab.emulator.device.on_the_host import lasting
from gaudi_lab.emulator.device.tensor import CPU, HpuTensor, dispatch, no_nested
from gaudi_lab.emulator.operators import rnn
from gaudi_lab.emulator.operators.dispatch import compute, stock_attention

aten = torch.ops.aten

# Recorded as they are. `arange` and its like would otherwise be `empty` and an out-variant that resizes it.
_FACTORIES = (
    "arange", "arange.start", "arange.start_step", "eye", "eye.m", "full", "linspace", "logspace", "ones",
    "rand", "rand.generator", "randint", "randint.generator", "randint.low", "randint.low_generator",
    "randn", "randn.generator", "randperm", "randperm.generator", "scalar_tensor", "tril_indices", "triu_indices",
    "zeros", "bartlett_window", "blackman_window", "hamming_window", "hann_window", "kaiser_window",
)  # fmt: skip


# PyTorch's composites of these do not write `out` where an argument is a tensor subclass.
_OUT_IGNORED = (
    "matmul.out", "linalg_matrix_rank.out", "linalg_matrix_rank.out_tol_tensor",
    "linalg_matrix_rank.atol_rtol_tensor_out", "linalg_matrix_rank.atol_rtol_float_out",
)  # fmt: skip


def register() -> list[torch.library.Library]:
    """Register the kernels, and return the libraries that keep them registered."""
    device = torch.library.Library("aten", "IMPL")
    for name in _FACTORIES:
        device.impl(name, _factory(_overload(name)), "PrivateUse1")
    # What forward-mode derivatives have where nothing flows: the device has no tensor without memory.
    device.impl("_efficientzerotensor", _factory(aten.zeros.default), "PrivateUse1")
    # From the host: its argument is a CPU tensor, its device is ours.
    device.impl(
        "_to_copy", lambda *args, **kwargs: dispatch(aten._to_copy.default, args, kwargs), "PrivateUse1"
    )
    device.impl("empty.memory_format", _empty, "PrivateUse1")
    device.impl("empty_strided", _empty_strided, "PrivateUse1")
    # Composite, and it asserts on a device it does not know before it decomposes.
    device.impl("scaled_dot_product_attention", stock_attention, "AutogradPrivateUse1")
    # `torch.tensor` of a list of `hpu` scalars reads each with the dispatch to Python switched off.
    device.impl(
        "_local_scalar_dense",
        lambda tensor: dispatch(aten._local_scalar_dense.default, (tensor,), {}),
        "PrivateUse1",
    )
    for func, cell in rnn.FUSED.items():
        device.impl(func.name(), cell, "AutogradPrivateUse1")
    for name in _OUT_IGNORED:
        device.impl(name, _into_out(_overload(name)), "AutogradPrivateUse1")
    # DataLoader(pin_memory=True): the Python hooks have no pinned allocator, and here nothing needs pinning.
    host = torch.library.Library("aten", "IMPL")
    host.impl("_pin_memory", _pin_memory, "CPU")
    host.impl("is_pinned", _is_pinned, "CPU")
    # Made with `device="hpu"` it never meets our dispatch, and PyTorch lists its kernels instead of saying no.
    nested = torch.library.Library("_", "IMPL")
    nested.fallback(_refuse_nested, "NestedTensorPrivateUse1")
    return [device, host, nested]


def _refuse_nested(*args: Any, **kwargs: Any) -> Any:
    raise no_nested()


def _pin_memory(tensor: torch.Tensor, device: Any = None) -> torch.Tensor:
    pinned = tensor.clone()
    pinned.untyped_storage()._pinned = True  # type: ignore[attr-defined]
    return pinned


def _is_pinned(tensor: torch.Tensor, device: Any = None) -> bool:
    return getattr(tensor.untyped_storage(), "_pinned", False)


def _into_out(func: Any) -> Callable[..., Any]:
    make = schema.without_out(func)

    def fill(*args: Any, out: torch.Tensor, **kwargs: Any) -> torch.Tensor:
        made = make(*args, **kwargs)
        if out.shape != made.shape:
            out.resize_(made.shape)
        return out.copy_(made)

    return fill


def _overload(name: str) -> Any:
    packet, _, overload = name.partition(".")
    return getattr(getattr(aten, packet), overload or "default")


def _factory(func: Any) -> Callable[..., Any]:
    def make(*args: Any, **kwargs: Any) -> Any:
        acquire()
        kwargs = {name: x for name, x in kwargs.items() if name not in ("pin_memory", "layout")}
        check_index(torch.device(kwargs["device"]))
        kwargs["device"] = CPU
        return compute(func, args, kwargs)

    return make


def _empty(
    size: Any,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: Any = None,
    memory_format: Any = None,
) -> HpuTensor:
    with lasting():
        host = torch.empty(
            size, dtype=dtype, device=CPU, memory_format=memory_format or torch.contiguous_format
        )
    return _fresh(host, device)


def _empty_strided(
    size: Any, stride: Any, dtype: Any = None, layout: Any = None, device: Any = None, pin_memory: Any = None
) -> HpuTensor:
    with lasting():
        host = torch.empty_strided(size, stride, dtype=dtype, device=CPU)
    return _fresh(host, device)


def _fresh(host: torch.Tensor, device: torch.device | None) -> HpuTensor:
    if device is not None:
        check_index(device)
    acquire()
    cell = Cell(host)
    cell.fresh = True
    return HpuTensor.over(cell, host.shape, host.stride(), 0, host.dtype)
