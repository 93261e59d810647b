"""Where a fused operator can stand in, and the small protocol by which an operator is found."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import nn

from gaudi_lab import bridge
from gaudi_lab.instruments.fused_operators.class_layers import Layer

Run = Callable[[], object]
"""Calls the model with its own inputs, plainly and without gradients."""

NOT_CALLED = "not established: the model has not been called since it was attached"
NOT_REACHED = "not established: the model's own inputs do not reach it"
REPLACED = "its forward was replaced on the module itself, so what it computes is not its class's"


@dataclass(frozen=True)
class StandInPlace:
    """A module that a fused operator could stand in for, or in.

    Attributes
    ----------
    path
        Where in the model, such as "layers.0.input_layernorm".
    kind
        The class of the module.
    layer
        What to put around its forward; None where it was not established that results stay the same.
    reason
        Why not; empty if it was.
    """

    path: str
    kind: str
    layer: Layer | None = None
    reason: str = ""


class FusedOperator(Protocol):
    """An operator that can stand in for parts of a model. `catalogue.add_source` adds more of them.

    Attributes
    ----------
    name
        What to ask for it by, such as "rms_norm".
    label
        What it is called, such as "FusedRMSNorm".
    meaning
        What it does, as a phrase.
    shows_in_a_run
        Whether some places are seen only while the model runs.
    """

    name: str
    label: str
    meaning: str
    shows_in_a_run: bool

    def why_missing(self) -> str:
        """Return why this bridge does not have it; empty if it does."""

    def find(self, model: nn.Module, run: Run | None) -> list[StandInPlace]:
        """Return where it could stand in. Without a run, nothing can be established. The model stays as it is."""


@dataclass(eq=False)
class KernelOperator:
    """A `FusedOperator` of the bridge's own.

    Attributes
    ----------
    name, label, meaning, shows_in_a_run, find
        As in `FusedOperator`.
    kernel
        Returns the bridge's kernel; an `ImportError` or `AttributeError` if it has none.
    """

    name: str
    label: str
    meaning: str
    shows_in_a_run: bool
    kernel: Callable[[], Any]
    find: Callable[[nn.Module, Run | None], list[StandInPlace]]

    def why_missing(self) -> str:
        """Return why this bridge does not have it; empty if it does."""
        return bridge.why_missing(self.kernel)


def is_replaced(module: nn.Module) -> bool:
    """Whether someone has put another forward on the module itself."""
    return "forward" in vars(module)


def general_refusal(wanting: Iterable[torch.Tensor], gradients: bool) -> str:
    """Return why a call suits no operator; empty if it may.

    Parameters
    ----------
    wanting
        The tensors whose gradients may be wanted.
    gradients
        Whether it was established that gradients agree.
    """
    if torch.is_autocast_enabled("hpu"):
        return "under autocast it was not established"
    if not gradients and torch.is_grad_enabled() and any(x.requires_grad for x in wanting):
        return "gradients are wanted, and that they agree was not established"
    return ""
