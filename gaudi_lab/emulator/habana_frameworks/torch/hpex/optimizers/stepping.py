"""An optimizer of PyTorch's whose update is a graph of its own."""

from __future__ import annotations

from typing import Any

from ...core import step_closure


class SteppingMixin:
    """Marks a step before and after the update, so that it is a graph of its own."""

    def step(self, closure: Any = None) -> Any:
        """Update every parameter that has a gradient."""
        step_closure._mark_step_if_lazy()
        loss = super().step(closure)  # type: ignore[misc]
        step_closure._mark_step_if_lazy()
        return loss
