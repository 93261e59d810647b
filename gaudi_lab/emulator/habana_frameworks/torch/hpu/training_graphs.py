"""Graphs for training: forward and backward of a callable, captured and replayed as one step of autograd."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.utils import _pytree as pytree

from gaudi_lab.emulator.device import first_gradients

from . import streams
from .hpu_graph import HPUGraph

Flat = list[Any]


class GraphedCallable:
    """Forward and backward of `func`, captured for inputs of the shapes of `sample`.

    Parameters
    ----------
    func
        A function of the tensors in `sample`.
    parameters
        What it trains beside its inputs.
    sample
        The static inputs: every call copies its own into them.
    warmups
        How often to run both passes before the capture.
    allow_unused_input
        Whether an input may get no gradient.
    """

    def __init__(
        self,
        func: Callable[..., Any],
        parameters: Sequence[torch.Tensor],
        sample: Sequence[torch.Tensor],
        *,
        warmups: int = 0,
        allow_unused_input: bool = False,
        asynchronous: bool = False,
        dry_run: bool = False,
    ) -> None:
        self._inputs = [*sample, *parameters]
        self._count = len(sample)
        self._asynchronous = asynchronous
        self._outputs: Flat = []
        self._structure: Any = None
        self._input_grads: Flat = []
        self._trained = [x for x in self._inputs if x.requires_grad]
        with streams.stream(streams.Stream()):
            for _ in range(warmups):
                self._backward(pytree.tree_leaves(func(*sample)), None, allow_unused_input)
            self._forward_graph = _capture_work(lambda: self._run(func, sample), dry_run)
            self._grads = [torch.zeros_like(out) if _differentiable(out) else None for out in self._outputs]
            if dry_run:
                self._forward_graph.replay()
            self._backward_graph: HPUGraph | None = None
            if self._trained and any(grad is not None for grad in self._grads):
                self._backward_graph = _capture_work(
                    lambda: self._capture_backward(allow_unused_input), dry_run
                )
        # The graph holds what backward needs; autograd's own record of the capture can go.
        self._outputs = [out.detach() if isinstance(out, torch.Tensor) else out for out in self._outputs]

    def _run(self, func: Callable[..., Any], sample: Sequence[torch.Tensor]) -> None:
        self._outputs, self._structure = pytree.tree_flatten(func(*sample))

    def _capture_backward(self, allow_unused_input: bool) -> None:
        found = iter(self._backward(self._outputs, self._grads, allow_unused_input))
        self._input_grads = [next(found) if x.requires_grad else None for x in self._inputs]

    def _backward(
        self, outputs: Flat, grads: Sequence[torch.Tensor | None] | None, allow_unused_input: bool
    ) -> Sequence[torch.Tensor | None]:
        grads = (
            [torch.zeros_like(x) if _differentiable(x) else None for x in outputs] if grads is None else grads
        )
        pairs = [(out, grad) for out, grad in zip(outputs, grads, strict=True) if grad is not None]
        if not pairs or not self._trained:
            return []
        return torch.autograd.grad(
            [out for out, _ in pairs],
            self._trained,
            [grad for _, grad in pairs],
            only_inputs=True,
            allow_unused=allow_unused_input,
        )

    def __call__(self, *args: torch.Tensor) -> Any:
        """Replay on `args`, tensors of the captured shapes."""
        outputs = _Replay.apply(self, *args, *self._inputs[self._count :])
        return pytree.tree_unflatten(list(outputs), self._structure)

    def replay_forward(self, inputs: Sequence[torch.Tensor]) -> tuple[Any, ...]:
        """Copy `inputs` into the static ones, run forward, and return the static outputs."""
        for static, given in zip(self._inputs[: self._count], inputs, strict=False):
            if static is not given:
                static.data.copy_(given)
        self._forward_graph.replay(self._asynchronous)
        return tuple([out.detach() if isinstance(out, torch.Tensor) else out for out in self._outputs])

    def replay_backward(self, grads: Sequence[torch.Tensor | None]) -> tuple[torch.Tensor | None, ...]:
        """Copy the gradients of the outputs in, run backward, and return the gradients of the inputs."""
        assert self._backward_graph is not None
        for static, given in zip(self._grads, grads, strict=True):
            if static is not None and given is not None:
                static.copy_(given)
        self._backward_graph.replay(self._asynchronous)
        # Copies: autograd keeps the first gradient of a parameter as it is, and the next replay would write into that.
        return tuple([None if grad is None else grad.clone() for grad in self._input_grads])


class _Replay(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, graphed: GraphedCallable, *inputs: torch.Tensor) -> Any:
        ctx.graphed = graphed
        ctx.save_for_backward(*[x for x in inputs if x.requires_grad])
        return graphed.replay_forward(inputs)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> Any:
        gradients = ctx.graphed.replay_backward(grads)
        if torch.is_grad_enabled():
            gradients = first_gradients.end_at(gradients, (*ctx.saved_tensors, *grads), _NO_SECOND)
        return None, *gradients


_NO_SECOND = (
    "An HPU graph for training does not support double backward: it holds a forward and its gradients, and these have "
    "none. Run the model itself, without make_graphed_callables or ModuleCacher."
)


def _capture_work(work: Callable[[], None], dry_run: bool) -> HPUGraph:
    hpu_graph = HPUGraph()
    hpu_graph.capture_begin(dry_run)
    work()
    hpu_graph.capture_end()
    return hpu_graph


def _differentiable(x: Any) -> bool:
    return isinstance(x, torch.Tensor) and x.requires_grad


def make_graphed_callables(
    callables: Any,
    sample_args: Any,
    warmups: int = 0,
    allow_unused_input: bool = False,
    asynchronous: bool = False,
    disable_tensor_cache: bool = False,
    dry_run: bool = False,
) -> Any:
    """Return `callables` with forward and backward captured for arguments shaped like `sample_args`.

    Parameters
    ----------
    callables
        A module or function, or a tuple of them. Modules are changed in place: while their training flag is as
        it was, they replay.
    sample_args
        A tuple of tensors for each.
    warmups
        How often to run each before its capture.

    Raises
    ------
    AssertionError
        A module has hooks or trainable buffers, or an argument is no tensor.
    """
    single = not isinstance(callables, tuple)
    if single:
        callables, sample_args = (callables,), (sample_args,)
    made = []
    for func, args in zip(callables, sample_args, strict=True):
        _check(func, args)
        parameters = list(func.parameters()) if isinstance(func, torch.nn.Module) else []
        target = func.forward if isinstance(func, torch.nn.Module) else func
        graphed = GraphedCallable(
            target, parameters, args, warmups=warmups, allow_unused_input=allow_unused_input,
            asynchronous=asynchronous, dry_run=dry_run or disable_tensor_cache,
        )  # fmt: skip
        made.append(_in_module(func, graphed) if isinstance(func, torch.nn.Module) else graphed)
    return made[0] if single else tuple(made)


def _check(func: Any, args: Any) -> None:
    if isinstance(func, torch.nn.Module):
        hooks = (func._backward_hooks, func._forward_hooks, func._forward_pre_hooks)
        assert not any(hooks), (
            "Modules must not have hooks registered at the time they are passed. However, registering hooks "
            "on modules after passing them through make_graphed_callables is allowed."
        )
        assert all(buffer.requires_grad is False for buffer in func.buffers()), (
            "In any :class:`~torch.nn.Module` passed to :func:`~make_graphed_callables`, only parameters may be "
            "trainable. All buffers must have ``requires_grad=False``."
        )
    assert all(isinstance(arg, torch.Tensor) for arg in args), (
        "In the beta API, sample_args for each callable must be a tuple of Tensors. Other types and "
        "keywordargs are not allowed."
    )


def _in_module(module: torch.nn.Module, graphed: GraphedCallable) -> torch.nn.Module:
    original, training = module.forward, module.training

    @functools.wraps(original)
    def forward(*args: Any) -> Any:
        return graphed(*args) if module.training == training else original(*args)

    module.forward = forward
    return module
