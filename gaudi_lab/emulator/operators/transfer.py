"""Copies between the host and the device, and reads: the places where what is recorded has to run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.nn.parameter import UninitializedTensorMixin  # type: ignore[attr-defined]

from gaudi_lab.emulator.device import counted_writes, uninitialized
from gaudi_lab.emulator.device.acquire import check_index
from gaudi_lab.emulator.device.memory import ledger
from gaudi_lab.emulator.device.on_the_host import lasting, on_the_host
from gaudi_lab.emulator.device.tensor import HpuTensor, wrap
from gaudi_lab.emulator.lazy.record import tape
from gaudi_lab.emulator.lazy.shape_inference import infer
from gaudi_lab.emulator.operators import eager
from gaudi_lab.emulator.process import mode

aten = torch.ops.aten


def read(tensor: HpuTensor) -> torch.Tensor:
    """Return the host tensor behind `tensor`, with everything recorded so far done."""
    return tape.read(tensor._cell)


def item(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Return the value of a 0-dim tensor."""
    return func(read(args[0]))


def to_copy(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Copy to another dtype, layout or device."""
    source = args[0]
    options = {name: x for name, x in kwargs.items() if name != "non_blocking" and x is not None}
    if options.get("pin_memory") is False:
        del options["pin_memory"]
    device = options.pop("device", None)
    device = source.device if device is None else check_index(torch.device(device))
    if device.type == "hpu":
        if isinstance(source, HpuTensor):
            return _on_device(func, (source,), options)
        with lasting():
            host = source.detach()
            value = _bytes_of(host) if _moves_bytes(host, options) else func(host, device="cpu", **options)
        moved = wrap(value)
        return uninitialized.of(moved) if isinstance(source, UninitializedTensorMixin) else moved
    host = _value(source)
    if device.type == "cpu" and _moves_bytes(host, options):
        return _bytes_of(host)
    return func(host, device=device, **options)


def takes_a_form(func: Any) -> bool:
    """Return whether `func` makes a tensor of another one's form, such as `zeros_like`: that may lie elsewhere."""
    name = func._schema.name
    return name.startswith("aten::new_") or (name.startswith("aten::") and name.endswith("_like"))


def placing(route: Callable[..., Any]) -> Callable[..., Any]:
    """Return the way of an operator that `takes_a_form`: only what shall lie on the device is made there."""

    def make(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        device = kwargs.get("device")
        if device is None or check_index(torch.device(device)).type == "hpu":
            return route(func, args, kwargs)
        form, *rest = args
        form = torch.empty_strided(form.size(), form.stride(), dtype=form.dtype, device="meta")
        return func(form, *rest, **kwargs)

    return make


def copy_(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Copy one tensor into another, across devices where they differ."""
    target, source = args[0], args[1]
    if not isinstance(target, HpuTensor):
        target.copy_(_value(source))
        return target
    if isinstance(source, HpuTensor):
        return _on_device(func, (target, source), {})
    if source.device.type != "cpu":
        return _on_device(func, (target, source), {})
    cell = target._cell
    if cell.fresh and cell.host is not None and not ledger.is_shared(cell.host):
        cell.host.copy_(source.detach())
        counted_writes.note([cell.host])
        return target
    with lasting():
        host = source.detach()
        value = _bytes_of(host) if _moves_bytes(host, {}) else host.clone()
    return _on_device(func, (target, wrap(value)), {})


def _moves_bytes(host: torch.Tensor, options: dict[str, Any]) -> bool:
    """Return True if a copy moves bytes that a copy on the host would change: it makes 0 or 1 of a bool's."""
    changes = {
        name for name, x in options.items() if x not in (torch.bool, torch.strided, torch.preserve_format)
    }
    return host.dtype is torch.bool and not changes and host.layout is torch.strided


def _bytes_of(host: torch.Tensor) -> torch.Tensor:
    return host.view(torch.uint8).clone().view(torch.bool)


def move(pairs: Sequence[tuple[HpuTensor, torch.Tensor]]) -> None:
    """Copy into device memory at once, without a graph, as a DMA engine does; each pair is a target and its source.

    What is recorded runs first: it may still owe a source, or read a target.
    """
    hosts = [(read(target), _value(source)) for target, source in pairs]
    with on_the_host():
        for target, source in hosts:
            target.copy_(source)


def _on_device(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    if mode.is_lazy():
        try:
            return tape.record(func, args, kwargs)
        except infer.BeingTraced:
            return eager.run(func, args, kwargs)
        except infer.NotRecordable:
            return eager.run_now(func, args, kwargs)
    return eager.run(func, args, kwargs)


def _value(source: Any) -> Any:
    return read(source) if isinstance(source, HpuTensor) else source.detach()
