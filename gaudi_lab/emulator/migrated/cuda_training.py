"""What training on GPUs uses beside devices: autocast, gradient scaling, NCCL, data loading and `torch.compile`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.distributed
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader

from gaudi_lab.emulator.migrated.cuda_devices import on_hpu, replace


def register() -> None:
    """Let training code for GPUs run on `hpu`."""
    replace(torch.amp.autocast_mode.autocast, "__init__", _autocast)
    replace(torch.amp.GradScaler, "__init__", _scaler)
    for name in ("is_autocast_enabled", "get_autocast_dtype", "set_autocast_enabled", "set_autocast_dtype"):
        replace(torch, name, _with_device)
    torch.get_autocast_gpu_dtype = lambda: torch.get_autocast_dtype("hpu")
    torch.set_autocast_gpu_dtype = lambda dtype: torch.set_autocast_dtype("hpu", dtype)
    replace(DistributedDataParallel, "__init__", _parallel)
    replace(DataLoader, "__init__", _loader)
    replace(torch, "compile", _compiled)
    if torch.distributed.is_available():
        for owner in (torch.distributed, torch.distributed.distributed_c10d):
            replace(owner, "init_process_group", _group)
            replace(owner, "new_group", _group)
            replace(owner, "get_backend", _backend)
            owner.is_nccl_available = lambda: True  # type: ignore[attr-defined]


def _autocast(stock: Callable[..., None]) -> Callable[..., None]:
    def begin(
        self: Any, device_type: str, dtype: torch.dtype | None = None, *args: Any, **kwargs: Any
    ) -> None:
        if on_hpu(device_type) != device_type:
            # As Intel's toolkit does: half precision on a GPU is the device's own, bfloat16.
            device_type, dtype = "hpu", None if dtype is torch.float16 else dtype
        stock(self, device_type, dtype, *args, **kwargs)

    return begin


def _scaler(stock: Callable[..., None]) -> Callable[..., None]:
    def begin(self: Any, device: str = "cuda", *args: Any, **kwargs: Any) -> None:
        stock(self, device, *args, **kwargs)
        # As Intel's toolkit does: bfloat16 needs no scaling.
        self._enabled = self._enabled and on_hpu(device) == device

    return begin


def _with_device(stock: Callable[..., Any]) -> Callable[..., Any]:
    def asked(*args: Any) -> Any:
        # Without a device PyTorch means CUDA.
        if not args or isinstance(args[0], bool):
            args = ("hpu", *args)
        return stock(*[on_hpu(x) for x in args])

    return asked


def _parallel(stock: Callable[..., None]) -> Callable[..., None]:
    def begin(
        self: Any, module: Any, device_ids: Any = None, output_device: Any = None, *args: Any, **kwargs: Any
    ) -> None:
        stock(self, module, None, None, *args, **kwargs)  # a process has one device

    return begin


def _loader(stock: Callable[..., None]) -> Callable[..., None]:
    def begin(self: Any, *args: Any, **kwargs: Any) -> None:
        if "pin_memory_device" in kwargs:
            kwargs["pin_memory_device"] = on_hpu(kwargs["pin_memory_device"])
        stock(self, *args, **kwargs)

    return begin


def _compiled(stock: Callable[..., Any]) -> Callable[..., Any]:
    def compiled(model: Any = None, **kwargs: Any) -> Any:
        if kwargs.get("backend", "inductor") == "inductor":
            kwargs["backend"] = "hpu_backend"
            kwargs.pop("mode", None)  # says how Inductor is to compile for a GPU
        return stock(model, **kwargs)

    return compiled


def _group(stock: Callable[..., Any]) -> Callable[..., Any]:
    def begin(*args: Any, **kwargs: Any) -> Any:
        args = tuple(map(_hccl, args))
        return stock(*args, **{key: on_hpu(_hccl(x)) for key, x in kwargs.items()})

    return begin


def _hccl(value: Any) -> Any:
    if not isinstance(value, str) or "://" in value:
        return value
    return ",".join(_pair(part) for part in value.split(","))


def _pair(part: str) -> str:
    device, _, backend = part.rpartition(":")
    if backend != "nccl":
        return part
    return f"{on_hpu(device)}:hccl" if device else "hccl"


def _backend(stock: Callable[..., str]) -> Callable[..., str]:
    def asked(group: Any = None) -> str:
        found = stock(group)
        return "nccl" if found == "hccl" else found

    return asked
