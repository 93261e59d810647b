"""An optimizer of PyTorch's whose update is a graph of its own."""

from __future__ import annotations

from typing import Any

from ... import core
from ...utils.internal import is_lazy


class SteppingMixin:
    """Marks a step before and after the update, so that it is a graph of its own."""

    def step(self, closure: Any = None) -> Any:
        """Update every parameter that has a gradient."""
        if is_lazy():
            core.mark_step()
        loss = super().step(closure)  # type: ignore[misc]
        if is_lazy():
            core.mark_step()
        return loss
