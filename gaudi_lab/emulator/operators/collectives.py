"""Collectives on `hpu` tensors: they run on the host, through whatever backend the process group has there."""

from __future__ import annotations

from typing import Any

import torch

from gaudi_lab.emulator.device import counted_writes
from gaudi_lab.emulator.device.cell import Cell
from gaudi_lab.emulator.device.tensor import HpuTensor
from gaudi_lab.emulator.lazy.record import tape
from gaudi_lab.emulator.process import flags


def run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Run one operator of `c10d`. It writes into the memory of its tensors, so nothing has to be copied back.

    In a capture it becomes part of the graph: every replay runs it again, and waits for it.

    Raises
    ------
    RuntimeError
        An HPU graph is being captured, and ``PT_HPU_ENABLE_LAZY_COLLECTIVES`` is not set.
    """
    capture = tape.capture
    if capture is not None and not flags.get("PT_HPU_ENABLE_LAZY_COLLECTIVES"):
        raise RuntimeError("collective nonSFG is not supported during hpu graph capturing")
    out = _call(func, tape.settle(args), kwargs, {})
    if capture is not None:

        def again(instead: dict[Any, Cell]) -> None:
            out = _call(func, args, kwargs, instead)
            for work in out if isinstance(out, (list, tuple)) else [out]:
                if hasattr(work, "wait"):
                    work.wait()

        capture.repeat(again, _cells([*args, *kwargs.values()]))
    return _give_back(out, args)


# One tensor holds every rank's part. HCCL, as NCCL, minds only how many elements it has; Gloo minds its shape too.
_FLAT = {
    "c10d::_allgather_base_",
    "c10d::_reduce_scatter_base_",
    "c10d::allgather_into_tensor_coalesced_",
    "c10d::reduce_scatter_tensor_coalesced_",
}


def _call(func: Any, args: Any, kwargs: dict[str, Any], instead: dict[Any, Cell]) -> Any:
    hosts = [_host(x, instead) for x in args]
    if func.name() in _FLAT:
        hosts = [_flat(x) for x in hosts]
    out = func(*hosts, **{name: _host(x, instead) for name, x in kwargs.items()})
    counted_writes.note(hosts)
    return out


def _flat(x: Any) -> Any:
    if isinstance(x, torch.Tensor):
        return x.view(-1) if x.is_contiguous() else x
    return [_flat(y) for y in x] if isinstance(x, (list, tuple)) else x


def _host(x: Any, instead: dict[Any, Cell]) -> Any:
    if isinstance(x, HpuTensor):
        return instead.get(x._cell, x._cell).read()
    if isinstance(x, (list, tuple)):
        return [_host(y, instead) for y in x]
    return x


def _cells(x: Any) -> list[Cell]:
    if isinstance(x, HpuTensor):
        return [x._cell]
    return [cell for y in x for cell in _cells(y)] if isinstance(x, (list, tuple)) else []


def _give_back(out: Any, args: Any) -> Any:
    """Return `out` with the callers' tensors in place of their host memory: the results are the first argument."""
    if not isinstance(out, (list, tuple)):
        return args[0] if isinstance(out, torch.Tensor) else out
    results, *rest = out
    return (args[0] if isinstance(results, (list, torch.Tensor)) else results, *rest)
