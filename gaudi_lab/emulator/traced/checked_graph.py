"""A compiled graph on trial: it has to agree with the same graph run step by step before it is believed.

The first call runs the graph both ways, and the first backward pass computes the gradients both ways, from the
gradients that autograd hands in. `gaudi_lab.emulator.lazy.agreement` says what counts as agreeing. If they do not, the
step-by-step run counts, for this call and for every later one. So a trial costs one step-by-step run, forward and
backward, and the memory of it. A call between the two keeps what it takes to run it step by step after all.

Both runs start alike:

- **Random operators** draw from the same state of the host's generator. The graph is compiled to call PyTorch's own
  random operators, which give a compiled dropout the mask of the step-by-step one.
- **Writes into inputs**, such as running statistics or a cache: the step-by-step run comes first and keeps a copy of
  whatever it is about to write into. That is put back for the compiled run, and what both have written is compared.

What an operator does besides, such as printing or sending, happens twice in the first call. Gradients stay unchecked
in a call whose inputs someone has written into since; the next backward pass is checked instead.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import fx
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from gaudi_lab.emulator.device import wider
from gaudi_lab.emulator.device.schema import updated_statistics, written
from gaudi_lab.emulator.lazy import agreement
from gaudi_lab.emulator.traced.by_node import TracedRun


class CheckedGraph:
    """A traced graph of host tensors, run as compiled while that is believed, and else as traced.

    Parameters
    ----------
    name
        What the counters call it.
    traced
        The graph; calling it runs it step by step.
    compiled
        A function that does the same; None if there is none.
    compiler
        Who made that, for people.

    Attributes
    ----------
    runs
        How often it was called.
    """

    def __init__(
        self,
        name: str,
        traced: fx.GraphModule,
        compiled: Callable[..., Any] | None = None,
        compiler: str = "",
    ) -> None:
        self.runs = 0
        self._name = name
        self._traced = traced
        self._by_steps = TracedRun(traced)
        self._compiled = compiled
        self._compiler = compiler
        self._outputs_due = self._gradients_due = compiled is not None
        self._dtypes: set[torch.dtype] = set()
        self._written: set[int] = set()

    @property
    def hits(self) -> int:
        """How often it was called besides the first time."""
        return max(self.runs - 1, 0)

    def __call__(self, *inputs: Any) -> Sequence[Any]:
        """Run the graph."""
        if self._outputs_due:
            return self._try(inputs)[0]
        return (self._compiled or self._by_steps)(*inputs)

    def differentiate(self, inputs: Sequence[Any], owners: Sequence[Any]) -> CheckedCall:
        """Run the graph so that `CheckedCall.gradients` can be asked for.

        Parameters
        ----------
        inputs
            Leaves of the host's autograd graph.
        owners
            Whose values these are: the device's tensors, which know when they are written into.
        """
        if not self._gradients_due:
            return CheckedCall(inputs, self(*inputs))
        seed = torch.default_generator.get_state()
        if self._outputs_due:
            outputs, copies = self._try(inputs)
        else:
            copies = {position: inputs[position].detach().clone() for position in self._written}
            outputs = self(*inputs)
        # Anybody may write into the rest.
        shared = [x for position, x in enumerate(owners) if position not in copies]
        inputs_then = [copies.get(position, x) for position, x in enumerate(inputs)]
        start = _Start(self, inputs_then, shared, seed) if self._gradients_due else None
        return CheckedCall(inputs, outputs, start)

    def choose_gradients(
        self, compiled: Sequence[Any], by_steps: Callable[[], Sequence[Any] | None]
    ) -> Sequence[Any]:
        """Return the gradients that count, of a call whose gradients were due when it ran.

        Parameters
        ----------
        compiled
            What the compiled graph computed.
        by_steps
            Computes them step by step; None if that is no longer possible.
        """
        if self._compiled is not None and not self._gradients_due:
            return compiled
        expected = by_steps()
        if expected is None:
            if self._compiled is None:
                raise RuntimeError(
                    f"{self._name} was compiled wrongly, and the gradients of this call cannot be computed step by "
                    "step: its inputs were written into since. Call it again."
                )
            return compiled
        if self._compiled is None or not self._believe(compiled, expected, "gradient"):
            return expected
        self._gradients_due = False
        return compiled

    def run_by_steps(self, inputs: Sequence[Any], seed: torch.Tensor) -> Sequence[Any]:
        """Run the graph step by step, with random numbers from the generator's state `seed`, which is left alone."""
        now = torch.default_generator.get_state()
        torch.default_generator.set_state(seed)
        try:
            return self._by_steps(*inputs)
        finally:
            torch.default_generator.set_state(now)

    def _try(self, inputs: Sequence[Any]) -> tuple[Sequence[Any], dict[int, torch.Tensor]]:
        """Run both ways; return the outputs that count, and what the inputs held that are written into."""
        assert self._compiled is not None
        seed = torch.default_generator.get_state()
        state = [*inputs, *self._traced.parameters(), *self._traced.buffers()]
        seen = _Observed(state)
        with torch.no_grad(), seen:
            expected = self._by_steps(*inputs)
        seen.rewind()
        torch.default_generator.set_state(seed)
        outputs = self._compiled(*inputs)
        self._dtypes = seen.dtypes
        self._written = {position for position, x in enumerate(inputs) if seen.has_written(x)}
        self._outputs_due = False
        pairs = [(x, seen.after(y)) for x, y in zip(outputs, expected, strict=True)]
        pairs += [(x, seen.after(x)) for x in state if seen.has_written(x)]
        copies = {position: seen.before(inputs[position]) for position in self._written}
        if not self._believe([x for x, _ in pairs], [y for _, y in pairs], "result"):
            seen.restore()
            torch.default_generator.set_state(seed)
            outputs = self._by_steps(*inputs)
        return outputs, copies

    def _believe(self, found: Sequence[Any], expected: Sequence[Any], what: str) -> bool:
        difference = agreement.difference_of(found, expected, computed_in=self._dtypes, what=what)
        if agreement.believe(self._name, self._compiler, difference):
            return True
        self._compiled = None
        self._gradients_due = False
        return False


class CheckedCall:
    """One run of a graph whose gradients can be asked for, as often as the graph is kept.

    Attributes
    ----------
    outputs
        What the graph returned, in the host's autograd graph.
    """

    def __init__(self, inputs: Sequence[Any], outputs: Sequence[Any], start: _Start | None = None) -> None:
        self.outputs = outputs
        self._inputs = inputs
        self._start = start
        self._freed = False

    def gradients(self, received: Sequence[Any], *, keep: bool = False) -> list[Any]:
        """Return the gradient of every input, None where there is none, given those of the outputs.

        Parameters
        ----------
        keep
            Whether they can be asked for again, as PyTorch's `retain_graph` says.

        Raises
        ------
        RuntimeError
            They were asked for before, without `keep`.
        """
        if self._freed:
            raise RuntimeError(_FREED)
        found = _gradients(self.outputs, self._inputs, received, keep=keep)
        start = self._start
        if not keep:
            self._start, self.outputs, self._freed = None, (), True
        if start is None:
            return found
        return list(start.graph.choose_gradients(found, lambda: start.gradients(received)))


# As PyTorch says it.
_FREED = (
    "Trying to backward through the graph a second time, and what it had kept for that was freed. "
    "Specify retain_graph=True if you need to backward through the graph a second time."
)


class _Start:
    """Where a call began, to run it again step by step."""

    def __init__(self, graph: CheckedGraph, inputs: list[Any], shared: list[Any], seed: torch.Tensor) -> None:
        self.graph = graph
        self._seed = seed
        self._inputs = inputs
        self._shared = shared
        self._versions = self._count_writes()

    def gradients(self, received: Sequence[Any]) -> list[Any] | None:
        """Return the gradients of a step-by-step run; None if its inputs are no longer what they were."""
        if self._count_writes() != self._versions:
            return None
        with torch.enable_grad():
            leaves = [
                x.detach().requires_grad_(x.requires_grad) if isinstance(x, torch.Tensor) else x
                for x in self._inputs
            ]
            outputs = self.graph.run_by_steps(leaves, self._seed)
        return _gradients(outputs, leaves, received)

    def _count_writes(self) -> list[int]:
        return [x._version for x in self._shared if isinstance(x, torch.Tensor) and not x.is_inference()]


# Not every host kernel of a gradient knows these.
_NARROW = (torch.float16, torch.float8_e5m2, torch.float8_e4m3fn)


def _gradients(
    outputs: Sequence[Any], inputs: Sequence[Any], received: Sequence[Any], *, keep: bool = False
) -> list[Any]:
    pairs = [
        (out, grad)
        for out, grad in zip(outputs, received, strict=True)
        if isinstance(out, torch.Tensor) and out.requires_grad and grad is not None
    ]
    wanted = [x for x in inputs if isinstance(x, torch.Tensor) and x.requires_grad]
    if not pairs or not wanted:
        return [None] * len(inputs)
    narrow = any(x.dtype in _NARROW for x in (*[out for out, _ in pairs], *wanted))
    with wider.everywhere() if narrow else contextlib.nullcontext():
        found = iter(
            torch.autograd.grad(
                [out for out, _ in pairs],
                wanted,
                [grad for _, grad in pairs],
                retain_graph=keep,
                allow_unused=True,
            )
        )
    return [next(found) if isinstance(x, torch.Tensor) and x.requires_grad else None for x in inputs]


class _Observed(TorchDispatchMode):
    """Observes a run: in which dtypes it computes, and what it writes into of the tensors that were there before.

    Parameters
    ----------
    state
        These tensors, among other things.
    """

    supports_higher_order_operators = True

    def __init__(self, state: Sequence[Any]) -> None:
        super().__init__()
        self.dtypes: set[torch.dtype] = set()
        self._watched = {_memory(x): x.untyped_storage() for x in state if _memory(x) is not None}
        self._before: dict[int | None, torch.UntypedStorage] = {}
        self._after: dict[int | None, torch.UntypedStorage] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if isinstance(func, torch._ops.OpOverload):
            touched = [*written(func, args, kwargs), *updated_statistics(func, args, kwargs)]
            for memory in map(_memory, pytree.tree_leaves(touched)):
                if memory in self._watched and memory not in self._before:
                    self._before[memory] = self._watched[memory].clone()
        out = func(*args, **kwargs)
        self.dtypes.update([x.dtype for x in pytree.tree_leaves(out) if isinstance(x, torch.Tensor)])
        return out

    def rewind(self) -> None:
        """Put back what the tensors held before, and keep what the run has written."""
        self._after = {memory: self._watched[memory].clone() for memory in self._before}
        self.restore()

    def restore(self) -> None:
        """Put back what the tensors held before."""
        for memory, held in self._before.items():
            self._watched[memory].copy_(held)

    def has_written(self, x: Any) -> bool:
        """Return True if the run has written into the memory of `x`."""
        return _memory(x) in self._before

    def before(self, x: Any) -> Any:
        """Return `x` as it was before the run."""
        return _over(self._before.get(_memory(x)), x)

    def after(self, x: Any) -> Any:
        """Return `x` as the run left it."""
        return _over(self._after.get(_memory(x)), x)


def _memory(x: Any) -> int | None:
    """Return what is the same for tensors that share memory; None for what has none of its own."""
    if not isinstance(x, torch.Tensor) or x.layout is not torch.strided:
        return None
    return x.untyped_storage()._cdata


def _over(storage: torch.UntypedStorage | None, x: Any) -> Any:
    if storage is None:
        return x
    return torch.empty(0, dtype=x.dtype).set_(storage, x.storage_offset(), x.shape, x.stride())
