"""One call of a model, watched for everything that an HPU graph of it could not hold."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from gaudi_lab.instruments import nested
from gaudi_lab.instruments.guard import call_arguments, graph_refusals
from gaudi_lab.instruments.guard.object_state import Kind, State, structure
from gaudi_lab.instruments.guard.operators_seen import OperatorsSeen
from gaudi_lab.report import GraphRefusal


@dataclass(frozen=True)
class Verdict:
    """Why a call cannot be replayed.

    Attributes
    ----------
    refusal
        The reason.
    first_use
        Whether it may be gone at the next call: something was filled that had been empty.
    structure
        What the object among the arguments that is the reason is made of, if one is: calls with another one
        like it are no better.
    """

    refusal: GraphRefusal
    first_use: bool = False
    structure: Any = None


class WatchedCall:
    """Takes note of everything around one call, and of the operators in it.

    Parameters
    ----------
    module
        The model that is called.
    call
        The arguments by name, as the call gets them.
    """

    def __init__(self, module: nn.Module, call: Mapping[str, Any]) -> None:
        self._arguments = call_arguments.tensors(call)
        self._objects = call_arguments.objects(call)
        self._structures = {name: structure(x) for name, x in self._objects.items()}
        self._module_before = State({"": module})
        self._objects_before = State(self._objects)
        containers = {name: x for name, x in call.items() if nested.items(x) is not None}
        self._containers_before = State(containers)
        self._random_before = _random_states()
        self._seen = OperatorsSeen(
            self._arguments, {**self._module_before.tensors, **self._objects_before.tensors}
        )

    def run(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call `function`, seeing its operators."""
        with self._seen:
            return function(*args, **kwargs)

    @property
    def written(self) -> list[torch.Tensor]:
        """The tensors of the model and of its objects that the call wrote in place: a replay does so too."""
        return [x for name, x in self._seen.written.items() if name not in self._arguments]

    def verdict(self) -> Verdict | None:
        """Return why this call cannot be replayed, or None if it can. To be asked after the call."""
        for found in self._seen.findings:
            return Verdict(graph_refusals.refuse(found.code, found.name, line=found.line))
        if written := [name for name in self._seen.written if name in self._arguments]:
            return Verdict(graph_refusals.refuse(graph_refusals.ARGUMENT_WRITTEN, ", ".join(written)))
        for change in self._containers_before.changes():
            if not any(_lies_in(change.name, name) for name in self._objects):
                return Verdict(graph_refusals.refuse(graph_refusals.ARGUMENT_STATE, change.name))
        for name, state in _random_states().items():
            if name in self._random_before and state != self._random_before[name]:
                return Verdict(graph_refusals.refuse(graph_refusals.RANDOM_IN_PYTHON, name))
        return self._changed_object() or self._changed_attribute()

    def _changed_object(self) -> Verdict | None:
        changes = self._objects_before.changes()
        if not changes:
            return None
        first_use = any(change.kind is Kind.FILLED for change in changes)
        change = next((x for x in changes if x.kind is Kind.REPLACED), changes[0])
        name = next(name for name in self._objects if _lies_in(change.name, name))
        # A static cache counts in tensors, so whatever else one of these classes changes, it is another kind of it.
        static = "Static" in repr(self._structures[name])
        refusal = graph_refusals.of_argument(change, type(self._objects[name]), static=static)
        return Verdict(refusal, first_use, None if first_use else self._structures[name])

    def _changed_attribute(self) -> Verdict | None:
        changes = self._module_before.changes()
        change = next((x for x in changes if x.kind is Kind.REPLACED), changes[0] if changes else None)
        return None if change is None else Verdict(graph_refusals.of_attribute(change), first_use=True)


def _lies_in(place: str, name: str) -> bool:
    """Whether a place is what `name` is the name of, or something on it."""
    return place == name or place.startswith(f"{name}.")


def _random_states() -> dict[str, Any]:
    """Return where the generators of Python and NumPy stand."""
    states: dict[str, Any] = {"random": random.getstate()}
    if (numpy := sys.modules.get("numpy")) is not None:
        kind, keys, *rest = numpy.random.get_state()
        states["numpy.random"] = (kind, keys.tobytes(), *rest)
    return states
