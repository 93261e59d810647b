"""Softmax over the last dimension by the bridge's `CustomSoftmax`.

A candidate is a module during whose forward PyTorch's softmax is called. The function is PyTorch's own, so what it
computes is known; what the kernel computes is held against it on random data, and on the model's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.overrides import TorchFunctionMode

from gaudi_lab import bridge
from gaudi_lab.instruments.fused_operators.class_layers import Forward, Note, StandIns, class_before
from gaudi_lab.instruments.fused_operators.place import (
    REPLACED,
    KernelOperator,
    Run,
    StandInPlace,
    general_refusal,
    is_replaced,
)
from gaudi_lab.instruments.fused_operators.rounding import DTYPES, gradients_agree, is_within
from gaudi_lab.instruments.handle import Handle, together

_SHAPES = ((7,), (2, 5), (2, 3, 4, 9))
_KEPT = 4

Call = tuple[torch.Tensor, int | None, torch.dtype | None]


@dataclass(frozen=True)
class SoftmaxLayer:
    """Computes the softmaxes of a module's forward by the kernel where a call suits it.

    Attributes
    ----------
    gradients
        Whether its gradients were established too.
    """

    gradients: bool
    operator: str = "softmax"

    def around(self, forward: Forward, stand_ins: StandIns) -> Forward:
        """Return a forward during which softmax is computed by the kernel. Other threads do not see it."""
        kernel, note, gradients = bridge.fused_softmax(), stand_ins.note_for(self.operator), self.gradients

        def fused_forward(module: Any, *args: Any, **kwargs: Any) -> Any:
            with _SoftmaxByKernel(kernel, note, gradients):
                return forward(module, *args, **kwargs)

        return fused_forward


class _SoftmaxByKernel(TorchFunctionMode):
    def __init__(self, kernel: Any, note: Note, gradients: bool) -> None:
        super().__init__()
        self.kernel, self.note, self.gradients = kernel, note, gradients

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is not F.softmax and func is not torch.softmax and func is not torch.Tensor.softmax:
            return func(*args, **kwargs)
        data, dim, dtype = _read(*args, **kwargs)
        reason = _refusal(data, dim, dtype, self.gradients)
        if reason:
            self.note(reason)
            return func(*args, **kwargs)
        return self.kernel.apply(data if dtype is None else data.to(dtype), 0)


def _find(model: nn.Module, run: Run | None) -> list[StandInPlace]:
    """Return the modules in whose forward softmax is called. Which they are is known only from a run."""
    if run is None:
        return []
    calls = _calls_in(model, run)
    if not calls:
        return []
    if not all(_agrees(x, None) for x in _random_data()):
        reason = "not established: on random data the kernel differs"
        return [StandInPlace(path, _kind(model, path), reason=reason) for path in calls]
    gradients = all(_gradients_agree(x) for x in _random_data(torch.float32))
    return [_place(model, path, made, SoftmaxLayer(gradients)) for path, made in calls.items()]


def _kind(model: nn.Module, path: str) -> str:
    return class_before(model.get_submodule(path)).__name__


def _place(model: nn.Module, path: str, calls: list[Call], layer: SoftmaxLayer) -> StandInPlace:
    kind = _kind(model, path)
    if is_replaced(model.get_submodule(path)):
        return StandInPlace(path, kind, reason=REPLACED)
    reasons = [_refusal(*call, layer.gradients) for call in calls]
    if all(reasons):
        return StandInPlace(path, kind, reason=f"not established: {reasons[0]}")
    suited = [call for call, reason in zip(calls, reasons, strict=True) if not reason]
    if not all(_agrees(data, dtype) for data, _, dtype in suited):
        return StandInPlace(
            path, kind, reason="not established: on the model's own inputs the kernel differs"
        )
    return StandInPlace(path, kind, layer)


def _read(
    input: torch.Tensor,  # noqa: A002 - PyTorch's names
    dim: int | None = None,
    _stacklevel: int | None = None,
    dtype: torch.dtype | None = None,
    **_: Any,
) -> Call:
    # `torch.softmax` has its dtype third.
    if isinstance(_stacklevel, torch.dtype):
        dtype = _stacklevel
    return input, dim, dtype


def _refusal(data: torch.Tensor, dim: int | None, dtype: torch.dtype | None, gradients: bool) -> str:
    """Return why the kernel does not suit a call; empty if it does."""
    if data.device.type != "hpu":
        return "the data are not on hpu"
    if dim is None or dim not in (-1, data.dim() - 1) or data.dim() == 0:
        return "it is for the last dimension only"
    if (dtype or data.dtype) not in DTYPES or data.dtype not in DTYPES:
        return f"it is for float32 and bfloat16, not {dtype or data.dtype}"
    if data.numel() == 0:
        return "the data are empty"
    return general_refusal((data,), gradients)


def _calls_in(model: nn.Module, run: Run) -> dict[str, list[Call]]:
    """Return the calls of softmax while the model runs, by the innermost module that was running."""
    paths = {module: path for path, module in model.named_modules()}
    running: list[nn.Module] = []
    calls: dict[str, list[Call]] = {}

    class Noting(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if running and func in (F.softmax, torch.softmax, torch.Tensor.softmax):
                made = calls.setdefault(paths[running[-1]], [])
                if len(made) < _KEPT:
                    data, dim, dtype = _read(*args, **(kwargs or {}))
                    made.append((data.detach(), dim, dtype))
            return func(*args, **(kwargs or {}))

    with _tracking(paths, running), Noting():
        run()
    return calls


@contextmanager
def _tracking(modules: dict[nn.Module, str], running: list[nn.Module]) -> Iterator[None]:
    """Keep in `running` which modules are inside their forward, the innermost last."""

    def enter(module: nn.Module, _: Any) -> None:
        running.append(module)

    def leave(*_: Any) -> None:
        running.pop()

    def watch(module: nn.Module) -> Iterator[Handle]:
        yield Handle(module.register_forward_pre_hook(enter).remove)
        yield Handle(module.register_forward_hook(leave, always_call=True).remove)

    with together([handle for module in modules for handle in watch(module)]):
        yield


def _random_data(*dtypes: torch.dtype) -> Iterator[torch.Tensor]:
    generator = torch.Generator().manual_seed(4)
    for dtype in dtypes or DTYPES:
        for shape in _SHAPES:
            yield (torch.randn(shape, generator=generator) * 3).to("hpu", dtype)


@torch.no_grad()
def _agrees(data: torch.Tensor, dtype: torch.dtype | None) -> bool:
    """Whether the kernel gives the softmax within rounding; what is nowhere allowed is left to both alike."""
    data = data if dtype is None else data.to(dtype)
    exact = torch.softmax(data.cpu().double(), -1)
    if not bool(exact.isfinite().all()):
        return False
    # An exponential turns the rounding of its argument into one of its result.
    return is_within(bridge.fused_softmax().apply(data, 0), exact)


def _gradients_agree(data: torch.Tensor) -> bool:
    kernel = bridge.fused_softmax()
    inputs = (data.detach().requires_grad_(),)
    return gradients_agree(lambda x: kernel.apply(x, 0), lambda x: torch.softmax(x, -1), inputs)


SOFTMAX = KernelOperator(
    name="softmax",
    label="CustomSoftmax",
    meaning="Softmax over the last dimension by Gaudi's own kernel",
    shows_in_a_run=True,
    kernel=lambda: bridge.fused_softmax(),
    find=_find,
)
