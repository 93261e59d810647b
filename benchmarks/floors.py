"""The least that a device in Python can cost: what stands beside the limits of an operator, and of a whole model.

Two tensor subclasses do as little as an `hpu` tensor can, by the same means. `Unwrapping` takes the host tensors out,
calls the host's kernel and wraps what it returns: no modes, no memory counted, no errors told. `Remembering` looks up
what an operator on these operands returned the first time and wraps that, without a value: no lock, no inputs, no
memory, nothing that could run later.

To PyTorch both lie on the CPU, so that what a model makes itself, such as a range of positions, suits them. In
inference mode, also while the model is copied, PyTorch hands over whole what it makes of other operators, such as a
linear layer: they take all of it but attention.
"""

from __future__ import annotations

import copy
from typing import Any, TypeVar

import torch
from torch import nn

from gaudi_lab.emulator.device.host_kernels import host_kernel
from gaudi_lab.emulator.device.tensor import CPU, make_wrapper

_Bare = TypeVar("_Bare", "Unwrapping", "Remembering")


class Unwrapping(torch.Tensor):
    """Runs each operator at once, on `host`."""

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]  # noqa: SLF001
    host: torch.Tensor

    @classmethod
    def over(cls, host: torch.Tensor) -> Unwrapping:
        """Return a tensor over `host`."""
        tensor = make_wrapper(
            Unwrapping, host.shape, strides=host.stride(), storage_offset=host.storage_offset(),
            dtype=host.dtype, device=CPU,
        )  # fmt: skip
        tensor.host = host
        return tensor

    @staticmethod
    def __torch_dispatch__(func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # type: ignore[override]
        """Run one operator."""
        if id(func) in _BY_STEPS:
            return func.decompose(*args, **kwargs or {})
        kernel = _kernels.get(id(func)) or _keep_kernel(func)
        hosts = [
            x.host if x.__class__ is Unwrapping else _hosts_in(x) if x.__class__ is list else x for x in args
        ]
        host = (
            kernel(*hosts, **{name: _hosts_in(x) for name, x in kwargs.items()}) if kwargs else kernel(*hosts)
        )
        if host.__class__ is not torch.Tensor:
            return host.__class__(map(Unwrapping.over, host)) if host.__class__ in (tuple, list) else host
        if host is hosts[0]:
            return args[0]  # written in place
        tensor = make_wrapper(
            Unwrapping, host.shape, strides=host.stride(), storage_offset=host.storage_offset(),
            dtype=host.dtype, device=CPU,
        )  # fmt: skip
        tensor.host = host
        return tensor


class Remembering(torch.Tensor):
    """Looks up each operator by its operands, which are known by their `number`."""

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]  # noqa: SLF001
    number: int

    @classmethod
    def over(cls, host: torch.Tensor) -> Remembering:
        """Return a tensor like `host`, with which programs begin."""
        return _wrap(_keep(host))

    @staticmethod
    def __torch_dispatch__(func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # type: ignore[override]
        """Look up one operator."""
        if id(func) in _BY_STEPS:
            return func.decompose(*args, **kwargs or {})
        key = (id(func), *[x.number if x.__class__ is Remembering else _part(x) for x in args])
        known = _known.get(key) or _infer(key, func, args, kwargs)
        if known.__class__ is not _Result:
            return _other_than_a_tensor(known, args)
        size, stride, dtype, number = known
        tensor = make_wrapper(Remembering, size, strides=stride, dtype=dtype, device=CPU)
        tensor.number = number
        return tensor


def over_bare(model: nn.Module, kind: type[_Bare]) -> nn.Module:
    """Return a copy of a model of the CPU whose parameters and buffers are bare tensors over the same memory."""
    made: dict[int, Any] = {}
    for x in [*model.parameters(), *model.buffers()]:
        made[id(x)] = kind.over(x.detach())
    return copy.deepcopy(model, made)


def value_of(tensor: Any) -> torch.Tensor:
    """Return what a remembered tensor held when it was computed."""
    return _values[tensor.number]


def forget_values() -> None:
    """Let go of what programs have computed when they came the first time: none of them may come another way again."""
    _values.clear()


class _Result(tuple):  # of size, strides, dtype and number
    __slots__ = ()


_ATTENTION = (
    torch.ops.aten.scaled_dot_product_attention.default,
    torch.ops.aten._scaled_dot_product_attention_math.default,  # noqa: SLF001
)
_BY_STEPS = set(map(id, _ATTENTION))
_kernels: dict[int, Any] = {}
_known: dict[Any, Any] = {}
_values: dict[int, torch.Tensor] = {}
_numbers = iter(range(2**62))
_IN_PLACE = object()


def _keep_kernel(func: Any) -> Any:
    kernel = _kernels[id(func)] = host_kernel(func)
    return kernel


def _hosts_in(x: Any) -> Any:
    return [_hosts_in(y) for y in x] if x.__class__ is list else x.host if x.__class__ is Unwrapping else x


def _part(x: Any) -> Any:
    """Return what one argument is found by. What comes from the host is taken to be the same again."""
    kind = x.__class__
    if kind is list:
        return tuple([y.number if y.__class__ is Remembering else _part(y) for y in x])
    return kind if kind is torch.Tensor else (kind, x)


def _infer(key: Any, func: Any, args: Any, kwargs: Any) -> Any:
    """Compute an operator that comes the first time, and keep what it returned."""
    hosts = _values_of(args)
    out = func(*hosts, **(_values_of(kwargs) if kwargs else {}))
    if any(out is host for host in hosts):
        known: Any = _IN_PLACE
    elif out.__class__ is torch.Tensor:
        known = _keep(out)
    elif out.__class__ in (tuple, list):
        known = tuple, list(map(_keep, out))
    else:
        known = None, out
    _known[key] = known
    return known


def _values_of(x: Any) -> Any:
    if x.__class__ is Remembering:
        return _values[x.number]
    if x.__class__ is dict:
        return {name: _values_of(y) for name, y in x.items()}
    return [_values_of(y) for y in x] if x.__class__ in (tuple, list) else x


def _keep(host: torch.Tensor) -> _Result:
    number = next(_numbers)
    _values[number] = host
    return _Result((host.shape, host.stride(), host.dtype, number))


def _wrap(known: _Result) -> Remembering:
    tensor = make_wrapper(Remembering, known[0], strides=known[1], dtype=known[2], device=CPU)
    tensor.number = known[3]
    return tensor


def _other_than_a_tensor(known: Any, args: Any) -> Any:
    if known is _IN_PLACE:
        return args[0]
    kind, returned = known
    return tuple(map(_wrap, returned)) if kind is tuple else returned
