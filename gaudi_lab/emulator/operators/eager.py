"""Eager mode: every operator runs at once, on the host tensors behind its arguments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from gaudi_lab.emulator.device import counted_writes, wider
from gaudi_lab.emulator.device.host_kernels import host_kernel
from gaudi_lab.emulator.device.schema import returned_aliases, writes, written
from gaudi_lab.emulator.device.tensor import CPU, HpuTensor, wrap
from gaudi_lab.emulator.lazy.record import tape
from gaudi_lab.emulator.lazy.shape_inference import infer

Runner = Callable[[Any, dict[str, Any]], Any]

_TENSOR = torch.Tensor
_runners: dict[int, Runner] = {}


def run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Run one operator and return `hpu` tensors over its results."""
    return runner(func)(args, kwargs)


def runner(func: Any) -> Runner:
    """Return what runs one operator at once: a function of its arguments and its named ones."""
    # By its number: PyTorch hashes an operator in Python. The runner keeps the operator, and so its number.
    known = _runners.get(id(func))
    if known is None:
        known = _runners[id(func)] = _make_runner(func)
    return known


def _make_runner(func: Any) -> Runner:
    call = host_kernel(func)
    aliases = returned_aliases(func)
    sole = aliases[0] if len(aliases) == 1 else None
    several = aliases if any(aliases) else ()
    writing = bool(writes(func))

    def run(args: Any, kwargs: dict[str, Any]) -> Any:
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
            if host.__class__ is _TENSOR and host.is_complex():
                signs = True
            hosts.append(host)
        named = {name: _host(x) for name, x in kwargs.items()} if kwargs else kwargs
        try:
            out = _with_signs(call, hosts, named) if signs else call(*hosts, **named)
        except RuntimeError as error:
            out = wider.rescue(error, func, hosts, named)
        if writing:
            counted_writes.note(written(func, hosts, named))
        if sole is not None:
            return sole.of(args, kwargs)
        if out.__class__ is _TENSOR and not several:
            return wrap(out)
        if several and isinstance(out, tuple):
            return tuple(
                [
                    _wrap(x) if alias is None else alias.of(args, kwargs)
                    for x, alias in zip(out, several, strict=True)
                ]
            )
        return _wrap(out)

    return run


def run_now(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Run one operator outside the recording, once everything that is recorded has run."""
    return run(func, tape.settle(args), kwargs)


def _with_signs(call: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
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
