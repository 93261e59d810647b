"""Rotary position embedding by the bridge's `apply_rotary_pos_emb`.

A candidate is a function that a module's forward calls by its name with four tensors and that returns two. Whether it
rotates query and key by cosines and sines, which features make a pair, and where the tables lack the dimension of the
heads, is found by computing: on the calls that the model makes, and on random ones of three shapes and two dtypes.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import nn

from gaudi_lab import bridge
from gaudi_lab.instruments.fused_operators.class_layers import Forward, StandIns, class_before, forward_of
from gaudi_lab.instruments.fused_operators.place import (
    NOT_CALLED,
    NOT_REACHED,
    REPLACED,
    KernelOperator,
    Run,
    StandInPlace,
    general_refusal,
    is_replaced,
)
from gaudi_lab.instruments.fused_operators.renamed_call import call_instead, functions_called
from gaudi_lab.instruments.fused_operators.rounding import DTYPES, gradients_agree, is_within
from gaudi_lab.instruments.handle import all_or_none

HALVES, NEIGHBOURS = "BLOCKWISE", "PAIRWISE"
"""What makes a pair, by the names of the bridge's modes."""

# (batch, heads of the query, heads of the key, length, size of a head)
_SHAPES = ((1, 2, 2, 1, 4), (2, 4, 2, 3, 8), (3, 1, 1, 5, 6))
_KEPT = 2
"""So many different calls of each module are looked at."""

Rotate = Callable[..., Any]


@dataclass(frozen=True)
class RotaryLayer:
    """Rotates by the kernel where a call suits it.

    Attributes
    ----------
    function
        The name of the function that the forward calls.
    heads_at
        Which dimension query and key have, and the tables do not.
    pairs
        `HALVES` or `NEIGHBOURS`.
    gradients
        Whether its gradients were established too.
    """

    function: str
    heads_at: int
    pairs: str
    gradients: bool = False
    operator: str = "rotary"

    def around(self, forward: Forward, stand_ins: StandIns) -> Forward:
        """Return a forward that rotates by the kernel, and by its own function what the kernel does not suit."""
        rotate = functions_called(forward)[self.function]
        kernel, modes = bridge.fused_rotary()
        mode, note = modes[self.pairs], stand_ins.note_for(self.operator)
        refusal, heads_at = self.refusal, self.heads_at

        def fused_rotate(*args: Any, **kwargs: Any) -> Any:
            reason = refusal(args, kwargs)
            if reason:
                note(reason)
                return rotate(*args, **kwargs)
            query, key, cos, sin = args
            cos, sin = cos.unsqueeze(heads_at), sin.unsqueeze(heads_at)
            return kernel(query, cos, sin, None, 0, mode), kernel(key, cos, sin, None, 0, mode)

        return call_instead(forward, self.function, fused_rotate, stand_ins)

    def refusal(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        """Return why the kernel does not suit a call; empty if it does."""
        if len(args) != 4 or kwargs:
            return "it is called with other arguments than query, key, cosines and sines"
        query, key, cos, sin = args
        if query.device.type != "hpu" or cos.device.type != "hpu":
            return "the data are not on hpu"
        if query.dtype not in DTYPES or not query.dtype == key.dtype == cos.dtype == sin.dtype:
            return "it is for data and tables of one dtype, float32 or bfloat16"
        if query.dim() != 4 or key.dim() != 4 or cos.dim() != 3 or cos.shape != sin.shape:
            return "it is for query and key of four dimensions, and tables of three"
        if query.shape[-1] != cos.shape[-1] or key.shape[-1] != cos.shape[-1] or query.numel() == 0:
            return "the data are empty, or have features that do not turn"
        length = 3 - self.heads_at
        if cos.shape[0] not in (1, query.shape[0]) or cos.shape[1] != query.shape[length]:
            return "the tables are of another batch or length than the query"
        if key.shape[0] != query.shape[0] or key.shape[length] != query.shape[length]:
            return "the key is of another batch or length than the query"
        if reason := general_refusal((query, key), self.gradients):
            return reason
        if torch.is_grad_enabled() and (cos.requires_grad or sin.requires_grad):
            return "gradients of the tables are wanted, and the kernel has none"
        return ""

    def compute(self, query: torch.Tensor, key: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> Any:
        """Return query and key turned by the kernel."""
        kernel, modes = bridge.fused_rotary()
        cos, sin = cos.unsqueeze(self.heads_at), sin.unsqueeze(self.heads_at)
        return tuple(kernel(x, cos, sin, None, 0, modes[self.pairs]) for x in (query, key))


class RotaryCall(NamedTuple):
    """What a function that may be the one was called with."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]


@dataclass(frozen=True, eq=False)
class _RecordingLayer:
    """Takes note of the calls of one function, and leaves them as they are."""

    function: str
    calls: list[RotaryCall]
    operator: str = "rotary"

    def around(self, forward: Forward, stand_ins: StandIns) -> Forward:
        rotate = functions_called(forward)[self.function]

        def noting(*args: Any, **kwargs: Any) -> Any:
            if len(self.calls) < _KEPT:
                self.calls.append(RotaryCall(tuple(_detached(x) for x in args), kwargs))
            return rotate(*args, **kwargs)

        return call_instead(forward, self.function, noting, stand_ins)


def _find(model: nn.Module, run: Run | None) -> list[StandInPlace]:
    """Return the modules whose forward calls such a function, those with a layer where it was established."""
    found: list[StandInPlace] = []
    candidates = {
        path: (module, list(_candidates(module)))
        for path, module in model.named_modules()
        if next(_candidates(module), None)
    }
    replaced = {path for path, (module, _) in candidates.items() if is_replaced(module)}
    watched = {path: x for path, x in candidates.items() if path not in replaced}
    calls = _calls_of(watched, run) if run is not None else {}
    known: dict[Any, RotaryLayer | None] = {}
    for path, (module, names) in candidates.items():
        kind = class_before(module).__name__
        looks = [name for name in names if _looks_rotary(functions_called(forward_of(module))[name])]
        if run is None or path in replaced:
            if looks:
                found.append(StandInPlace(path, kind, reason=NOT_CALLED if run is None else REPLACED))
            continue
        for name in names:
            made = calls.get((path, name), [])
            if not made:
                if name in looks:
                    found.append(StandInPlace(path, kind, reason=NOT_REACHED))
                continue
            place = _place(path, module, name, made, known)
            if place is not None:
                found.append(place)
                break
    return found


def _detached(value: Any) -> Any:
    return value.detach() if isinstance(value, torch.Tensor) else value


def _candidates(module: nn.Module) -> Iterator[str]:
    """Yield the names of functions that a module's forward calls and that could take four tensors."""
    kind = class_before(module)
    if kind.__module__.partition(".")[0] == "torch":
        return
    for name, function in functions_called(forward_of(module)).items():
        if function.__code__.co_argcount >= 4:
            yield name


def _looks_rotary(function: Any) -> bool:
    """Whether a function has tables of cosines and sines for arguments. Only told of those that were not called."""
    names = function.__code__.co_varnames[: function.__code__.co_argcount]
    return {"cos", "sin"} <= set(names)


def _calls_of(
    candidates: dict[str, tuple[nn.Module, list[str]]], run: Run
) -> dict[tuple[str, str], list[RotaryCall]]:
    stand_ins = StandIns()
    calls: dict[tuple[str, str], list[RotaryCall]] = {
        (path, name): [] for path, (_, names) in candidates.items() for name in names
    }
    edits = [
        lambda path=path, name=name: stand_ins.put(
            candidates[path][0], _RecordingLayer(name, calls[path, name])
        )
        for path, name in calls
    ]
    with all_or_none(edits):
        run()
    return calls


def _place(
    path: str, module: nn.Module, name: str, calls: list[RotaryCall], known: dict[Any, RotaryLayer | None]
) -> StandInPlace | None:
    """Return a place; None where it was established that the function is something else."""
    function = functions_called(forward_of(module))[name]
    kind = class_before(module).__name__
    if not all(_takes_four_tensors(call) for call in calls):
        return StandInPlace(path, kind, reason=_OTHER_ARGUMENTS) if _looks_rotary(function) else None
    if function not in known:
        known[function] = _recognise(name, function)
    layer = known[function]
    if layer is None:
        return StandInPlace(path, kind, reason=_ANOTHER_FORMULA) if _looks_rotary(function) else None
    for args, kwargs in calls:
        if reason := layer.refusal(args, kwargs):
            return StandInPlace(path, kind, reason=f"not established: {reason}")
        if not _agrees(function, layer, args):
            return StandInPlace(
                path, kind, reason="not established: on the model's own inputs the kernel differs"
            )
    return StandInPlace(path, kind, layer)


_OTHER_ARGUMENTS = "it is called with other arguments than query, key, cosines and sines"
_ANOTHER_FORMULA = "not established: it computes something else than the kernel"


def _takes_four_tensors(call: RotaryCall) -> bool:
    return len(call.args) == 4 and not call.kwargs and all(isinstance(x, torch.Tensor) for x in call.args)


def _recognise(name: str, function: Rotate) -> RotaryLayer | None:
    """Return the layer that gives what the function gives on random data; None if none does."""
    for heads_at, pairs in itertools.product((1, 2), (HALVES, NEIGHBOURS)):
        layer = RotaryLayer(name, heads_at, pairs)
        if all(_agrees(function, layer, args) for args in _random_calls(heads_at, DTYPES)):
            floats = _random_calls(heads_at, (torch.float32,))
            gradients = all(_gradients_agree(function, layer, args) for args in floats)
            return RotaryLayer(name, heads_at, pairs, gradients)
    return None


def _random_calls(heads_at: int, dtypes: tuple[torch.dtype, ...]) -> Iterator[tuple[torch.Tensor, ...]]:
    generator = torch.Generator().manual_seed(3)
    for dtype in dtypes:
        for batch, queries, keys, length, size in _SHAPES:
            shapes: list[tuple[int, ...]] = [
                (batch, heads, length, size) if heads_at == 1 else (batch, length, heads, size)
                for heads in (queries, keys)
            ]
            # No angles: a formula that is right only for tables of two equal halves is another one.
            shapes += [(batch, length, size)] * 2
            yield tuple(torch.randn(shape, generator=generator).to("hpu", dtype) for shape in shapes)


@torch.no_grad()
def _agrees(function: Rotate, layer: RotaryLayer, args: tuple[Any, ...]) -> bool:
    """Whether function and kernel both give the exact result within rounding."""
    if layer.refusal(args, {}):
        return False
    exact = _exact(layer, *(x.cpu().double() for x in args))
    try:
        found = function(*args)
    except Exception:  # it takes something else, and is something else
        return False
    if not isinstance(found, tuple) or len(found) != 2 or not all(isinstance(x, torch.Tensor) for x in found):
        return False
    return all(
        x.dtype == args[0].dtype and is_within(x, value, magnitude)
        for results in (found, layer.compute(*args))
        for x, (value, magnitude) in zip(results, exact, strict=True)
    )


def _exact(layer: RotaryLayer, query: Any, key: Any, cos: Any, sin: Any) -> list[tuple[Any, Any]]:
    """Return query and key turned, each with the size of the terms that were added."""
    cos, sin = cos.unsqueeze(layer.heads_at), sin.unsqueeze(layer.heads_at)
    terms = [(x * cos, _turned(x, layer.pairs) * sin) for x in (query, key)]
    return [(a + b, a.abs() + b.abs()) for a, b in terms]


def _turned(x: torch.Tensor, pairs: str) -> torch.Tensor:
    """Turn each pair by a right angle: (a, b) becomes (-b, a)."""
    if pairs == NEIGHBOURS:
        return torch.stack((-x[..., 1::2], x[..., 0::2]), -1).flatten(-2)
    first, second = x.chunk(2, -1)
    return torch.cat((-second, first), -1)


def _gradients_agree(function: Rotate, layer: RotaryLayer, args: tuple[Any, ...]) -> bool:
    query, key, *tables = args
    inputs = (query.detach().requires_grad_(), key.detach().requires_grad_())
    return gradients_agree(lambda *x: layer.compute(*x, *tables), lambda *x: function(*x, *tables), inputs)


ROTARY = KernelOperator(
    name="rotary",
    label="rotary embedding",
    meaning="Query and key turned by their positions, each in one kernel",
    shows_in_a_run=True,
    kernel=lambda: bridge.fused_rotary(),
    find=_find,
)
