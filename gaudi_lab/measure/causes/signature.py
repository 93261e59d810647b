"""What tells one call of a model from another, and in what two calls differ. Works on any bridge."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import torch
from torch import nn

from gaudi_lab.instruments import call_shapes
from gaudi_lab.measure.causes.cause import Difference

MOST_VALUES = 1000
"""So many values of one call are told apart; a longer list of arguments ends there."""


class TensorFacts(NamedTuple):
    """What a graph may depend on of one tensor: sizes, strides, dtype, kind of device, and gradients."""

    size: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: torch.dtype
    device: str
    requires_grad: bool

    def __str__(self) -> str:
        return text_of_size(self.size)


class Signature(NamedTuple):
    """One call.

    Attributes
    ----------
    values
        By argument name: `TensorFacts`, a scalar, or the class of anything else.
    modes
        What holds for the process meanwhile, such as gradients and autocast.
    """

    values: tuple[tuple[str, Any], ...]
    modes: tuple[tuple[str, Any], ...]


def read(module: nn.Module, values: Sequence[tuple[str, Any]]) -> Signature:
    """Return the signature of a call of `module`, given the values that `call_shapes.read_values` found."""
    found = {name: _facts(value) for name, value in values}
    # Each call has all that it did not give, so it is the same as one that gave it.
    defaults = call_shapes.read_defaults(module.forward)
    return Signature(tuple(({**defaults, **found} if defaults else found).items()), _modes(module))


def read_attributes(module: nn.Module) -> dict[str, Any]:
    """Return the plain attributes of a module and of those in it, by path: what Python may branch on."""
    return {
        f"{path}.{name}" if path else name: value
        for path, part in module.named_modules()
        for name, value in vars(part).items()
        if not name.startswith("_") and name != "training" and value.__class__ in _PLAIN
    }


_PLAIN = {bool, int, float, str, type(None)}


def compare_attributes(before: dict[str, Any], now: dict[str, Any]) -> tuple[Difference, ...]:
    """Return which attributes have another value."""
    return tuple(
        [
            Difference(name, "attribute", _text(before.get(name)), _text(value))
            for name, value in now.items()
            if name in before and (before[name] != value or before[name].__class__ is not value.__class__)
        ]
    )


def closest(earlier: Iterable[Signature], now: Signature) -> tuple[Difference, ...] | None:
    """Return in what `now` differs from the earlier call that is nearest to it; None if there is no earlier one.

    Of several at the same distance the last is taken.
    """
    found: tuple[Difference, ...] | None = None
    for signature in earlier:
        differences = compare(signature, now)
        if found is None or len(differences) <= len(found):
            found = differences
    return found


def compare(before: Signature, now: Signature) -> tuple[Difference, ...]:
    """Return all that is different in `now`."""
    if before == now:
        return ()
    modes = [
        Difference(what, "mode", _mode(old), _mode(new))
        for (what, old), (_, new) in zip(before.modes, now.modes, strict=True)
        if old != new
    ]
    return (*_of_values(dict(before.values), dict(now.values)), *modes)


def differ(what: str, before: TensorFacts, now: TensorFacts) -> list[Difference]:
    """Return in what two tensors differ; strides only where the sizes do not say it already."""
    found = []
    if before.size != now.size:
        found.append(Difference(what, "shape", text_of_size(before.size), text_of_size(now.size)))
    elif before.stride != now.stride:
        found.append(Difference(what, "strides", str(before.stride), str(now.stride)))
    if before.dtype != now.dtype:
        found.append(Difference(what, "dtype", name_of_dtype(before.dtype), name_of_dtype(now.dtype)))
    if before.device != now.device:
        found.append(Difference(what, "device", before.device, now.device))
    if before.requires_grad != now.requires_grad:
        words = ("needs no gradient", "needs a gradient")
        found.append(Difference(what, "gradient", words[before.requires_grad], words[now.requires_grad]))
    return found


def text_of_size(size: Sequence[int]) -> str:
    """Return sizes for people, such as 4×7."""
    return "×".join(map(str, size)) if len(size) else "scalar"


def name_of_dtype(dtype: torch.dtype) -> str:
    """Return a dtype's name, such as bfloat16."""
    return str(dtype).removeprefix("torch.")


def _of_values(before: dict[str, Any], now: dict[str, Any]) -> list[Difference]:
    found = []
    for what in dict.fromkeys([*before, *now]):
        old, new = before.get(what), now.get(what)
        if old == new and old.__class__ is new.__class__:
            continue
        if isinstance(old, TensorFacts) and isinstance(new, TensorFacts):
            found += differ(what, old, new)
        else:
            kind = "optional" if old is None or new is None else "scalar"
            if isinstance(old, _Class) or isinstance(new, _Class):
                kind = "object"
            found.append(Difference(what, kind, _text(old), _text(new)))
    return found


def _mode(value: Any) -> str:
    return ("off", "on")[value] if isinstance(value, bool) else str(value)


def _text(value: Any) -> str:
    if isinstance(value, TensorFacts):
        return f"a tensor {value}"
    return value if isinstance(value, _Class) else repr(value)


class _Class(str):
    """The class of a value that is told apart by nothing else."""

    __slots__ = ()


def _facts(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return TensorFacts(
            tuple(value.shape), value.stride(), value.dtype, _kind_of(value.device), value.requires_grad
        )
    if value is None or isinstance(value, (bool, int, float, str, torch.dtype)):
        return value
    return _Class(type(value).__name__)


@functools.cache
def _kind_of(device: torch.device) -> str:
    # PyTorch makes the name of our kind of device anew each time it is asked for.
    return device.type


def _modes(module: nn.Module) -> tuple[tuple[str, Any], ...]:
    autocast = torch.is_autocast_enabled("hpu")
    return (
        ("gradients", torch.is_grad_enabled()),
        ("inference mode", torch.is_inference_mode_enabled()),
        ("autocast", name_of_dtype(torch.get_autocast_dtype("hpu")) if autocast else "off"),
        ("training", module.training),
    )
