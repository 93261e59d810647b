"""Who has switches on a model: one at a time. Two would each put a graph around the other's."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import Protocol

from torch import nn

from gaudi_lab.settings import Settings


class Holder(Protocol):
    """Someone with switches of its own on a model."""

    def let_go(self) -> Settings:
        """Take everything off the model, and return which switches were wanted there."""


_holders: weakref.WeakKeyDictionary[nn.Module, weakref.ref[Holder]] = weakref.WeakKeyDictionary()


def hold(modules: Iterable[nn.Module], holder: Holder) -> Settings | None:
    """Make `holder` the one who switches `modules`. Whoever was before takes off what is on.

    Returns
    -------
    Settings or None
        The switches that someone before wanted there.
    """
    found = None
    for module in modules:
        reference = _holders.get(module)
        before = None if reference is None else reference()
        if before is not None and before is not holder:
            found = before.let_go()
        _holders[module] = weakref.ref(holder)
    return found
