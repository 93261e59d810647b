"""Note the input shapes of a live module's calls, without becoming part of what is compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from gaudi_lab.instruments import compiling, inputs
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

    def before(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        note(inputs.of_call(module.forward, args, kwargs))

    if compiling.is_compiled(module):
        # A hook would be traced with the module and compile it anew, and again once the watch has ended.
        return compiling.around_compiled(module, lambda args, kwargs: before(module, args, kwargs))
    hook = module.register_forward_pre_hook(before, with_kwargs=True)
    return Handle(hook.remove)
