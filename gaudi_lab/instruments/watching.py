"""Note the input shapes of a live module's calls, without becoming part of what is compiled."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from torch import nn

from gaudi_lab.instruments import call_shapes, calls
from gaudi_lab.instruments.handle import Handle
from gaudi_lab.shapes import Shapes


def watch_calls(module: nn.Module, note: Callable[[Shapes], None]) -> Handle:
    """Tell `note` the input shapes of each call of `module`, before it is made.

    Parameters
    ----------
    module
        The module to watch.
    note
        Called with the shapes.

    Returns
    -------
    Handle
        Removing it ends the watch.
    """

    def before(
        module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> AbstractContextManager[None]:
        note(call_shapes.of_call(module.forward, args, kwargs))
        return nullcontext()

    return calls.watch(module, before)
