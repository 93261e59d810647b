"""The key under which a graph is cached, and the copy of new inputs into those that it was captured with."""

from __future__ import annotations

import dataclasses
from collections import UserDict
from typing import Any

import torch

from gaudi_lab.emulator.device.tensor import HpuTensor
from gaudi_lab.emulator.operators.transfer import move
from gaudi_lab.emulator.process.release import release

from .hpu_graph import HPUGraph, is_current_stream_capturing

# Up to 1.20 a UserDict counts by the tensors that its values iterate over, and a dataclass as any other object.
_BY_ELEMENTS = release() >= (1, 21)


class CachedParams:
    """A graph with the static inputs and outputs that it was captured with."""

    def __init__(
        self,
        graph_inputs: Any,
        graph_outputs: Any,
        graph: HPUGraph | None,
        out_tinfo_list: Any = None,
        asynchronous: bool = False,
    ) -> None:
        self.graph_inputs = graph_inputs
        self.graph_outputs = graph_outputs
        self.graph = graph
        self.out_tinfo_list = out_tinfo_list
        self.asynchronous = asynchronous


def input_hash(obj: Any) -> int:
    """Return the key under which a forward call with these arguments is cached.

    A tensor counts by its shape and by whether autocast is on: neither dtype nor device nor strides are in the
    key. Everything else counts by value, so a number that changes with each call means a graph for each call.

    Raises
    ------
    TypeError
        Something in `obj` cannot be hashed.
    """
    return _hash_of(obj, torch.is_autocast_enabled("hpu"))


def _hash_of(obj: Any, autocast: bool) -> int:
    kind = obj.__class__
    # The common ones first: to ask whether something is a `UserDict` costs more than all of these.
    if kind is HpuTensor:
        return hash((obj.shape, autocast))
    if kind is tuple or kind is list:
        return hash(tuple([_hash_of(x, autocast) for x in obj]))
    if kind is dict:
        return (
            _NOTHING if not obj else hash(tuple([(name, _hash_of(x, autocast)) for name, x in obj.items()]))
        )
    if kind in _PLAIN:
        return hash((obj, autocast))
    if isinstance(obj, UserDict) and not _BY_ELEMENTS:
        return hash(tuple([(name, tuple(x)) for name, x in obj.items()]))
    if isinstance(obj, (dict, UserDict)):
        return hash(tuple([(name, _hash_of(x, autocast)) for name, x in obj.items()]))
    if isinstance(obj, (list, tuple)):
        return hash(tuple([_hash_of(x, autocast) for x in obj]))
    if torch.is_tensor(obj):
        return hash((obj.shape, autocast))
    if _is_dataclass(obj):
        return hash(
            tuple(
                [
                    (field.name, _hash_of(getattr(obj, field.name), autocast))
                    for field in dataclasses.fields(obj)
                ]
            )
        )
    return hash((obj, autocast))


_NOTHING = hash(())
_PLAIN = {type(None), bool, int, float, str}
_HELD = {HpuTensor, *_PLAIN}
_CONTAINERS = (tuple, list, dict)


def copy_to(dst: Any, src: Any) -> None:
    """Copy every tensor of `src` into its counterpart in `dst`, which has the same structure.

    Raises
    ------
    AssertionError
        The two differ in their containers; then nothing was copied.
    """
    pairs: list[tuple[torch.Tensor, torch.Tensor]] = []
    _collect(dst, src, pairs)
    if not pairs:
        return
    at_once = []
    for target, source in pairs:
        if isinstance(target, HpuTensor) and not is_current_stream_capturing():
            at_once.append((target, source))
        else:
            target.copy_(source, non_blocking=True)
    move(at_once)


def _collect(dst: Any, src: Any, pairs: list[tuple[torch.Tensor, torch.Tensor]]) -> None:
    """Add the tensors of `dst` and their counterparts in `src` to `pairs`, but for those that are the same."""
    kind = dst.__class__
    if dst is src and kind in _HELD:
        return
    # The common ones first, as above.
    if kind is HpuTensor or (kind not in _CONTAINERS and torch.is_tensor(dst)):
        assert src.__class__ is HpuTensor or torch.is_tensor(src)
        if dst is not src:
            pairs.append((dst, src))
        return
    assert kind is src.__class__
    if kind in _PLAIN:
        return
    if isinstance(dst, (list, tuple)):
        for x, y in zip(dst, src, strict=True):
            _collect(x, y, pairs)
    elif isinstance(dst, (dict, UserDict)):
        for name, x in dst.items():
            if name in src:  # what the model put into its own dict at the capture was no input
                _collect(x, src[name], pairs)
    elif _is_dataclass(dst):
        for field in dataclasses.fields(dst):
            _collect(getattr(dst, field.name), getattr(src, field.name), pairs)


def tensors_of(obj: Any) -> list[torch.Tensor]:
    """Return the tensors in `obj`, depth first."""
    if torch.is_tensor(obj):
        return [obj]
    if isinstance(obj, (dict, UserDict)):
        return [x for value in obj.values() for x in tensors_of(value)]
    if isinstance(obj, (list, tuple)):
        return [x for value in obj for x in tensors_of(value)]
    if _is_dataclass(obj):
        return [x for field in dataclasses.fields(obj) for x in tensors_of(getattr(obj, field.name))]
    return []


def _is_dataclass(obj: Any) -> bool:
    return _BY_ELEMENTS and dataclasses.is_dataclass(obj) and not isinstance(obj, type)
