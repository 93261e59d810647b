"""A recorded program as plain data: steps over numbered slots."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

from gaudi_lab.origin import Origin


class Slot(NamedTuple):
    """A value of the program, by number."""

    number: int


class Meta(NamedTuple):
    """What is known of a tensor before it has a value: sizes, strides and offset in elements, dtype."""

    size: torch.Size
    stride: tuple[int, ...]
    offset: int
    dtype: torch.dtype

    @property
    def is_plain(self) -> bool:
        """Whether it is laid out as PyTorch lays out a new tensor of these sizes, to the last stride."""
        step = 1
        for n, found in zip(reversed(self.size), reversed(self.stride), strict=True):
            if found != step:
                return False
            step *= max(n, 1)
        return self.offset == 0


@dataclass(slots=True, eq=False)
class Step:
    """One operator of a program, or a value that enters it.

    Attributes
    ----------
    func
        The operator; None for a value that enters from outside.
    args, kwargs
        Its arguments, tensors as `Slot`, the device as the host's.
    result
        What it returns: `Meta`, `Alias`, None, or a list or tuple of these.
    first
        The number of the first slot that it fills.
    checked
        True once a result has been held against what `result` says.
    loose
        True if the host lays the result out in other strides, so that it has to be copied.
    wider
        True if the host's kernel does not know the dtype, so that it computes in a wider one.
    origin
        Where it was first seen; None if nobody wanted to know.
    """

    func: Any
    args: Any
    kwargs: dict[str, Any]
    result: Any
    first: int
    checked: bool = False
    loose: bool = False
    wider: bool = False
    origin: Origin | None = None

    def metas(self) -> list[Meta]:
        """Return what is known of the tensors that the step makes, in the order of their slots."""
        return _metas(self.result)


def _metas(result: Any) -> list[Meta]:
    if isinstance(result, Meta):
        return [result]
    if result.__class__ in (list, tuple):
        return [meta for x in result for meta in _metas(x)]
    return []
