"""What the body of an operator has promised, looked at after every run: PyTorch and every graph rely on it.

It writes into no input but those that were declared, returns none of its inputs, and returns what the shape function
says. A graph that relies on a broken promise computes something wrong, later and elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from gaudi_lab.custom_ops import torch_internals
from gaudi_lab.errors import LabError

if TYPE_CHECKING:
    from gaudi_lab.custom_ops.dispatcher import RegisteredEntry

_MOST_KEPT = 256


class BrokenPromise(LabError):
    """The body did what an operator must not.

    Parameters
    ----------
    tick
        The check that finds this: "schema" or "shape function".
    why, python, magic
        As of every `LabError`.
    """

    def __init__(self, tick: str, why: str, *, python: str | None = None, magic: str | None = None) -> None:
        super().__init__(why, python=python, magic=magic)
        self.tick = tick


class Given(NamedTuple):
    """The arguments of one run, as they were before it.

    Attributes
    ----------
    arguments
        By name.
    versions
        How often each tensor had been written into; None where PyTorch does not count, as in inference mode.
    """

    arguments: dict[str, Any]
    versions: dict[str, list[int | None]]


def take_down(names: list[str], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Given:
    """Take down the arguments before a run."""
    arguments = {**dict(zip(names, args, strict=False)), **kwargs}
    return Given(
        arguments,
        {name: [torch_internals.writes_into(x) for x in tensors(value)] for name, value in arguments.items()},
    )


def require_kept(entry: RegisteredEntry, given: Given, out: Any) -> None:
    """Raise if the run broke a promise.

    Raises
    ------
    BrokenPromise
        With the operator, the promise, and the line of the function.
    """
    for name, versions in given.versions.items():
        if name not in entry.mutates and versions != [
            torch_internals.writes_into(x) for x in tensors(given.arguments[name])
        ]:
            raise BrokenPromise(
                "schema",
                f"The operator {entry.name} writes into its input {name}, which it did not declare "
                f"({line_of(entry, 'body')}). The input is changed already.",
                python=f'gaudi_lab.custom_op(body, mutates=("{name}",)), or write into {name}.clone()',
                magic=f"%%gaudi_op {entry.name} --mutates {name}, or write into {name}.clone()",
            )
    shared = _shared(given, out)
    if shared is not None:
        raise BrokenPromise(
            "schema",
            f"The operator {entry.name} returns its input {shared}, or a view of it ({line_of(entry, 'body')}): "
            "a result must have memory of its own.",
            python=f"return {shared}.clone()",
        )
    _require_told_shape(entry, given, out)


def _require_told_shape(entry: RegisteredEntry, given: Given, out: Any) -> None:
    shape = (entry.parts or {}).get("shape")
    if shape is None:
        return
    signature = tuple([(name, _signature(value)) for name, value in given.arguments.items()])
    if signature in entry.kept:
        return
    told = told_by(shape, given.arguments)
    if told is None:
        return  # it does not answer for these: whoever asks it next gets its own error
    is_so = [_described(x) for x in tensors(out)]
    if told != is_so:
        raise BrokenPromise(
            "shape function",
            f"The shape function of the operator {entry.name} says {', '.join(told) or 'nothing'}, and the body "
            f"returned {', '.join(is_so) or 'nothing'} ({line_of(entry, 'shape')}).",
            python="return torch.empty_like(x), or leave shape away: then the body itself is asked",
        )
    if len(entry.kept) < _MOST_KEPT:
        entry.kept.add(signature)


def told_by(shape: Callable[..., Any], arguments: dict[str, Any]) -> list[str] | None:
    """Return what a shape function says of the results, as text; None if it raises."""
    try:
        with torch.no_grad():
            told = shape(**{name: _without_values(value) for name, value in arguments.items()})
    except Exception:
        return None
    return [_described(x) for x in tensors(told)]


def tensors(value: Any) -> Iterator[torch.Tensor]:
    """Yield every tensor of an argument or of a result."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for x in value:
            yield from tensors(x)


def line_of(entry: RegisteredEntry, part: str) -> str:
    """Return where a part of an operator was written, in words."""
    code = getattr((entry.parts or {}).get(part), "__code__", None)
    if code is None:
        return f"its {part} is not Python"
    if code.co_filename.startswith("<gaudi_op"):
        return f"{code.co_name}, line {code.co_firstlineno} of the cell"
    return f"{code.co_name}, line {code.co_firstlineno} of {code.co_filename}"


def _shared(given: Given, out: Any) -> str | None:
    owners = {_place(x): name for name, value in given.arguments.items() for x in tensors(value) if x.numel()}
    for x in tensors(out):
        if x.numel() and (name := owners.get(_place(x))) is not None and _place(x) is not None:
            return name
    return None


def _place(x: torch.Tensor) -> Any:
    try:
        return x.device, x.untyped_storage().data_ptr() or id(x)
    except (RuntimeError, NotImplementedError):  # a device's tensor without storage
        return id(x)


def _signature(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return tuple(value.shape), value.stride(), value.dtype
    if isinstance(value, (list, tuple)):
        return tuple([_signature(x) for x in value])
    return type(value), repr(value)


def _without_values(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device="meta")
    if isinstance(value, (list, tuple)):
        return [_without_values(x) for x in value]
    return value


def _described(x: torch.Tensor) -> str:
    return f"{tuple(x.shape)} {str(x.dtype).removeprefix('torch.')}"
