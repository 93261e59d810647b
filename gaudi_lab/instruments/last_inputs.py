"""What a model was last called with, kept so that it can be called with that again."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import nn

from gaudi_lab.instruments import calls
from gaudi_lab.instruments.handle import Handle

MOST_BYTES = 64 << 20
"""What a call's tensors may take in all to be kept: they stay in device memory until the next call."""

Arguments = tuple[tuple[Any, ...], dict[str, Any]]
"""Positional arguments, and those by name."""

_PLAIN = (bool, int, float, str, type(None))


class LastInputs(Handle):
    """Keeps the arguments of the latest call of a module that can be made again.

    That is one whose arguments are tensors without a history of gradients and plain values, or lists and dicts of such.
    A cache that is still empty is left out: the model makes another one. Calls with a filled one are not kept, because
    they change it.

    Parameters
    ----------
    module
        The module; it computes as before.
    """

    def __init__(self, module: nn.Module) -> None:
        self._kept: Arguments | None = None
        self._why_none = "the model has not been called since it was attached"
        watch = calls.watch(module, self._note)
        super().__init__(watch.remove)

    @property
    def arguments(self) -> Arguments | None:
        """What was kept; None if there was no such call."""
        return self._kept

    @property
    def why_none(self) -> str:
        """Why nothing was kept so far, as a sentence without a full stop."""
        return self._why_none

    def give(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Handle:
        """Keep these arguments until the next call. Removing the handle has those kept that were before."""
        before, self._kept = self._kept, (args, kwargs)

        def put_back() -> None:
            self._kept = before

        return Handle(put_back)

    def remove(self) -> None:
        """Forget what was kept, and keep nothing more."""
        self._kept = None
        super().remove()

    def _note(
        self,
        module: nn.Module,  # noqa: ARG002 - what every watcher is given
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> AbstractContextManager[Any] | None:
        kept = {
            name: value
            for name, value in kwargs.items()
            if isinstance(value, torch.Tensor) or value.__class__ in _PLAIN or not _is_empty_cache(value)
        }
        try:
            size = sum(map(_bytes_to_keep, (*args, *kept.values())))
        except _CannotBeKept as error:
            self._why_none = f"it was called with {error}, and such a call cannot be made again"
            return None
        if size > MOST_BYTES:
            self._why_none = f"it was called with more than {MOST_BYTES >> 20} MiB, which is not kept"
        else:
            self._kept = args, kept
        return None


def read_inputs(inputs: Any) -> Arguments:
    """Return what something is called with, from a mapping of arguments by name, a tuple of them, or one.

    None is no argument.
    """
    if inputs is None:
        return (), {}
    if isinstance(inputs, Mapping) or hasattr(inputs, "keys"):
        return (), dict(inputs)
    return (inputs if isinstance(inputs, tuple) else (inputs,)), {}


class _CannotBeKept(Exception):
    """Among a call's arguments is what cannot be given again; the text says what."""


def _bytes_to_keep(value: Any) -> int:
    """Return what the tensors in an argument take. Asked at each call, so it is all asked at once."""
    if isinstance(value, torch.Tensor):
        if value.grad_fn is not None:
            raise _CannotBeKept("a tensor with gradients")
        return value.nbytes
    if isinstance(value, _PLAIN):
        return 0
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return sum(map(_bytes_to_keep, value.values()))
    if isinstance(value, (list, tuple)):
        return sum(map(_bytes_to_keep, value))
    raise _CannotBeKept(type(value).__name__)


def _is_empty_cache(value: Any) -> bool:
    """Whether this is a cache of transformers' that nothing was put into yet. Does not import transformers."""
    kinds = {kind.__name__ for kind in type(value).__mro__ if kind.__module__.startswith("transformers")}
    if not kinds & {"Cache", "EncoderDecoderCache"}:
        return False
    try:
        both = "EncoderDecoderCache" in kinds
        caches = (value.self_attention_cache, value.cross_attention_cache) if both else (value,)
        # A static one counts on the device, and reading it would wait for that.
        return all(type(x).__name__ == "DynamicCache" and int(x.get_seq_length()) == 0 for x in caches)
    except Exception:  # some other kind of cache: it is not left out
        return False
