"""What is compared, with its switches: the models of one call, moved by the workbench.

This is what `gaudi_lab.comparison.subject` asks for, and what travels into other processes.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy
import torch

from gaudi_lab import bridge
from gaudi_lab.comparison.candidates import Candidate
from gaudi_lab.comparison.subject import WhatRan
from gaudi_lab.errors import LabError
from gaudi_lab.instruments import components
from gaudi_lab.settings import FUSED_SDPA, Mode, Settings
from gaudi_lab.workbench import lab
from gaudi_lab.workbench.calls_to_compare import (
    ComparedCall,
    EvaluationCall,
    FunctionCall,
    ModelCall,
    PicturesCall,
)
from gaudi_lab.workbench.model import SwitchedModel


class SwitchedSubject:
    """Models and one way to run them.

    Parameters
    ----------
    name
        What it is called.
    call
        What is run.
    models
        What the switches are put on, by name.

    Attributes
    ----------
    name, call, models
        The same.
    source, setup
        The code of what is run, and of the cells that made it; empty if it is known as objects only.
    """

    source = ""
    setup = ""

    def __init__(self, name: str, call: ComparedCall, models: dict[str, Any]) -> None:
        self.name = name
        self.call = call
        self.models = models
        self._values: dict[str, Any] = {}
        self._random = _RandomState(call.generators)

    @property
    def kind(self) -> str:
        """What it is: "model", "trainer", "pipeline" or "function"."""
        kinds = {ModelCall: "model", EvaluationCall: "trainer", PicturesCall: "pipeline"}
        return kinds.get(type(self.call), "function")

    @contextmanager
    def put(self, candidate: Candidate) -> Iterator[None]:
        """Have a candidate's settings on these models meanwhile, and everything as it was afterwards."""
        workbench = lab.current()
        with ExitStack() as back:
            if not bridge.loaded():
                bridge.set_lazy(candidate.settings.mode.is_lazy)
            names = []
            for name, model in self.models.items():
                if components.device_type(model) == "cpu":
                    _move_to_hpu(model)
                    self.call.move_inputs()
                names.append(back.enter_context(workbench.attached(model, name)))
            self._values = candidate.values
            if candidate.settings.operators:
                self._show_inputs([workbench.get(name) for name in names])
            back.enter_context(switched(workbench, names, candidate.settings))
            yield

    def rewind(self) -> None:
        """Put random numbers where they were at first."""
        self._random.put_back()

    def run(self) -> Any:
        """Run once."""
        return self.call.run(self._values)

    def outputs(self, result: Any) -> Any:
        """Return what of a result has to be equal under all settings."""
        return self.call.outputs(result)

    def samples(self, result: Any) -> int | None:
        """Return how many samples a run is for."""
        return self.call.samples(result, self._values)

    def graphs(self) -> list[int]:
        """Return for each captured HPU graph how often it was replayed."""
        attached = (lab.current().find(model) for model in self.models.values())
        return [count for entry in attached if entry is not None for count in entry.replays()]

    def ran(self) -> WhatRan:
        """Return what is on now."""
        attached = [entry for model in self.models.values() if (entry := lab.current().find(model))]
        replays = self.graphs()
        mode = Mode.of_process(bridge.is_lazy())
        if any(entry.settings.mode is Mode.COMPILE for entry in attached):
            mode = Mode.COMPILE
        kernels = dict.fromkeys(kernel for entry in attached if (kernel := entry.status().attention))
        return WhatRan(str(mode), len(replays), sum(replays), ", ".join(kernels))

    def on_the_host(self) -> list[str]:
        """Say which models are on the host: they are moved where they are tried."""
        there = [name for name, model in self.models.items() if components.device_type(model) == "cpu"]
        return [f"{name} was on the host, and was moved to hpu where it was tried" for name in there]

    def why_not(self, settings: Settings) -> str:
        """Return why these models cannot have some settings; empty if they can."""
        if settings.fused_sdpa and not any(map(_has_attention, self.models.values())):
            return f"{FUSED_SDPA.label} is left out: {self.name} has no attention to switch"
        if settings.mode is Mode.COMPILE and not self.models:
            return "compile is left out: no model is attached"
        if settings.hpu_graphs and not self.models:
            return "HPU graphs are left out: no model is attached"
        return ""

    def _show_inputs(self, models: list[SwitchedModel]) -> None:
        """Have models know what they are called with: operators are established by that."""
        if isinstance(self.call, ModelCall):
            models[0].take_last_inputs({"": self.call.given(self._values)})
        elif not all(one.was_called for one in models):
            self.rewind()
            self.run()


def make_subject(what: Any, args: tuple[Any, ...], kwargs: dict[str, Any], name: str = "") -> SwitchedSubject:
    """Return what is to be compared.

    Parameters
    ----------
    what
        A torch module, Trainer, `trainer.evaluate`, pipeline, or a function. What is run by a function uses the
        attached models, whose switches are moved. A subject is returned as it is.
    args, kwargs
        What it is called with.
    name
        What to call it.

    Raises
    ------
    LabError
        It is none of these.
    """
    if isinstance(what, SwitchedSubject):
        return what
    owner = getattr(what, "__self__", None)
    if components.is_trainer(owner) and getattr(what, "__name__", "") == "evaluate":
        what = owner
    known = None if what is None else lab.current().find(what)
    name = known.name if known is not None else name
    if components.is_trainer(what):
        if args:
            kwargs = {"eval_dataset": args[0], **kwargs}
        return SwitchedSubject(name or "trainer", EvaluationCall(what, kwargs), {name or "trainer": what})
    if components.is_pipeline(what):
        return SwitchedSubject(
            name or "pipeline", PicturesCall(what, args, kwargs), {name or "pipeline": what}
        )
    if isinstance(what, torch.nn.Module):
        name = name or type(what).__name__.lower()
        return SwitchedSubject(name, ModelCall(what, args, kwargs), {name: what})
    if not callable(what):
        raise LabError(
            f"A {type(what).__name__} cannot be compared: it is no model, Trainer, pipeline or function.",
            python="gaudi_lab.compare(model, inputs=batch)",
            magic="%gaudi_compare model(**batch)",
        )
    attached = {entry.name: entry.model for entry in lab.current().models.values()}
    name = name or getattr(what, "__name__", type(what).__name__)
    return SwitchedSubject(name, FunctionCall(what, args, kwargs), attached)


@contextmanager
def switched(workbench: lab.Lab, names: list[str], settings: Settings) -> Iterator[None]:
    """Move the switches of some models for a while. Others go along between lazy and eager mode, and come back."""
    with ExitStack() as moves:
        if workbench.mode.is_lazy and settings.mode is Mode.COMPILE:
            moves.enter_context(workbench.apply(settings.in_mode(Mode.EAGER), names))
        moves.enter_context(workbench.apply(settings, names))
        yield


class _RandomState:
    """Where random numbers stood, so that every run draws the same.

    Parameters
    ----------
    generators
        Those that are not the global ones.
    """

    def __init__(self, generators: list[torch.Generator]) -> None:
        self._generators = generators
        self._states = [generator.get_state() for generator in generators]
        self._host = torch.get_rng_state()
        self._others = random.getstate(), numpy.random.get_state()
        self._device: Any = None

    def put_back(self) -> None:
        for generator, state in zip(self._generators, self._states, strict=True):
            generator.set_state(state)
        torch.set_rng_state(self._host)
        random.setstate(self._others[0])
        numpy.random.set_state(self._others[1])
        if bridge.memory() is None:
            return
        if self._device is None:
            self._device = bridge.random_state()
        bridge.set_random_state(self._device)

    def __getstate__(self) -> dict[str, Any]:
        # A generator travels as its state.
        return {
            "_generators": self._generators,
            "_states": self._states,
            "_host": self._host,
            "_others": self._others,
            "_device": None,
        }


def _has_attention(model: Any) -> bool:
    from gaudi_lab.instruments import attention

    return any(attention.has_attention(module) for module in components.of(model).values())


def _move_to_hpu(model: Any) -> None:
    (model.model if components.is_trainer(model) else model).to("hpu")
