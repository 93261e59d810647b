"""What the optimizers share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch


class FusedOptimizer(torch.optim.Optimizer):
    """An optimizer that updates one parameter at a time by `update`."""

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient, and return what `closure` returned."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            # As a tensor: a number would be part of the graph, and a schedule would compile it anew each step.
            rate = torch.tensor(group["lr"], dtype=torch.float32)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self.update(parameter, parameter.grad, rate, group, self.state[parameter])
        return loss

    def update(
        self,
        parameter: torch.Tensor,
        grad: torch.Tensor,
        rate: torch.Tensor,
        group: dict[str, Any],
        state: dict[str, Any],
    ) -> None:
        """Update `parameter` by `grad` at the learning rate `rate`, a 0-dim tensor on the host."""
        raise NotImplementedError


def counted(parameter: torch.Tensor, state: dict[str, Any]) -> torch.Tensor:
    """Return the number of the step, from 1, as a 0-dim float tensor beside `parameter`."""
    if "step" not in state:
        state["step"] = torch.zeros((), dtype=torch.float32, device=parameter.device)
    step: torch.Tensor = state["step"].add_(1)
    return step
