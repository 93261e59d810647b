"""Execution modes and switches as plain values: one table, one row a switch, and every rule between them."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal

from gaudi_lab.errors import LabError, LabValueError
from gaudi_lab.options import NamedValues, Option

Softmax = Literal["fast", "fp32"]
Dynamic = Literal["auto"] | bool


class Mode(str, Enum):
    """How operators reach the device.

    `lazy` collects them into graphs, `eager` runs each at once, `compile` is eager with `torch.compile`
    on the attached models. Lazy or not is a property of the process; compile is a property of a model.
    """

    LAZY = "lazy"
    EAGER = "eager"
    COMPILE = "compile"

    def __str__(self) -> str:
        return self.value

    @property
    def is_lazy(self) -> bool:
        """Whether the process itself runs in lazy mode (`PT_HPU_LAZY_MODE=1`)."""
        return self is Mode.LAZY

    @classmethod
    def of_process(cls, lazy: bool) -> Mode:
        """Return the mode of a process that is lazy or not."""
        return cls.LAZY if lazy else cls.EAGER

    @classmethod
    def parse(cls, text: str | Mode) -> Mode:
        """Return the mode called `text`.

        Raises
        ------
        LabValueError
            If no mode has that name.
        """
        try:
            return cls(text)
        except ValueError:
            names = ", ".join(cls)
            raise LabValueError(
                f"{text!r} is not an execution mode; there are {names}.",
                python='gaudi_lab.mode("lazy")',
                magic="%gaudi_mode lazy",
            ) from None


@dataclass(frozen=True)
class Switch:
    """One row of the table of switches.

    Attributes
    ----------
    name
        Its function in `gaudi_lab`.
    magic
        Its magic, without the percent sign.
    label, meaning
        What it is called, and what it does, as phrases.
    needs
        The mode of the process without which it does not exist; None for any.
    why_off
        Why it does not exist elsewhere, as the beginning of a sentence.
    field, on, off
        Its field of `Settings`, and the values there.
    options
        What can be chosen while it is on.
    arguments
        The lines of `GaudiTrainingArguments` that switch it on.
    """

    name: str
    magic: str
    label: str
    meaning: str
    needs: Mode | None = None
    why_off: str = ""
    field: str = ""
    on: Any = True
    off: Any = False
    options: tuple[Option, ...] = ()
    arguments: tuple[str, ...] = ()

    @property
    def of(self) -> str:
        """Its field of `Settings`."""
        return self.field or self.name

    @property
    def without_options(self) -> dict[str, Any]:
        """The fields of its options, as they are when nothing is chosen."""
        return {option.field: None for option in self.options}

    def is_on(self, settings: Settings) -> bool:
        """Whether it is on in `settings`."""
        return bool(getattr(settings, self.of) == self.on)

    def turn(self, on: bool) -> dict[str, Any]:
        """Return the fields of `Settings` to change. Off takes its options with it."""
        return {self.of: self.on} if on else {self.of: self.off, **self.without_options}

    def chosen(self, settings: Any) -> list[tuple[Option, Any]]:
        """Return the options that are not left to the bridge, with their values."""
        values = [(option, getattr(settings, option.field)) for option in self.options]
        return [(option, value) for option, value in values if value is not None]

    def describe(self, settings: Any) -> str:
        """Return label and chosen options: "FusedSDPA (recompute, softmax fast)"."""
        return self.with_options(self.label, settings)

    def with_options(self, name: str, settings: Any) -> str:
        """Return a name with the chosen options behind it."""
        options = ", ".join(option.describe(value) for option, value in self.chosen(settings))
        return f"{name} ({options})" if options else name

    def refusal(self, mode: Mode) -> LabError | None:
        """Return why it cannot be on in `mode`, with the line to run; None if it can."""
        if self.needs is None or self.needs.is_lazy == mode.is_lazy:
            return None
        return LabError(
            f"{self.why_off}, and the mode is {mode}.",
            python=f'gaudi_lab.mode("{self.needs}")',
            magic=f"%gaudi_mode {self.needs}",
        )


HPU_GRAPHS = Switch(
    name="hpu_graphs",
    magic="gaudi_graphs",
    label="HPU graphs",
    meaning="One per input shape, replayed without Python",
    needs=Mode.LAZY,
    why_off="HPU graphs exist only in lazy mode",
    options=(
        Option(
            "verify",
            "verified HPU graphs",
            {True: "--verify"},
            note="The first replays of each graph are compared with a plain call.",
            default="off",
        ),
    ),
    arguments=("use_hpu_graphs_for_inference=True",),
)
FUSED_SDPA = Switch(
    name="fused_sdpa",
    magic="gaudi_sdpa",
    label="FusedSDPA",
    meaning="Attention in one kernel",
    options=(
        Option(
            "recompute",
            "FusedSDPA recompute",
            {True: "--recompute", False: "--no-recompute"},
            note="Recomputing does not store the attention matrix.",
            arguments={True: "flash_attention_recompute=True", False: "flash_attention_recompute=False"},
        ),
        Option(
            "softmax",
            "softmax",
            {"fast": "--softmax fast", "fp32": "--softmax fp32"},
            note="Softmax modes exist for bfloat16.",
            arguments={"fast": "flash_attention_fast_softmax=True"},
        ),
    ),
    arguments=('attn_implementation="gaudi_fused_sdpa"',),
)
COMPILE = Switch(
    name="compile",
    magic="gaudi_compile",
    label="torch.compile",
    meaning="Compiled in place, at the first call of each shape",
    needs=Mode.EAGER,
    why_off="torch.compile needs eager mode",
    # A mode of one model: the process is in eager mode with it and without it.
    field="mode",
    on=Mode.COMPILE,
    off=Mode.EAGER,
    options=(
        Option(
            "dynamic",
            "dynamic sizes",
            {True: "--dynamic", False: "--no-dynamic", "auto": "--auto-dynamic"},
            note="A Gaudi compiles for fixed sizes; torch itself takes auto: a size that changes becomes a symbol.",
            arguments={True: "compile_dynamic=True", False: "compile_dynamic=False"},
            default="off",
        ),
        NamedValues(
            "backend_options",
            "options of hpu_backend",
            {"": "--option"},
            note="Names are those of the bridge's compile_backend.config.",
        ),
    ),
    arguments=("torch_compile=True", 'torch_compile_backend="hpu_backend"'),
)


@dataclass(frozen=True)
class NamedSwitch(Switch):
    """A row for several things of one kind, each on or off by its name: `field` has the names of those that are on."""

    off: Any = ()

    def is_on(self, settings: Settings) -> bool:
        """Whether any is on in `settings`."""
        return bool(getattr(settings, self.field))

    def turn(self, on: bool) -> dict[str, Any]:
        """Return the fields of `Settings` to change. On by itself says of none that it is to be on."""
        return {} if on else {self.field: self.off}

    def turn_one(self, name: str, on: bool) -> dict[str, Any]:
        """Return the fields of `Settings` to change for one of them. The others stay where they are."""
        return {self.field: {name: on}}

    def describe(self, settings: Any) -> str:
        """Return the names that are on: "operators (rms_norm, rotary)"."""
        names = ", ".join(getattr(settings, self.field))
        return f"{self.label} ({names})" if names else self.label


OPERATORS = NamedSwitch(
    name="use_operator",
    magic="gaudi_ops",
    label="operators",
    meaning="Fused operators in place of parts of the model",
    field="operators",
)

SWITCHES = (HPU_GRAPHS, FUSED_SDPA, OPERATORS, COMPILE)
"""Every switch of a model. Panel, magics, completion, status and exported code are made of these rows."""


@dataclass(frozen=True)
class SdpaOptions:
    """FusedSDPA's own options.

    Attributes
    ----------
    recompute
        Do not store the attention matrix; None leaves the bridge's default.
    softmax
        "fast" or "fp32"; None leaves the bridge's default. Both exist for bfloat16 inputs only, so inputs
        of another type are computed without.
    """

    recompute: bool | None = None
    softmax: Softmax | None = None

    def __str__(self) -> str:
        return FUSED_SDPA.describe(self)


@dataclass(frozen=True)
class Settings:
    """One position of every switch.

    Parameters
    ----------
    mode
        Execution mode, or its name.
    hpu_graphs
        Capture each model's forward once per input shape and replay it.
    fused_sdpa
        Compute attention with the bridge's `FusedSDPA` kernel.
    recompute
        FusedSDPA's recompute mode: do not store the attention matrix. None leaves the bridge's own default.
    softmax
        FusedSDPA's softmax mode, "fast" or "fp32"; None leaves the bridge's own.
    verify
        Compare the first replays of each HPU graph with a plain call. None does not.
    operators
        The names of the fused operators that stand in for parts of the model, sorted.
    dynamic
        Whether `torch.compile` takes sizes for symbols: from the start (True), once they have changed ("auto", which is
        torch's own default), or never. None is never.
    backend_options
        Options of `hpu_backend`, as a mapping or as pairs; they are kept as sorted pairs. None leaves the bridge's own.
    """

    mode: Mode = Mode.EAGER
    hpu_graphs: bool = False
    fused_sdpa: bool = False
    recompute: bool | None = None
    softmax: Softmax | None = None
    verify: bool | None = None
    operators: tuple[str, ...] = ()
    dynamic: Dynamic | None = None
    backend_options: tuple[tuple[str, Any], ...] | None = None

    def __post_init__(self) -> None:
        if self.mode.__class__ is not Mode:  # its name
            object.__setattr__(self, "mode", Mode.parse(self.mode))
        given: Any = self.backend_options
        if isinstance(given, (Mapping, list, tuple)):
            pairs = given.items() if isinstance(given, Mapping) else given
            read = tuple(sorted(tuple(pair) if isinstance(pair, list) else pair for pair in pairs))
            object.__setattr__(self, "backend_options", read or None)

    def replace(self, **changes: Any) -> Settings:
        """Return a copy with some fields changed."""
        return dataclasses.replace(self, **changes)

    def move(self, changes: Mapping[str, Any]) -> Settings:
        """Return a copy with some switches moved, as a user asks for it.

        HPU graphs asked for now are refused outside lazy mode; those asked for earlier wait for it.

        Raises
        ------
        LabError
            If the switches cannot be on together.
        """
        for switch in SWITCHES:
            if changes.get(switch.of, switch.on) != switch.on:
                changes = {**switch.without_options, **changes}
        moved = self.replace(**self._names_moved(changes))
        (moved if changes.get(HPU_GRAPHS.name) else moved.in_mode(moved.mode)).check()
        return moved

    def move_back(self, changes: Mapping[str, Any], before: Settings) -> Settings:
        """Return a copy with those switches where they were `before` that `changes` had moved, and no others."""
        moved = [switch for switch in SWITCHES if switch.of in changes]
        names = {**changes, **{name: None for switch in moved for name in switch.without_options}}
        back = {
            name: {one: one in getattr(before, name) for one in value}
            if name == OPERATORS.field and isinstance(value, Mapping)
            else getattr(before, name)
            for name, value in names.items()
        }
        return self.replace(**self._names_moved(back))

    def _names_moved(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Return changes with names instead of what becomes of each: `{"rms_norm": True}` adds one."""
        moved = dict(changes)
        for name, value in changes.items():
            if name == OPERATORS.field and isinstance(value, Mapping):
                names = {one for one in getattr(self, name) if value.get(one, True)}
                moved[name] = tuple(sorted(names | {one for one, on in value.items() if on}))
        return moved

    def to_mode(self, mode: Mode) -> Settings:
        """Return what is asked for in another mode: HPU graphs wait there, and options of torch.compile go with it."""
        return self.replace(mode=mode, **({} if mode is COMPILE.on else COMPILE.without_options))

    def in_mode(self, mode: Mode) -> Settings:
        """Return the same switches in another mode, without those that do not exist there."""
        off = [switch for switch in SWITCHES if switch.field != "mode" and switch.refusal(mode) is not None]
        return self.to_mode(mode).replace(
            **{name: x for switch in off for name, x in switch.turn(False).items()}
        )

    def in_process(self, lazy: bool) -> Settings:
        """Return the same switches in the mode of a process that is lazy or not, whoever put it there."""
        return self if self.mode.is_lazy == lazy else self.to_mode(Mode.of_process(lazy))

    @property
    def switches(self) -> dict[str, Any]:
        """Each field by name."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    @property
    def sdpa_options(self) -> SdpaOptions:
        """FusedSDPA's own options."""
        return SdpaOptions(self.recompute, self.softmax)

    @property
    def problem(self) -> LabError | None:
        """Why these switches cannot be on together, or None if they can."""
        for switch in SWITCHES:
            for option, value in switch.chosen(self):
                if (problem := option.problem_of(value, switch.name, switch.magic)) is not None:
                    return problem
            if switch.is_on(self):
                if (refusal := switch.refusal(self.mode)) is not None:
                    return refusal
            elif switch.chosen(self):
                names = " and ".join(option.field for option in switch.options)
                are = "are options" if len(switch.options) > 1 else "is an option"
                return LabValueError(
                    f"{names} {are} of {switch.label}, and {switch.label} is off.",
                    python=f"gaudi_lab.{switch.name}(model)",
                    magic=f"%{switch.magic} on",
                )
        return None

    def check(self) -> None:
        """Raise `problem` if there is one."""
        if (problem := self.problem) is not None:
            raise problem

    def __str__(self) -> str:
        on = [switch for switch in SWITCHES if switch.field != "mode" and switch.is_on(self)]
        mode = COMPILE.with_options(str(self.mode), self)
        return " + ".join([mode, *(switch.describe(self) for switch in on)])


def combinations(within: Mode | None = None) -> Iterator[Settings]:
    """Yield every valid combination of mode, HPU graphs and FusedSDPA, options left to the bridge.

    Parameters
    ----------
    within
        Only those that a process in this mode reaches: a Gaudi's is lazy, or it is not. None for all.
    """
    modes = [mode for mode in Mode if within is None or mode.is_lazy == within.is_lazy]
    for mode, graphs, fused in itertools.product(modes, (False, True), (False, True)):
        settings = Settings(mode, graphs, fused)
        if settings.problem is None:
            yield settings


def find_option(field: str) -> tuple[Switch, Option] | None:
    """Return the option that is called so, with its switch; None if there is none."""
    found = ((switch, option) for switch in SWITCHES for option in switch.options if option.field == field)
    return next(found, None)
