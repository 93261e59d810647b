"""Eager mode: every operator runs at once, on the host tensors behind its arguments."""

from __future__ import annotations

import functools
from typing import Any

import torch

from gaudi_lab.emulator.device import counted_writes, wider
from gaudi_lab.emulator.device.random import is_random, on_device
from gaudi_lab.emulator.device.schema import Alias, returned_aliases, writes, written
from gaudi_lab.emulator.device.tensor import CPU, HpuTensor, wrap
from gaudi_lab.emulator.lazy import infer
from gaudi_lab.emulator.lazy.record import tape


def run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Run one operator and return `hpu` tensors over its results."""
    call, aliases, sole, writing = _plan(func)
    hosts: list[Any] = []
    signs = False
    for x in args:
        kind = x.__class__
        if kind is HpuTensor:
            host = x._cell.host
            if host is None:
                host = x._cell.read()
        elif kind in _PLAIN:
            hosts.append(x)
            continue
        else:
            host = _host(x)
        if host.__class__ is torch.Tensor and host.is_complex():
            signs = True
        hosts.append(host)
    if signs:
        call = functools.partial(_with_signs, call)
    named = {name: _host(x) for name, x in kwargs.items()} if kwargs else kwargs
    try:
        out = call(*hosts, **named)
    except RuntimeError as error:
        out = wider.rescue(error, func, hosts, named)
    if writing:
        counted_writes.note(written(func, hosts, named))
    if sole is not None:
        return sole.of(args, kwargs)
    if out.__class__ is torch.Tensor and not aliases:
        return wrap(out)
    if aliases and isinstance(out, tuple):
        return tuple(
            [
                _wrap(x) if alias is None else alias.of(args, kwargs)
                for x, alias in zip(out, aliases, strict=True)
            ]
        )
    return _wrap(out)


def run_now(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Run one operator outside the recording, once everything that is recorded has run."""
    return run(func, tape.settle(args), kwargs)


def _with_signs(call: Any, *args: Any, **kwargs: Any) -> Any:
    """Call an operator whose kernel may take conjugate views inside, which PyTorch switches off while we dispatch."""
    included, excluded = (
        torch._C._dispatch_tls_local_include_set(),
        torch._C._dispatch_tls_local_exclude_set(),
    )
    with torch._C._ForceDispatchKeyGuard(included, excluded - _SIGNS):
        return call(*args, **kwargs)


_SIGNS = torch._C.DispatchKeySet(torch._C.DispatchKey.Conjugate) | torch._C.DispatchKeySet(
    torch._C.DispatchKey.Negative
)


@functools.cache
def _plan(func: Any) -> tuple[Any, tuple[Alias | None, ...], Alias | None, bool]:
    # The overload's own C++ entry saves a Python frame for each operator.
    call = on_device(func) if is_random(func) else func._op
    aliases = returned_aliases(func)
    if not any(aliases):
        aliases = ()
    return call, aliases, aliases[0] if len(aliases) == 1 else None, bool(writes(func))


_PLAIN = {int, float, bool, str, type(None), torch.dtype}


def _host(x: Any) -> Any:
    if isinstance(x, HpuTensor):
        return x._cell.read()
    if isinstance(x, (list, tuple)):
        return [_host(y) for y in x]
    if isinstance(x, torch.Tensor):
        return _foreign(x)
    return infer.on_host(x)


def _foreign(x: torch.Tensor) -> torch.Tensor:
    if x.device.type == "hpu" and x.layout is torch.strided:
        # A compiler's stand-in for what a factory makes on the device: the copy becomes part of its graph.
        return torch.ops.aten._to_copy.default(x, device=CPU)
    if x.dim() == 0:
        return x
    return infer.scalar_from_host(x)


def _wrap(x: Any) -> Any:
    if isinstance(x, torch.Tensor):
        return wrap(x)
    if isinstance(x, (list, tuple)):
        return (
            x.__class__([_wrap(y) for y in x])
            if x.__class__ in (list, tuple)
            else tuple([_wrap(y) for y in x])
        )
    return x
