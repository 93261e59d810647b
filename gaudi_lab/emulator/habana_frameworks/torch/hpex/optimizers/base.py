"""What the optimizers share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class Update:
    """The update of one parameter in one step.

    Attributes
    ----------
    parameter, grad
        What is updated, and by what.
    rate
        The learning rate, a 0-dim tensor on the host.
    group
        The options of the parameter's group.
    state
        What is kept for the parameter from step to step.
    """

    parameter: torch.Tensor
    grad: torch.Tensor
    rate: torch.Tensor
    group: dict[str, Any]
    state: dict[str, Any]

    def count(self) -> torch.Tensor:
        """Count this step, and return its number, from 1, as a 0-dim float tensor beside the parameter."""
        if "step" not in self.state:
            self.state["step"] = torch.zeros((), dtype=torch.float32, device=self.parameter.device)
        step: torch.Tensor = self.state["step"].add_(1)
        return step

    def keep(self, name: str, start: float = 0.0, dtype: torch.dtype | None = None) -> torch.Tensor:
        """Return a tensor like the parameter that is kept under `name`, in the first step full of `start`."""
        if name not in self.state:
            self.state[name] = torch.full_like(self.parameter, start, dtype=dtype)
        tensor: torch.Tensor = self.state[name]
        return tensor

    def moments(self, grad: torch.Tensor, weight: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Take `grad` into Adam's two moments, into the first with `weight`, and return them."""
        beta1, beta2 = self.group["betas"]
        mean, square = self.keep("exp_avg"), self.keep("exp_avg_sq")
        mean.mul_(beta1).add_(grad, alpha=weight)
        square.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
        return mean, square

    def scale(self, name: str) -> torch.Tensor:
        """Return what the float8 that is kept under `name` is multiplied by, (1,)."""
        key = f"{name}_scale"
        if key not in self.state:
            self.state[key] = torch.ones(1, dtype=self.parameter.dtype, device=self.parameter.device)
        scale: torch.Tensor = self.state[key]
        return scale

    def with_decay(self, direction: torch.Tensor) -> torch.Tensor:
        """Return `direction` plus the parameter times its weight decay."""
        decay = self.group["weight_decay"]
        return direction.add(self.parameter, alpha=decay) if decay else direction

    def go_down(self, step: torch.Tensor) -> None:
        """Subtract `step` from the parameter."""
        self.parameter.sub_(step.to(self.parameter.dtype))


def refuse_negative(**numbers: float) -> None:
    """Say of the first number below zero that it is invalid.

    Raises
    ------
    ValueError
        There is one.
    """
    for name, number in numbers.items():
        if not number >= 0:
            what = "learning rate" if name == "lr" else f"{name} value"
            raise ValueError(f"Invalid {what}: {number}")


class FusedOptimizer(torch.optim.Optimizer):
    """An optimizer that updates one parameter at a time by `update`.

    Attributes
    ----------
    no_sparse
        What it says to a sparse gradient.
    own
        The names of what a class has beside its groups and their state.
    """

    no_sparse = "Adam does not support sparse gradients, please consider SparseAdam"
    own: tuple[str, ...] = ()

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy needs. PyTorch's own leaves out what is not its own."""
        return {**super().__getstate__(), **{name: getattr(self, name) for name in self.own}}

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient, and return what `closure` returned.

        Raises
        ------
        RuntimeError
            A gradient is sparse.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        grads = [p.grad for group in self.param_groups for p in group["params"] if p.grad is not None]
        if any(grad.is_sparse for grad in grads):
            raise RuntimeError(self.no_sparse)
        self.prepare(grads)
        for group in self.param_groups:
            # As a tensor: a number would be part of the graph, and a schedule would compile it anew each step.
            rate = torch.tensor(group["lr"], dtype=torch.float32)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self.update(Update(parameter, parameter.grad, rate, group, self.state[parameter]))
        return loss

    def prepare(self, grads: list[torch.Tensor]) -> None:
        """Look at all gradients of a step before the first update."""

    def update(self, one: Update) -> None:
        """Update one parameter in place."""
        raise NotImplementedError
