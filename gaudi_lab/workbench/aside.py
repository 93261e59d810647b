"""A workbench that was set aside: values that can go over into another process."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from gaudi_lab.settings import Mode, Settings


@dataclass(frozen=True)
class ModelAside:
    """One attached model, with nothing of the workbench on it.

    Attributes
    ----------
    name, model
        What it is called, and the user's object.
    settings
        The switches that were on.
    requested, own
        What is asked for by the workbench, and what the model asks for by itself.
    inputs
        What its parts were last called with: operators are established by that.
    """

    name: str
    model: Any
    settings: Settings
    requested: Settings
    own: Settings
    inputs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Aside:
    """A whole workbench.

    Attributes
    ----------
    requested
        The switches of all.
    models
        The attached models, in their order.
    frozen
        Whether compiling was forbidden.
    """

    requested: Settings
    models: tuple[ModelAside, ...] = ()
    frozen: bool = False

    def without(self, models: Collection[Any]) -> Aside:
        """Return the same with some models left out."""
        left_out = {id(model) for model in models}
        return replace(self, models=tuple(each for each in self.models if id(each.model) not in left_out))

    def in_mode(self, mode: Mode) -> Aside:
        """Return the same with another mode asked for."""
        models = (replace(model, requested=model.requested.to_mode(mode)) for model in self.models)
        return replace(self, requested=self.requested.to_mode(mode), models=tuple(models))
