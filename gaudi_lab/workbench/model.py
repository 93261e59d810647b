"""A model on the workbench: its switches, and the handles that undo them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from gaudi_lab.instruments import attention, components
from gaudi_lab.instruments.compiling import compile_in_place
from gaudi_lab.instruments.graphs import GraphHandle, hpu_graphs
from gaudi_lab.instruments.handle import Handle, all_or_none
from gaudi_lab.report import CapturedGraph, ModelStatus
from gaudi_lab.settings import Mode, Settings

# It decides on values, on the host and for each image: no graph can contain that.
_NEVER_CAPTURED = ("safety_checker",)


class Attached:
    """One attached model, Trainer or pipeline.

    Parameters
    ----------
    name
        What it is called on the workbench.
    model
        The user's object; held until it is detached.

    Attributes
    ----------
    settings
        The switches that are on now.
    wish
        The switches as they were asked for. HPU graphs stay wished for outside lazy mode, and so come back
        with it.
    """

    def __init__(self, name: str, model: Any) -> None:
        self.name = name
        self.model = model
        self.components = components.of(model)
        self.settings = Settings()
        self.wish = self.settings
        # What is installed: for each instrument the value it was installed with, and its handle.
        self._installed: dict[str, tuple[Any, Handle]] = {}
        self._graphs: dict[str, GraphHandle] = {}

    @classmethod
    def of(cls, name: str, model: Any) -> Attached:
        """Return `model` as the workbench holds it: with the switches that it brings along, if it has some.

        Parameters
        ----------
        name
            What it is called on the workbench.
        model
            The user's object. One that has switches of its own, such as a Gaudi pipeline, keeps them in
            `gaudi_switches.attached`, and the workbench moves those: there are never two for one thing.
        """
        own: Attached | None = getattr(getattr(model, "gaudi_switches", None), "attached", None)
        if own is None:
            return cls(name, model)
        own.name = name
        return own

    @property
    def has_attention(self) -> bool:
        """Whether FusedSDPA has anything to replace here."""
        return any(attention.has_attention(module) for module in self.components.values())

    @property
    def computes_in_bfloat16(self) -> bool:
        """Whether any weight is bfloat16."""
        return any(p.dtype is torch.bfloat16 for m in self.components.values() for p in m.parameters())

    def require_on_hpu(self) -> None:
        """Raise if the weights are not on the device."""
        components.require_on_hpu(self.name, self.model)

    def let_go(self) -> Settings:
        """Take everything off, for someone else who switches this model, and return what was wanted."""
        self.take_off(Settings())
        self.settings = Settings(self.settings.mode if self.settings.mode.is_lazy else Mode.EAGER)
        return self.wish

    def take_off(self, settings: Settings) -> None:
        """Remove what `settings` does not want, last installed first."""
        wanted = _instruments(settings)
        for name in reversed(list(self._installed)):
            value, handle = self._installed[name]
            if wanted.get(name) != value:
                del self._installed[name]
                handle.remove()

    def put_on(self, settings: Settings) -> None:
        """Install what `settings` wants and is not there yet."""
        for name, value in _instruments(settings).items():
            if name not in self._installed:
                self._installed[name] = (value, self._install(name, value))
        self.settings = settings

    def captured(self) -> tuple[CapturedGraph, ...]:
        """Return the captured HPU graphs, component by component."""
        return tuple(
            CapturedGraph(component, graph.shapes, graph.replays, graph.size)
            for component, handle in self._graphs.items()
            if handle.active
            for graph in handle.graphs
        )

    def replays(self) -> list[int]:
        """Return for each captured HPU graph how often it was replayed."""
        return [graph.replays for graph in self.captured()]

    def free_graphs(self) -> None:
        """Let go of the captured HPU graphs and their memory; the next calls capture anew."""
        for handle in self._graphs.values():
            if handle.active:
                handle.free()

    def status(self) -> ModelStatus:
        """Describe the model as it is now."""
        modules = self.components.values()
        names = [name for module in modules if (name := attention.in_use(module))]
        unique = {id(p): p.numel() for module in modules for p in module.parameters()}
        return ModelStatus(
            name=self.name,
            kind=type(self.model).__name__,
            device=components.device_type(self.model),
            parameters=sum(unique.values()),
            settings=self.settings,
            attention=", ".join(dict.fromkeys(names)),
            graphs=self.captured(),
        )

    def _install(self, name: str, value: Any) -> Handle:
        modules = self.components
        if name == "attention":
            # A pipeline has parts without attention. Where no part has any, the instrument says so.
            having = [module for module in modules.values() if attention.has_attention(module)]
            return all_or_none(
                _edit(attention.fused_sdpa, module, value) for module in having or modules.values()
            )
        if name == "masks":
            return all_or_none(_edit(attention.static_masks, module) for module in modules.values())
        if name == "graphs":
            return all_or_none(
                _edit(self._capture, part, module)
                for part, module in modules.items()
                if part not in _NEVER_CAPTURED
            )
        return all_or_none(_edit(compile_in_place, module) for module in modules.values())

    def _capture(self, component: str, module: nn.Module) -> Handle:
        # A Trainer keeps the outputs of its first batch until it joins them with those of the second.
        self._graphs[component] = hpu_graphs(module, copies=components.is_trainer(self.model))
        return self._graphs[component]


def _instruments(settings: Settings) -> dict[str, Any]:
    """Return the instruments that `settings` needs, in the order to install them, each with its value."""
    wanted: dict[str, Any] = {}
    if settings.fused_sdpa:
        wanted["attention"] = settings.sdpa_options
    elif settings.hpu_graphs:
        wanted["masks"] = True
    if settings.hpu_graphs:
        # A graph holds the attention it was captured with, so it is captured anew when that changes.
        wanted["graphs"] = wanted.get("attention", "as it is")
    if settings.mode is Mode.COMPILE:
        wanted["compiling"] = True
    return wanted


def _edit(instrument: Callable[..., Handle], *arguments: Any) -> Callable[[], Handle]:
    return lambda: instrument(*arguments)
