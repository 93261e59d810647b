"""`torch.compile(backend="hpu_backend")`: what Dynamo traced, compiled for the host behind the device."""

from __future__ import annotations

import pkgutil
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import fx
from torch._subclasses.fake_tensor import FakeTensor

from . import compiler, mode
from .events import EventId, publish
from .host_graph import to_host
from .tensor import HpuTensor, wrap


def compile_graph(graph_module: fx.GraphModule, example_inputs: Sequence[Any]) -> Callable[..., Any]:
    """Return a function of `hpu` tensors that runs `graph_module`.

    The graph is moved to the host, where Inductor compiles it if a C++ compiler is there. It runs as traced if none
    is, and, with a warning, if Inductor has no code for it on a CPU.

    Raises
    ------
    torch._dynamo.exc.InvalidBackend
        In lazy mode, where the bridge has no such backend.
    """
    if mode.lazy():
        from torch._dynamo.exc import InvalidBackend

        raise InvalidBackend(name="hpu_backend")
    started = time.perf_counter()
    to_host(graph_module)
    run: Callable[..., Any] = graph_module.forward
    if compiler.use_inductor(default=True) and not _symbolic(example_inputs):
        run = _inductor(graph_module, example_inputs) or run
    micros = (time.perf_counter() - started) * 1e6
    publish(EventId.GRAPH_COMPILATION, duration=round(micros, 3), recipe=compiler.next_name("compiled"))
    return _on_device(run)


def _inductor(graph_module: fx.GraphModule, example_inputs: Sequence[Any]) -> Callable[..., Any] | None:
    from torch._inductor.compile_fx import compile_fx
    from torch._inductor.exc import InductorError

    try:
        compiled: Any = compile_fx(graph_module, [_example(x) for x in example_inputs])
    except InductorError as error:
        # A limit of the host's compiler, such as that of flex attention on a CPU, not one of the device's.
        reason = str(error).partition("\n")[0]
        warnings.warn(f"Inductor cannot compile this graph, it runs as traced: {reason}", stacklevel=2)
        return None
    return compiled


def keep_out() -> None:
    """Keep Dynamo from tracing into the emulator itself, where it looks for a frame worth compiling.

    The bridge's own package stays open to it: a fused kernel's Python belongs to the traced model.
    """
    from torch._dynamo import trace_rules

    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        if not module.ispkg:
            trace_rules.add(f"{__package__}.{module.name}")


def _symbolic(example_inputs: Sequence[Any]) -> bool:
    """Return True if a size is a symbol: the sizes of wrapper and host would be two symbols for one number."""
    sizes = [size for x in example_inputs if isinstance(x, torch.Tensor) for size in x.shape]
    return any(isinstance(x, torch.SymInt) for x in [*sizes, *example_inputs])


def _example(x: Any) -> Any:
    if not isinstance(x, HpuTensor):
        return x
    host = x._cell.read().detach()
    tracing = torch._guards.TracingContext.try_get()
    if tracing is not None and tracing.fake_mode is not None and not isinstance(host, FakeTensor):
        # Dynamo has guarded the sizes. Left to itself, the compiler would make a symbol of each.
        host = tracing.fake_mode.from_tensor(host, static_shapes=True)
    return host.requires_grad_(x.requires_grad)


def _on_device(run: Callable[..., Any]) -> Callable[..., Any]:
    """Return `run`, a function of host tensors, as one of `hpu` tensors."""

    def call(*args: Any) -> Any:
        if torch.is_grad_enabled() and any(isinstance(x, HpuTensor) and x.requires_grad for x in args):
            return _Differentiable.apply(run, *args)
        hosts = [x._cell.read() if isinstance(x, HpuTensor) else x for x in args]
        with compiler.on_the_host():
            return _wrapped(run(*hosts))

    return call


class _Differentiable(torch.autograd.Function):
    """Carries gradients between the device's autograd graph and the host's, in which the compiled code lives."""

    @staticmethod
    def forward(ctx: Any, run: Callable[..., Any], *args: Any) -> Any:
        with torch.enable_grad():
            ctx.hosts = [
                x._cell.read().detach().requires_grad_(x.requires_grad) if isinstance(x, HpuTensor) else x
                for x in args
            ]
            ctx.outputs = run(*ctx.hosts)
        return tuple([wrap(x.detach()) if isinstance(x, torch.Tensor) else x for x in ctx.outputs])

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        pairs = [
            (out, grad._cell.read())
            for out, grad in zip(ctx.outputs, grads, strict=True)
            if isinstance(out, torch.Tensor) and out.requires_grad and grad is not None
        ]
        wanted = [x for x in ctx.hosts if isinstance(x, torch.Tensor) and x.requires_grad]
        found = iter(
            torch.autograd.grad(
                [out for out, _ in pairs], wanted, [grad for _, grad in pairs], allow_unused=True
            )
        )
        ctx.outputs = None
        received = [
            next(found) if isinstance(x, torch.Tensor) and x.requires_grad else None for x in ctx.hosts
        ]
        return None, *[None if grad is None else wrap(grad) for grad in received]


def _wrapped(out: Any) -> Any:
    if isinstance(out, torch.Tensor):
        return wrap(out)
    return type(out)([_wrapped(x) for x in out]) if isinstance(out, (list, tuple)) else out
