"""One model with switches: what was asked for, what is on, and the instruments that make it so.

Only this module calls instruments on a user's model, and only the workbench calls this module.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import nn

from gaudi_lab.errors import LabError, LabValueError
from gaudi_lab.instruments import attention, components
from gaudi_lab.instruments.compiling import Regions, compile_arguments, compile_in_place, compile_regions
from gaudi_lab.instruments.fused_operators.class_layers import StandIns
from gaudi_lab.instruments.graphs import GraphHandle, hpu_graphs
from gaudi_lab.instruments.handle import Handle, all_or_none
from gaudi_lab.instruments.last_inputs import Arguments, LastInputs, read_inputs
from gaudi_lab.instruments.uncomputed import UncomputedHandle, watch_uncomputed
from gaudi_lab.report import CapturedGraph, GraphRefusal, ModelStatus, OperatorUse, PlainCall, UncomputedValue
from gaudi_lab.settings import COMPILE, FUSED_SDPA, HPU_GRAPHS, Mode, Settings, Switch
from gaudi_lab.workbench.model_operators import ModelOperators, Outputs, describe_difference, why_none

# It decides on values, on the host and for each image: no graph can contain that.
_NEVER_CAPTURED = ("safety_checker",)


@dataclass(frozen=True)
class ModelOptions:
    """What a Trainer's arguments say about its switches beyond the switches themselves.

    Attributes
    ----------
    graphs
        For `instruments.graphs.hpu_graphs`.
    compiling
        For `torch.compile`.
    regional
        Compile repeated blocks and not the whole.
    attention
        Another attention of transformers' own; None leaves the model's.
    """

    graphs: Mapping[str, Any] = field(default_factory=dict)
    compiling: Mapping[str, Any] = field(default_factory=dict)
    regional: bool = False
    attention: str | None = None


class SwitchedModel:
    """One model, Trainer or pipeline whose switches the workbench moves.

    Parameters
    ----------
    name
        What it is called on the workbench.
    model
        The user's object.
    requested, options
        What it asks for by itself.

    Attributes
    ----------
    components
        The modules that the switches apply to, by name.
    settings
        The switches that are on now.
    requested
        The switches as they were asked for. HPU graphs stay requested outside lazy mode, and so come back
        with it.
    """

    def __init__(
        self,
        name: str,
        model: Any,
        requested: Settings | None = None,
        options: ModelOptions | None = None,
    ) -> None:
        self.name = name
        self.model = model
        self.components = components.of(model)
        self.settings = Settings()
        self.requested = requested or Settings()
        # A stock Trainer keeps the outputs of its first batch until it joins them with those of the second, and
        # `generate` collects hidden states and attentions over all its steps.
        keeps = components.is_trainer(model) or components.generates(model)
        self._options = options or ModelOptions(graphs={"copies": keeps})
        # What is installed: for each instrument the value it was installed with, and its handle.
        self._installed: dict[str, tuple[Any, Handle]] = {}
        self._graphs: dict[str, GraphHandle] = {}
        self._watches: dict[str, UncomputedHandle] = {}
        self._stand_ins = StandIns()
        self._last_inputs: dict[str, LastInputs] = {}
        self._operators = ModelOperators(self._stand_ins)

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy in another process needs. What is installed belongs to the modules of this one."""
        if self._installed or self._watches or self._last_inputs:
            raise LabError(f"{self.name} has switches on, and they stay behind when it is saved.")
        stand_ins = StandIns()
        fresh = {"_graphs": {}, "_stand_ins": stand_ins, "_operators": ModelOperators(stand_ins)}
        return {**vars(self), "settings": Settings(), **fresh}

    def __str__(self) -> str:
        """Say which switches are on, with the options that only a Trainer's arguments have."""
        mode, *rest = str(self.settings).split(" + ")
        if self._options.regional and self.settings.mode is Mode.COMPILE:
            mode = f"{mode} regions"
        if self._options.attention is not None and not self.settings.fused_sdpa:
            rest.append(f"{self._options.attention} attention")
        return " + ".join([mode, *rest])

    @property
    def has_attention(self) -> bool:
        """Whether FusedSDPA has anything to replace here."""
        return any(attention.has_attention(module) for module in self.components.values())

    def why_off(self, switch: Switch, mode: Mode) -> str:
        """Return why `switch` cannot be on in `mode`, with the line to run; empty if it can."""
        refusal = switch.refusal(mode)
        if refusal is None and switch is FUSED_SDPA and not self.has_attention:
            refusal = attention.refusal(self.name)
        return "" if refusal is None else refusal.for_notebook()

    def remarks(self, settings: Settings) -> list[str]:
        """Say which of the switches that `settings` moves will have less of an effect than one might think."""
        weights = (p for module in self.components.values() for p in module.parameters())
        if settings.softmax in (None, self.settings.softmax) or any(
            p.dtype is torch.bfloat16 for p in weights
        ):
            return []
        waits = "so it takes effect under autocast only"
        return [f"softmax {settings.softmax} exists for bfloat16 and {self.name} is not, {waits}"]

    def shares_modules(self, others: Mapping[str, nn.Module]) -> bool:
        """Whether any of `others` is a module of this model."""
        return any(module is other for module in self.components.values() for other in others.values())

    def require(self, settings: Settings) -> None:
        """Raise if it is known beforehand that the model cannot have `settings`: then nothing is taken off for them."""
        components.require_on_hpu(self.name, self.model)
        if settings.fused_sdpa and not self.settings.fused_sdpa and not self.has_attention:
            raise attention.refusal(self.name)

    def use_components(self, modules: dict[str, nn.Module]) -> None:
        """Switch `modules` from now on. If they are others than before, these are left as they were found."""
        if modules != self.components:
            self.clear()
            self.components = modules

    def take_off(self, settings: Settings) -> None:
        """Remove what `settings` does not want, last installed first."""
        needed = self._needed(settings)
        for name in reversed(list(self._installed)):
            value, handle = self._installed[name]
            if needed.get(name) != value:
                del self._installed[name]
                handle.remove()

    def put_on(self, settings: Settings) -> None:
        """Install what `settings` wants and is not there yet."""
        for name, value in self._needed(settings).items():
            if name not in self._installed:
                self._installed[name] = (value, self._install(name, value))
        self.settings = settings

    def clear(self) -> None:
        """Take everything off. What is requested stays so."""
        while self._installed:
            _, (_, handle) = self._installed.popitem()
            handle.remove()
        while self._watches:
            self._watches.popitem()[1].remove()
        while self._last_inputs:
            self._last_inputs.popitem()[1].remove()
        self._stand_ins.plain_calls.clear()
        self.settings = Settings(Mode.of_process(self.settings.mode.is_lazy))

    def captured(self) -> tuple[CapturedGraph, ...]:
        """Return the captured HPU graphs, component by component."""
        return tuple(
            CapturedGraph(component, graph.shapes, graph.replays, graph.size)
            for component, handle in self._graphs.items()
            if handle.active
            for graph in handle.graphs
        )

    def refusals(self) -> tuple[GraphRefusal, ...]:
        """Return why some calls run without an HPU graph, component by component."""
        return tuple(
            replace(refusal, component=component)
            for component, handle in self._graphs.items()
            if handle.active
            for refusal in handle.refusals
        )

    def watch_for_uncomputed(self) -> None:
        """Report from now on what a compile-only warm-up leaves on the model. Clearing it ends that."""
        for component, module in self.components.items():
            self._watches[component] = watch_uncomputed(module)

    def keep_inputs(self) -> None:
        """Keep from now on what the model was last called with. Clearing it ends that."""
        for component, module in self.components.items():
            self._last_inputs[component] = LastInputs(module)

    def give_inputs(self, inputs: Any) -> Handle:
        """Take `inputs` for what the model was last called with, until the handle is removed.

        Parameters
        ----------
        inputs
            Arguments by name, a tuple of arguments, or one argument.

        Raises
        ------
        LabValueError
            If the model has several parts, each with inputs of its own.
        """
        if len(self._last_inputs) != 1:
            raise LabValueError(
                f"{self.name} has several parts, each with inputs of its own: {', '.join(self._last_inputs)}. Call "
                "it once, and what its parts are given is known."
            )
        (kept,) = self._last_inputs.values()
        return kept.give(*read_inputs(inputs))

    @property
    def last_inputs(self) -> dict[str, Arguments]:
        """What its parts were last called with, as far as that is known."""
        return {
            part: kept.arguments for part, kept in self._last_inputs.items() if kept.arguments is not None
        }

    def why_no_inputs(self, part: str) -> str:
        """Return why it is not known what a part was last called with, as a sentence without a full stop."""
        return why_none(self._last_inputs.get(part))

    def take_last_inputs(self, inputs: Mapping[str, Arguments]) -> None:
        """Take what its parts were last called with elsewhere."""
        for part, (args, kwargs) in inputs.items():
            if part in self._last_inputs:
                self._last_inputs[part].give(args, kwargs)

    @property
    def was_called(self) -> bool:
        """Whether there are inputs to call a part of the model with again."""
        return bool(self.last_inputs)

    def operator_outcomes(self) -> list[str]:
        """Say, once, what came of putting operators on since this was last asked."""
        return [f"{self.name}: {outcome}" for outcome in self._operators.take_outcomes()]

    def outputs(self) -> Outputs:
        """Return what its parts make of what they were last called with, past HPU graphs and compiled code."""
        return self._operators.outputs(self._with_inputs())

    def compare_attention(self, before: Outputs) -> str:
        """Say by how much outputs differ from those before FusedSDPA went on; raises as `describe_difference`."""
        told = describe_difference(FUSED_SDPA.label, before, self.outputs())
        left = [
            part
            for part, (module, _) in self._with_inputs().items()
            if part not in before and attention.places(module)
        ]
        return f"{self.name}: {told}" + (f", those of {', '.join(left)} were not compared" if left else "")

    def why_not_operator(self, name: str) -> LabError | None:
        """Return why the operator `name` cannot stand in anywhere here; None if it can. The model runs for that."""
        return self._operators.refusal(self.name, name, self._with_inputs())

    def operator_uses(self, *, measure: bool) -> list[OperatorUse]:
        """Return what the fused operators could do here, and what they save.

        Parameters
        ----------
        measure
            Whether the model may run for that.
        """
        uses = [
            self._operators.use(
                self.name, name, self._with_inputs(), on=name in self.settings.operators, measure=measure
            )
            for name in self._operators.names()
        ]
        attention_use = self._operators.use_of_attention(
            self.name, self._with_inputs(), self.settings, self._without_fused_sdpa, measure=measure
        )
        uses.insert(0, attention_use)
        return [replace(use, plain_calls=self._plain_calls(use.name)) for use in uses]

    @contextmanager
    def _without_fused_sdpa(self) -> Iterator[None]:
        """Have FusedSDPA off meanwhile, if it is on."""
        if not self.settings.fused_sdpa:
            yield
            return
        value, handle = self._installed["attention"]
        handle.remove()
        try:
            yield
        finally:
            self._installed["attention"] = (value, self._install("attention", value))

    def _plain_calls(self, operator: str | None = None) -> tuple[PlainCall, ...]:
        return tuple(
            PlainCall(name, reason, count)
            for (name, reason), count in self._stand_ins.plain_calls.items()
            if operator in (None, name)
        )

    def _with_inputs(self) -> dict[str, tuple[nn.Module, LastInputs | None]]:
        return {part: (module, self._last_inputs.get(part)) for part, module in self.components.items()}

    def uncomputed(self) -> tuple[UncomputedValue, ...]:
        """Return what on the model a compile-only warm-up has left without a value, component by component."""
        return tuple(
            replace(value, component=component)
            for component, watch in self._watches.items()
            for value in watch.values
        )

    def replays(self) -> list[int]:
        """Return for each captured HPU graph how often it was replayed."""
        return [graph.replays for graph in self.captured()]

    def free_graphs(self) -> None:
        """Let go of the captured HPU graphs and their memory; the next calls capture anew."""
        for handle in self._graphs.values():
            if handle.active:
                handle.free()

    def recapture(self) -> None:
        """Put the model under HPU graphs anew, if it is: what was captured by halves or is outdated goes."""
        settings = self.settings
        self.take_off(settings.replace(**HPU_GRAPHS.turn(False)))
        self.put_on(settings)

    def in_use(self, module: nn.Module) -> nn.Module:
        """Return what to call instead of `module`: its form with compiled regions, if there is one."""
        _, handle = self._installed.get("compiling", (None, None))
        return handle.in_use(module) if isinstance(handle, Regions) else module

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
            refusals=self.refusals(),
            uncomputed=self.uncomputed(),
            plain_calls=self._plain_calls(),
        )

    def _needed(self, settings: Settings) -> dict[str, Any]:
        """Return the instruments that `settings` needs, in the order to install them, each with its value."""
        needed: dict[str, Any] = {}
        if settings.fused_sdpa:
            needed["attention"] = settings.sdpa_options
        elif self._options.attention is not None:
            needed["attention"] = self._options.attention
        for operator in settings.operators:
            needed[f"operator {operator}"] = operator
        if settings.hpu_graphs:
            if not settings.fused_sdpa:
                needed["masks"] = True
            # A graph holds attention and operators as it was captured, so it is captured anew when they change.
            held = needed.get("attention", "as it is"), settings.operators
            needed["graphs"] = held, bool(settings.verify)
        if COMPILE.is_on(settings):
            needed["compiling"] = settings.dynamic, settings.backend_options
        return needed

    def _install(self, name: str, value: Any) -> Handle:
        modules: Mapping[str, nn.Module] = self.components
        options = self._options
        compiling = {**options.compiling, **compile_arguments(*value)} if name == "compiling" else {}
        if name == "compiling" and options.regional:
            return compile_regions(self.components["model"], **compiling)
        if name.startswith("operator "):
            return self._operators.put_on(self.name, value, self._with_inputs())
        instrument: Callable[[nn.Module], Handle]
        if name == "compiling":
            instrument = lambda module: compile_in_place(module, **compiling)  # noqa: E731
        elif name == "masks":
            instrument = attention.static_masks
        elif name == "graphs":
            modules = {part: module for part, module in modules.items() if part not in _NEVER_CAPTURED}
            _, verify = value
            instrument = lambda module: hpu_graphs(module, verify=verify, **options.graphs)  # noqa: E731
        elif isinstance(value, str):
            instrument = lambda module: attention.named(module, value)  # noqa: E731
        else:
            # A pipeline has parts without attention. Where no part has any, the instrument says so.
            modules = {part: m for part, m in modules.items() if attention.has_attention(m)} or modules
            instrument = lambda module: attention.fused_sdpa(module, value, self._stand_ins)  # noqa: E731
        made: dict[str, Any] = {}

        def edit(part: str, module: nn.Module) -> Handle:
            made[part] = instrument(module)
            return made[part]

        handle = all_or_none(partial(edit, part, module) for part, module in modules.items())
        if name == "graphs":
            self._graphs = made
        return handle
