"""Every place that takes a device takes "cuda" and means `hpu`: factories, moves, modules, generators, `torch.load`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.utils import _device

# Beside PyTorch's own list of functions that make tensors out of nothing.
_MORE = (
    "empty_like", "full_like", "ones_like", "rand_like", "randint_like", "randn_like", "zeros_like",
)  # fmt: skip
_NEW = ("new_empty", "new_empty_strided", "new_full", "new_ones", "new_tensor", "new_zeros")


def on_hpu(device: Any) -> Any:
    """Return `device` with `hpu` where it says "cuda"; whatever else it is comes back as it is."""
    if isinstance(device, str):
        return f"hpu{device[4:]}" if device == "cuda" or device.startswith("cuda:") else device
    if isinstance(device, torch.device) and device.type == "cuda":
        return torch.device("hpu") if device.index is None else torch.device("hpu", device.index)
    return device


def replace(owner: Any, name: str, make: Callable[[Any], Any]) -> None:
    """Put ``make(stock)`` in the place of what `owner` has at `name`."""
    stock = getattr(owner, name)
    setattr(owner, name, functools.wraps(stock)(make(stock)))


def register() -> None:
    """Let PyTorch's functions take "cuda" as `hpu`."""
    # Before anything is replaced: PyTorch keeps the functions that it finds, and compares with them.
    makers = {id(factory) for factory in _device._device_constructors()}
    owner: Any
    for owner in (torch, torch.fft):
        for name, value in list(vars(owner).items()):
            if id(value) in makers:
                replace(owner, name, _by_name)
    for name in _MORE:
        replace(torch, name, _by_name)
    for name in _NEW:
        replace(torch.Tensor, name, _by_name)
    for owner in (torch.Tensor, nn.Module):
        replace(owner, "to", _anywhere)
    replace(nn.Module, "to_empty", _by_name)
    replace(torch.Tensor, "type", _with_type)
    torch.Tensor.cuda = nn.Module.cuda = _cuda  # type: ignore[method-assign]
    stock_is_cuda: Any = torch.Tensor.is_cuda
    torch.Tensor.is_cuda = property(  # type: ignore[assignment]
        lambda self: self.device.type == "hpu" or stock_is_cuda.__get__(self)
    )
    # What `with torch.device("cuda")` and torch.set_default_device make.
    replace(_device.DeviceContext, "__init__", _anywhere)
    replace(torch, "set_default_device", _anywhere)
    replace(torch, "set_default_tensor_type", _refuse_type)
    replace(torch.Generator, "__new__", _anywhere)
    replace(torch, "load", _loading)


def _by_name(stock: Callable[..., Any]) -> Callable[..., Any]:
    def made(*args: Any, **kwargs: Any) -> Any:
        if "device" in kwargs:
            kwargs["device"] = on_hpu(kwargs["device"])
        return stock(*args, **kwargs)

    return made


def _anywhere(stock: Callable[..., Any]) -> Callable[..., Any]:
    def moved(*args: Any, **kwargs: Any) -> Any:
        if "device" in kwargs:
            kwargs["device"] = on_hpu(kwargs["device"])
        return stock(*[on_hpu(x) for x in args], **kwargs)

    return moved


def _cuda(self: Any, device: Any = None, *args: Any, **kwargs: Any) -> Any:
    """Move to `hpu`, which `cuda()` means under GPU migration."""
    place = "hpu" if device is None else on_hpu(device)
    return self.to(torch.device("hpu", place) if isinstance(place, int) else place, *args, **kwargs)


def _with_type(stock: Callable[..., Any]) -> Callable[..., Any]:
    def typed(self: torch.Tensor, dtype: Any = None, *args: Any, **kwargs: Any) -> Any:
        if dtype is None:
            return stock(self)
        if isinstance(dtype, str):
            dtype = dtype.replace("torch.cuda.", "torch.hpu.")
        return stock(self, dtype, *args, **kwargs)

    return typed


def _refuse_type(stock: Callable[..., Any]) -> Callable[..., Any]:
    def refused(kind: Any) -> Any:
        if ".cuda." in str(kind) or ".hpu." in str(kind):
            raise NotImplementedError(
                f"torch.set_default_tensor_type({kind}) has no counterpart on hpu: use "
                'torch.set_default_device("cuda") and torch.set_default_dtype'
            )
        return stock(kind)

    return refused


class _Locations(dict[str, str]):
    """Where `torch.load` puts what was saved from a GPU."""

    def get(self, key: str, default: Any = None) -> Any:
        """Return where `key` goes."""
        return "hpu" if key.startswith("cuda") else on_hpu(super().get(key, default))


def _loading(stock: Callable[..., Any]) -> Callable[..., Any]:
    def load(f: Any, map_location: Any = None, *args: Any, **kwargs: Any) -> Any:
        if map_location is None:
            map_location = _Locations()
        elif isinstance(map_location, dict):
            map_location = {on_hpu(x): on_hpu(y) for x, y in map_location.items()} | {
                x: on_hpu(y) for x, y in map_location.items()
            }
        else:
            map_location = on_hpu(map_location)
        return stock(f, map_location, *args, **kwargs)

    return load
