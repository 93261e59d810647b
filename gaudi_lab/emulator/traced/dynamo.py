"""`torch.compile(backend="hpu_backend")`: what Dynamo traced, compiled for the host behind the device."""

from __future__ import annotations

import copy
import pkgutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import fx
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils import _pytree as pytree

from gaudi_lab import origin
from gaudi_lab.emulator.device import first_gradients
from gaudi_lab.emulator.device.events import EventId, publish
from gaudi_lab.emulator.device.on_the_host import on_the_host
from gaudi_lab.emulator.device.random import drawing_on_device
from gaudi_lab.emulator.device.tensor import HpuTensor, wrap
from gaudi_lab.emulator.lazy import compilers
from gaudi_lab.emulator.lazy.compile import in_use, next_name
from gaudi_lab.emulator.process import mode
from gaudi_lab.emulator.traced import graph_log
from gaudi_lab.emulator.traced.checked_graph import CheckedGraph
from gaudi_lab.emulator.traced.host_graph import as_on_device, to_host


def compile_graph(graph_module: fx.GraphModule, example_inputs: Sequence[Any]) -> Callable[..., Any]:
    """Return a function of `hpu` tensors that runs `graph_module`.

    The graph is moved to the host, where it runs as traced, or as the compiler makes it that was asked for. It runs as
    traced too, with a warning, if Inductor has no code for it on a CPU, or a compiler code whose first results are not
    those of the graph as traced.

    Raises
    ------
    torch._dynamo.exc.InvalidBackend
        In lazy mode, where the bridge has no such backend.
    """
    if mode.is_lazy():
        from torch._dynamo.exc import InvalidBackend

        raise InvalidBackend(name="hpu_backend")
    started = time.perf_counter()
    devices = _devices_of_outputs(graph_module)
    to_host(graph_module)
    name = next_name("compiled")
    # A compiler may rewrite what it is given, and is compared with what was traced.
    traced = fx.GraphModule(graph_module, copy.deepcopy(graph_module.graph))
    compiled: Callable[..., Any] | None = None
    by = (
        "replay"
        if _symbolic(example_inputs)
        else compilers.for_traced(gradients=_needs_gradients(example_inputs))
    )
    if by == "inductor":
        with as_on_device():
            compiled = _inductor(graph_module, example_inputs)
    elif by == "openvino":
        from gaudi_lab.emulator.traced.by_openvino import TracedByOpenVINO

        parameters = [n for n, x in enumerate(example_inputs) if isinstance(x, torch.nn.Parameter)]
        compiled = TracedByOpenVINO(name, traced, parameters)
    graph = in_use[name] = CheckedGraph(name, traced, compiled, _NAMES[by])
    micros = (time.perf_counter() - started) * 1e6
    publish(EventId.GRAPH_COMPILATION, duration=round(micros), recipe=name)
    return _on_device(graph, devices, branches=_has_branches(graph_module))


_NAMES = {"replay": "", "inductor": "Inductor", "openvino": "OpenVINO"}


def _needs_gradients(example_inputs: Sequence[Any]) -> bool:
    return torch.is_grad_enabled() and any(
        isinstance(x, torch.Tensor) and x.requires_grad for x in example_inputs
    )


def _inductor(graph_module: fx.GraphModule, example_inputs: Sequence[Any]) -> Callable[..., Any] | None:
    from torch._inductor.compile_fx import compile_fx
    from torch._inductor.exc import InductorError

    try:
        compiled: Any = compile_fx(
            graph_module,
            [_example(x) for x in example_inputs],
            # PyTorch's own random operators: dropout's mask is that of the graph as traced.
            config_patches={"fallback_random": True},
        )
    except InductorError as error:
        # A limit of the host's compiler, such as that of flex attention on a CPU, not one of the device's.
        reason = str(error).partition("\n")[0]
        origin.warn(f"Inductor cannot compile this graph, it runs as traced: {reason}")
        return None
    return compiled


def keep_out() -> None:
    """Keep Dynamo from tracing into the emulator itself, where it looks for a frame worth compiling.

    The bridge's own package stays open to it, and the kernels do: their Python belongs to the traced model. So does the
    mode of the process, which a model asks for.
    """
    from torch._dynamo import trace_rules

    emulator = Path(__file__).parents[1]
    for folder, package in ((emulator, _EMULATOR), (emulator / "process", f"{_EMULATOR}.process")):
        for module in pkgutil.iter_modules([str(folder)]):
            if (name := f"{package}.{module.name}") not in _OPEN:
                trace_rules.add(name)


_EMULATOR = "gaudi_lab.emulator"
_OPEN = {f"{_EMULATOR}.{name}" for name in ("habana_frameworks", "kernels", "process", "process.mode")}


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


def _devices_of_outputs(graph_module: fx.GraphModule) -> tuple[str, ...]:
    """Return the kind of device that each output was traced on: a graph may return tensors of the host too."""
    (outputs,) = graph_module.graph.output_node().args
    traced = [x.meta["example_value"] if isinstance(x, fx.Node) else x for x in pytree.tree_leaves(outputs)]
    return tuple([x.device.type if isinstance(x, torch.Tensor) else "none" for x in traced])


def _has_branches(graph_module: fx.GraphModule) -> bool:
    """Return whether what a graph runs may be another part of it each time, as with `torch.cond`."""
    return any(isinstance(node.target, torch._ops.HigherOrderOperator) for node in graph_module.graph.nodes)


def _on_device(graph: CheckedGraph, devices: tuple[str, ...], *, branches: bool) -> Callable[..., Any]:
    """Return `graph` as a function of `hpu` tensors that returns them on `devices`."""
    draws = True
    views: dict[int, int] | None = None

    def call(*args: Any) -> Any:
        nonlocal draws
        graph.runs += 1
        if not draws:
            return run(*args)
        with drawing_on_device() as drawing:
            out = run(*args)
        # What has not drawn once never does, and to exchange the states takes longer than a small graph.
        draws = drawing.drawn or branches
        return out

    def run(*args: Any) -> Any:
        nonlocal views
        if torch.is_grad_enabled() and any(isinstance(x, torch.Tensor) and x.requires_grad for x in args):
            outputs = _Differentiable.apply(graph, devices, *args)
            if views is None:
                views = _find_views(outputs, args)
            return _view_inputs(outputs, args, views) if views else outputs
        hosts = [x._cell.read() if isinstance(x, HpuTensor) else x for x in args]
        casts = as_on_device()
        with on_the_host(), casts:
            return _place(graph_log.heard(lambda: graph(*hosts)), devices)

    return call


def _place(outputs: Any, devices: tuple[str, ...]) -> Any:
    return type(outputs)(
        [
            wrap(x) if device == "hpu" and isinstance(x, torch.Tensor) else x
            for x, device in zip(outputs, devices, strict=True)
        ]
    )


def _find_views(outputs: Sequence[Any], args: Sequence[Any]) -> dict[int, int]:
    """Return which outputs lie in the memory of an input that has gradients, by position, and which input that is."""
    lying = [_memory(x) for x in args]
    found = {}
    for number, out in enumerate(outputs):
        memory = _memory(out)
        if memory is not None and lying.count(memory) == 1:
            position = lying.index(memory)
            if args[position].requires_grad and args[position].dtype is out.dtype:
                found[number] = position
    return found


def _memory(x: Any) -> int | None:
    if not isinstance(x, torch.Tensor):
        return None
    host = x._cell.read() if isinstance(x, HpuTensor) else x
    return host.untyped_storage()._cdata if host.layout is torch.strided else None


def _view_inputs(outputs: Sequence[Any], args: Sequence[Any], views: dict[int, int]) -> tuple[Any, ...]:
    """Return outputs as views of inputs where they are, so that autograd learns of writes into them."""
    return tuple(
        [
            args[views[number]].as_strided(out.size(), out.stride(), out.storage_offset())
            if number in views
            else out
            for number, out in enumerate(outputs)
        ]
    )


def _leaf(x: torch.Tensor) -> torch.Tensor:
    """Return the host's tensor behind `x`, one of the host included, with an autograd graph of its own."""
    host = x._cell.read() if isinstance(x, HpuTensor) else x
    return host.detach().requires_grad_(x.requires_grad)


class _Differentiable(torch.autograd.Function):
    """Carries gradients between the device's autograd graph and the host's, in which the compiled code lives."""

    @staticmethod
    def forward(ctx: Any, graph: CheckedGraph, devices: tuple[str, ...], *args: Any) -> Any:
        ctx.devices = tuple(["hpu" if isinstance(x, HpuTensor) else "cpu" for x in args])
        ctx.save_for_backward(*[x for x in args if isinstance(x, torch.Tensor) and x.requires_grad])
        with torch.enable_grad():
            hosts = [_leaf(x) if isinstance(x, torch.Tensor) else x for x in args]
            with as_on_device():
                ctx.call = graph_log.heard(lambda: graph.differentiate(hosts, args))
        outputs = tuple([x.detach() if isinstance(x, torch.Tensor) else x for x in ctx.call.outputs])
        return _place(outputs, devices)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        received = [grad._cell.read() if isinstance(grad, HpuTensor) else grad for grad in grads]
        keep = torch._C._autograd._get_current_graph_task_keep_graph()
        gradients = _place(
            tuple(graph_log.heard(lambda: ctx.call.gradients(received, keep=keep))), ctx.devices
        )
        if torch.is_grad_enabled():
            gradients = first_gradients.end_at(gradients, (*ctx.saved_tensors, *grads), _NO_SECOND)
        return None, None, *gradients


_NO_SECOND = (
    "torch.compile with hpu_backend does not support double backward: what it compiled has gradients, and these have "
    'none. Run it without: with torch.compiler.set_stance("force_eager"): ...'
)
