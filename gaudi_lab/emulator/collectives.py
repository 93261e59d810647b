"""Collectives on `hpu` tensors: they run on the host, through whatever backend the process group has there."""

from __future__ import annotations

from typing import Any

import torch

from . import flags
from .tensor import HpuTensor
from .trace import recorder


def run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Run one operator of `c10d`. It writes into the memory of its tensors, so nothing has to be copied back.

    Raises
    ------
    RuntimeError
        An HPU graph is being captured, and ``PT_HPU_ENABLE_LAZY_COLLECTIVES`` is not set.
    """
    if recorder.capture is not None and not flags.get("PT_HPU_ENABLE_LAZY_COLLECTIVES"):
        raise RuntimeError("collective nonSFG is not supported during hpu graph capturing")
    recorder.flush()
    out = func(*[_host(x) for x in args], **{name: _host(x) for name, x in kwargs.items()})
    return _given(out, args)


def _host(x: Any) -> Any:
    if isinstance(x, HpuTensor):
        return x._cell.read()
    if isinstance(x, (list, tuple)):
        return [_host(y) for y in x]
    return x


def _given(out: Any, args: Any) -> Any:
    """Return `out` with the callers' tensors in place of their host memory: the results are the first argument."""
    if not isinstance(out, (list, tuple)):
        return args[0] if isinstance(out, torch.Tensor) else out
    results, *rest = out
    return (args[0] if isinstance(results, (list, torch.Tensor)) else results, *rest)
