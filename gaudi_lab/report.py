"""What the workbench says about itself, as plain values: its state, and what a change has changed."""

from __future__ import annotations

from dataclasses import dataclass, field

from gaudi_lab.bridge import Counters, Identity, Memory
from gaudi_lab.errors import LabError
from gaudi_lab.rendered import Rendered
from gaudi_lab.settings import Mode, Settings
from gaudi_lab.shapes import Shapes


@dataclass(frozen=True)
class CapturedGraph:
    """One captured HPU graph.

    Attributes
    ----------
    component
        The part of a Trainer or pipeline it belongs to; empty for a module.
    shapes
        The inputs it was captured for.
    replays
        How often it has been replayed.
    size
        Bytes of device memory that capturing it took; None where that is not known.
    """

    component: str
    shapes: Shapes
    replays: int
    size: int | None = None


@dataclass(frozen=True)
class GraphRefusal:
    """Why some calls of a model run without an HPU graph: a replay would give other results than a plain call.

    Attributes
    ----------
    code
        What kind of reason it is, such as "argument-replaced"; `instruments.guard.graph_refusals` has the list.
    text
        The reason, as a sentence without a full stop.
    remedy
        What to do about it, as a line to run where there is one; empty if nothing is known to help.
    name
        The argument, attribute or operator that it is about, such as "cache.layers.0.keys".
    line
        Where in the model's code, as `frontend.name_line` says it; empty if that was not established.
    component
        The part of a Trainer or pipeline; empty for a module.
    """

    code: str
    text: str
    remedy: str = ""
    name: str = ""
    line: str = ""
    component: str = ""

    def __str__(self) -> str:
        where = f"{self.component} " if self.component else ""
        told = f"{where}runs without a graph: {self.text}"
        return f"{told}. Instead: {self.remedy}" if self.remedy else told


@dataclass(frozen=True)
class UncomputedValue:
    """Something on a model that still holds what a compile-only warm-up left there, which nothing has computed.

    Attributes
    ----------
    name
        The attribute or buffer, such as "encoder.running".
    line
        Where the value was made, as `frontend.name_line` says it; empty if that was not established.
    component
        The part of a Trainer or pipeline; empty for a module.
    """

    name: str
    line: str = ""
    component: str = ""

    def __str__(self) -> str:
        where = f"{self.component}.{self.name}" if self.component else self.name
        made = f", made in {self.line}" if self.line else ""
        return (
            f"{where} holds a value that was never computed{made}: it was set while PT_COMPILE_ONLY_MODE was on. "
            "Instead: set it back after the warm-up, or warm up without it"
        )


@dataclass(frozen=True)
class PlainCall:
    """Calls that did not suit a fused operator, and ran as they would without it.

    Attributes
    ----------
    operator
        Its name.
    reason
        Why, as a sentence without a full stop.
    count
        How many; under torch.compile only the calls that were compiled are counted, and under an HPU graph those
        that were captured.
    """

    operator: str
    reason: str
    count: int

    def __str__(self) -> str:
        calls = "1 call" if self.count == 1 else f"{self.count} calls"
        return f"{calls} ran without {self.operator}: {self.reason}"


@dataclass(frozen=True)
class ModelStatus:
    """One attached model.

    Attributes
    ----------
    name, kind
        Its name, and the class it is of.
    device
        Where its weights are; None if it has none.
    parameters
        How many numbers they are.
    settings
        Its switches.
    attention
        The attention it computes with, such as "sdpa" or "FusedSDPA (recompute)"; empty if unknown.
    graphs
        Its captured HPU graphs, oldest first.
    refusals
        Why some of its calls run without one.
    uncomputed
        What on it a compile-only warm-up has left without a value.
    plain_calls
        Calls that did not suit a fused operator that is on.
    """

    name: str
    kind: str
    device: str | None
    parameters: int
    settings: Settings
    attention: str
    graphs: tuple[CapturedGraph, ...] = ()
    refusals: tuple[GraphRefusal, ...] = ()
    uncomputed: tuple[UncomputedValue, ...] = ()
    plain_calls: tuple[PlainCall, ...] = ()


@dataclass(frozen=True)
class OperatorPlace:
    """A module that a fused operator could stand in for, or in.

    Attributes
    ----------
    path
        Where in the model, such as "model.layers.0.input_layernorm".
    kind
        The class of the module.
    reason
        Why it was not established that results stay the same; empty if it was.
    """

    path: str
    kind: str
    reason: str = ""


@dataclass(frozen=True)
class OperatorSaving:
    """What one call of a model takes without a fused operator and with it, by the same inputs.

    Attributes
    ----------
    operators
        How many operators the device is given.
    memory
        The most bytes in use after any of them, beyond those in use before the call; None in lazy mode, where nothing
        is computed until the call is over.
    """

    operators: tuple[int, int]
    memory: tuple[int, int] | None = None


@dataclass(frozen=True)
class OperatorUse:
    """One fused operator, and one model in which it could stand in.

    Attributes
    ----------
    name, label, meaning
        What to ask for it by, what it is called, and what it does.
    missing
        Why this bridge does not have it; empty if it does.
    model
        The model; empty where none is attached.
    places
        Where in the model it could stand in.
    on
        Whether it is on.
    saving
        What it saves; None if that was not measured.
    not_measured
        Why not, to follow "not measured,".
    parts_not_measured
        In which parts of the model that is so, if it was measured in others.
    plain_calls
        Calls that did not suit it.
    """

    name: str
    label: str
    meaning: str
    missing: str = ""
    model: str = ""
    places: tuple[OperatorPlace, ...] = ()
    on: bool = False
    saving: OperatorSaving | None = None
    not_measured: str = ""
    parts_not_measured: tuple[str, ...] = ()
    plain_calls: tuple[PlainCall, ...] = ()

    @property
    def established(self) -> tuple[OperatorPlace, ...]:
        """The places where results were established to stay the same."""
        return tuple(place for place in self.places if not place.reason)


@dataclass(frozen=True, repr=False)
class Operators(Rendered):
    """The fused operators that there are, and what they could do for the attached models.

    Attributes
    ----------
    uses
        One an operator and model.
    bridge
        Which bridge it is.
    own
        The user's own operators, a sentence each without a full stop.
    """

    uses: tuple[OperatorUse, ...]
    bridge: Identity
    own: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> OperatorUse:
        """Return the operator called `name`, in the first model.

        Raises
        ------
        LabError
            If there is none.
        """
        for use in self.uses:
            if use.name == name:
                return use
        there_are = ", ".join(dict.fromkeys(use.name for use in self.uses))
        raise LabError(f"There is no operator {name}; there are {there_are}.")


@dataclass(frozen=True, repr=False)
class Status(Rendered):
    """The whole state of the workbench.

    Attributes
    ----------
    mode
        The execution mode; a prediction while the bridge is not loaded.
    bridge
        Which bridge it is.
    loaded
        Whether the bridge is loaded.
    models
        The attached models.
    counters
        What the bridge has counted since the process started.
    memory
        Device memory; None while the device is not in use.
    """

    mode: Mode
    bridge: Identity
    loaded: bool
    models: tuple[ModelStatus, ...] = ()
    counters: Counters = field(default_factory=Counters)
    memory: Memory | None = None

    @property
    def emulated(self) -> bool:
        """Whether the device is emulated on the CPU."""
        return self.bridge.emulated


@dataclass(frozen=True)
class ModelChange:
    """What changed for one model.

    Attributes
    ----------
    name
        The model.
    before, after
        Its switches; `before` is None for a model attached just now, `after` for one detached.
    graphs_wait
        HPU graphs went off with lazy mode and come back with it.
    """

    name: str
    before: Settings | None
    after: Settings | None
    graphs_wait: bool = False


@dataclass(frozen=True, repr=False)
class Change(Rendered):
    """What one request has changed.

    Attributes
    ----------
    before, after
        The mode.
    models
        The models that changed, and only those.
    notes
        What else is worth knowing, in whole sentences without a full stop. A request that changed nothing may
        still have some.
    emulated
        Whether the device is emulated on the CPU.
    """

    before: Mode
    after: Mode
    models: tuple[ModelChange, ...] = ()
    notes: tuple[str, ...] = ()
    emulated: bool = False

    def __bool__(self) -> bool:
        return self.before is not self.after or bool(self.models or self.notes)
