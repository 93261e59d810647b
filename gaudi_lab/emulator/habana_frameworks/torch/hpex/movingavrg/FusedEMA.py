"""Moving averages of a model's weights."""

from __future__ import annotations

import copy
import math
from collections.abc import Collection
from typing import Any

import torch

__all__ = ["FusedEMA"]


def copy_attr(a: Any, b: Any, include: Collection[str] = (), exclude: Collection[str] = ()) -> None:
    """Give `a` the public attributes of `b`: those in `include`, or all, but none in `exclude`."""
    for name, value in vars(b).items():
        if not name.startswith("_") and name not in exclude and (not include or name in include):
            setattr(a, name, value)


class FusedEMA:
    """An exponential moving average of the state of a model.

    Parameters
    ----------
    model
        The model that trains; the average begins as a copy of it.
    decay
        How much of the average stays at each update, once it is warm: it grows like 1 - exp(-updates / tau).
    updates
        How many updates there have been.
    tau
        After how many updates the average is warm.

    Attributes
    ----------
    ema : torch.nn.Module
        The average, in evaluation mode.
    """

    def __init__(
        self, model: torch.nn.Module, decay: float = 0.9999, updates: int = 0, tau: float = 2000.0
    ) -> None:
        if decay < 0.0:
            raise ValueError(f"Invalid decay value: {decay}")
        self.ema = copy.deepcopy(model).eval().requires_grad_(False)
        self.decay = decay
        self.updates = updates
        self.tau = tau

    @torch.no_grad()
    def update(self, model: torch.nn.Module) -> None:
        """Take the present state of `model` in."""
        self.updates += 1
        # As a tensor, or every update would be another graph.
        kept = torch.tensor(self.decay * (1 - math.exp(-self.updates / self.tau)))
        state = model.state_dict()
        for name, average in self.ema.state_dict().items():
            if average.is_floating_point():
                average.mul_(kept).add_(state[name].detach() * (1 - kept))

    def update_attr(
        self,
        model: torch.nn.Module,
        include: Collection[str] = (),
        exclude: Collection[str] = ("process_group", "reducer"),
    ) -> None:
        """Give the average the attributes of `model` that are no state."""
        copy_attr(self.ema, model, include, exclude)
