"""Straight replay: the recorded operators, one after the other, on host tensors."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator, Sequence
from types import CodeType
from typing import Any, NamedTuple

import torch

from gaudi_lab.emulator.device import wider
from gaudi_lab.emulator.device.host_kernels import host_kernel
from gaudi_lab.emulator.device.schema import is_view, written
from gaudi_lab.emulator.lazy.program import Meta, Slot, Step
from gaudi_lab.emulator.lazy.shape_inference import infer


def interpret(steps: list[Step], wanted: tuple[int, ...], inputs: Sequence[Any]) -> list[torch.Tensor]:
    """Run `steps` one by one and return the `wanted` slots.

    Each result is checked against what recording promised. A host kernel may lay a result out in other
    strides than the fake one said; the step is then marked as loose and its result copied to the promised
    layout, now and ever after, because the strides of later views were derived from the promise.
    """
    values: dict[int, Any] = {}
    entering = iter(inputs)
    last = last_uses(steps, wanted)

    for position, step in enumerate(steps):
        if step.func is None:
            values[step.first] = next(entering)
            continue
        args = [_resolve(x, values) for x in step.args]
        kwargs = {name: _resolve(x, values) for name, x in step.kwargs.items()}
        before = None if step.checked else [x.shape for x in _written_tensors(step.func, args, kwargs)]
        out = _run(step, args, kwargs)
        if before is not None:
            if before != [x.shape for x in _written_tensors(step.func, args, kwargs)]:
                raise RuntimeError(f"{step.func} gave its output another size: {_REPORT}")
            step.loose = not _agrees(out, step.result, step.func)
            step.checked = True
        if step.loose:
            out = conform(out, step.result)
        values.update(zip(slots_of(step), _tensors(out, step.result), strict=True))
        for slot in last.get(position, ()):
            del values[slot]
    return [values[slot] for slot in wanted]


FILE = "<hpu graph>"
"""What Python knows a program's source as."""


class Source(NamedTuple):
    """A program as Python.

    Attributes
    ----------
    text
        Its source, the definition of a function ``graph`` of the program's inputs: a line for each operator.
    scope
        What the source names: operators and constants.
    """

    text: str
    scope: dict[str, Any]

    def compile(self) -> CodeType:
        """Compile the source: once for all programs that differ in sizes and constants only."""
        return _compile(self.text)

    def bind(self, code: CodeType) -> Callable[..., Sequence[torch.Tensor]]:
        """Return the function, given its compiled source."""
        exec(code, self.scope)
        return self.scope["graph"]


@functools.lru_cache(maxsize=64)
def _compile(text: str) -> CodeType:
    return compile(text, FILE, "exec")


def source_of(steps: list[Step], wanted: tuple[int, ...]) -> Source:
    """Return the program as Python."""
    scope: dict[str, Any] = {"conform": conform}
    names: dict[Any, str] = {}
    lines = []
    inputs = []
    last = last_uses(steps, wanted)

    for position, step in enumerate(steps):
        if step.func is None:
            inputs.append(f"v{step.first}")
            continue
        called = (id(step.func), step.wider)  # by its number: PyTorch hashes an operator in Python
        if called not in names:
            names[called] = _name("f", _callable(step), scope)
        arguments = ", ".join(
            [_text(x, scope) for x in step.args]
            + [f"{name}={_text(x, scope)}" for name, x in step.kwargs.items()]
        )
        call = f"{names[called]}({arguments})"
        if step.loose:
            call = f"conform({call}, {_name('r', step.result, scope)})"
        target = _target(step.result, iter(slots_of(step)))
        line = f"{target} = {call}" if target else call
        dead = last.get(position)
        lines.append(f"{line}; del {', '.join([f'v{slot}' for slot in dead])}" if dead else line)
    lines.append("return [" + ", ".join([f"v{slot}" for slot in wanted]) + "]")
    return Source(f"def graph({', '.join(inputs)}):\n  " + "\n  ".join(lines) + "\n", scope)


def slots_of(step: Step) -> range:
    """Return the slots that `step` fills, in order."""
    return range(step.first, step.first + len(step.metas()))


def last_uses(steps: list[Step], wanted: tuple[int, ...]) -> dict[int, list[int]]:
    """Return, by position, the slots that nobody needs after that step: their memory can go there."""
    last: dict[int, int] = {}

    for position, step in enumerate(steps):
        if step.func is None:
            continue
        for slot in slots_of(step):
            last[slot] = position
        for slot in slots_in([*step.args, *step.kwargs.values()]):
            last[slot] = position
    dead: dict[int, list[int]] = {}
    for slot, position in last.items():
        if slot not in wanted:
            dead.setdefault(position, []).append(slot)
    return dead


def conform(out: Any, result: Any) -> Any:
    """Return `out` laid out in the strides of `result`; what agrees already is returned as it is."""
    if isinstance(result, Meta):
        if _same_layout(out, result) and out.dtype is result.dtype:
            return out
        if out.dtype is result.dtype and _same_places(out, result):
            return out.as_strided(result.size, result.stride)
        if result.offset:
            extent = (
                1
                + result.offset
                + sum((n - 1) * step for n, step in zip(result.size, result.stride, strict=True))
            )
            laid = torch.empty(extent, dtype=out.dtype).as_strided(result.size, result.stride, result.offset)
        else:
            laid = torch.empty_strided(result.size, result.stride, dtype=out.dtype)
        return laid.copy_(out)
    if isinstance(result, (list, tuple)) and result.__class__ in (list, tuple):
        return [conform(x, meta) for x, meta in zip(out, result, strict=True)]
    return out


# These recurse, and so are not closures: a closure that names itself is a reference cycle, and would keep every
# tensor that it has seen alive until the next garbage collection.


def _resolve(x: Any, values: dict[int, Any]) -> Any:
    if x.__class__ is Slot:
        return values[x.number]
    return [_resolve(y, values) for y in x] if x.__class__ is list else x


def _text(x: Any, scope: dict[str, Any]) -> str:
    if x.__class__ is Slot:
        return f"v{x.number}"
    if x.__class__ is list and any(y.__class__ in (Slot, list) for y in x):
        return "[" + ", ".join([_text(y, scope) for y in x]) + "]"
    if x is None or x.__class__ is bool or (x.__class__ is int and x in _NUMBERS_OF_DIMS):
        return repr(x)
    # Sizes too: so one source serves inputs of all lengths.
    return _name("c", x, scope)


_NUMBERS_OF_DIMS = range(-5, 6)


def _name(prefix: str, x: Any, scope: dict[str, Any]) -> str:
    """Name a value that the source needs, as compiled code spells it: the same string for every program."""
    name = sys.intern(f"{prefix}{len(scope)}")
    scope[name] = x
    return name


def slots_in(x: Any) -> Iterator[int]:
    """Yield the slots in an argument, or in a list of them."""
    if x.__class__ is Slot:
        yield x.number
    elif x.__class__ is list:
        for y in x:
            yield from slots_in(y)


def _callable(step: Step) -> Callable[..., Any]:
    if step.wider:
        return wider.wrapped(step.func)
    return host_kernel(step.func)


def _run(step: Step, args: Any, kwargs: dict[str, Any]) -> Any:
    """Run one step, and note if the host's kernel does not know the dtype of its arguments."""
    try:
        return _callable(step)(*args, **kwargs)
    except RuntimeError as error:
        out = wider.rescue(error, step.func, args, kwargs)
        step.wider = True
        return out


def _agrees(out: Any, result: Any, func: Any) -> bool:
    if isinstance(result, Meta):
        if out.shape == result.size and out.dtype != result.dtype and out.numel() == 0:
            return False  # nothing in it: not every host kernel gives that the dtype of the full one
        if out.shape != result.size or out.dtype != result.dtype:
            infer.distrust(func)
            raise RuntimeError(
                f"{func} returned {tuple(out.shape)} {out.dtype} where {tuple(result.size)} {result.dtype} "
                f"was recorded: {_REPORT}"
            )
        if _same_layout(out, result):
            return True
        # A copy would no longer share memory with what it is a view of.
        if is_view(func) and not _same_places(out, result):
            raise RuntimeError(
                f"{func} returned strides {out.stride()} at {out.storage_offset()} where {result.stride} at "
                f"{result.offset} were recorded: {_REPORT}"
            )
        return False
    if result.__class__ is list or result.__class__ is tuple:
        return all(_agrees(x, meta, func) for x, meta in zip(out, result, strict=True))
    return True


_REPORT = "please report this, the emulated bridge recorded it wrongly"


def _same_layout(out: torch.Tensor, meta: Meta) -> bool:
    """Return True if `out` has the strides of `meta`, or no element that they could lead to."""
    return (out.storage_offset() == meta.offset and out.stride() == meta.stride) or out.numel() == 0


def _same_places(out: torch.Tensor, meta: Meta) -> bool:
    """Return True if every element lies where `meta` says, whatever the steps over a single element are.

    Those lead nowhere, but operators choose between memory formats by them.
    """
    return out.storage_offset() == meta.offset and all(
        n == 1 or a == b for n, a, b in zip(meta.size, out.stride(), meta.stride, strict=True)
    )


def _written_tensors(func: Any, args: Any, kwargs: dict[str, Any]) -> list[torch.Tensor]:
    found = written(func, args, kwargs)
    return [x for y in found for x in (y if isinstance(y, list) else [y]) if isinstance(x, torch.Tensor)]


def _tensors(out: Any, result: Any) -> Iterator[Any]:
    if result.__class__ is Meta:
        yield out
    elif result.__class__ is list or result.__class__ is tuple:
        for x, meta in zip(out, result, strict=True):
            yield from _tensors(x, meta)


def _target(result: Any, slots: Iterator[int]) -> str:
    if result.__class__ is Meta:
        return f"v{next(slots)}"
    if result.__class__ is list or result.__class__ is tuple:
        return "[" + ", ".join([_target(x, slots) or "_" for x in result]) + "]"
    return ""
