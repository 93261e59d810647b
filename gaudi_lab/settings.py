"""Execution modes and switches as plain values, and which of them go together. Imports nothing."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal

from gaudi_lab.errors import LabError, LabValueError

Softmax = Literal["fast", "fp32"]
SOFTMAX_MODES: tuple[Softmax, ...] = ("fast", "fp32")


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
class SdpaOptions:
    """FusedSDPA's own switches.

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
        parts = []
        if self.recompute is not None:
            parts.append("recompute" if self.recompute else "no recompute")
        if self.softmax is not None:
            parts.append(f"softmax {self.softmax}")
        return "FusedSDPA" + (f" ({', '.join(parts)})" if parts else "")


@dataclass(frozen=True)
class Settings:
    """One position of every switch.

    Parameters
    ----------
    mode
        Execution mode.
    hpu_graphs
        Capture each model's forward once per input shape and replay it.
    fused_sdpa
        Compute attention with the bridge's `FusedSDPA` kernel.
    recompute
        FusedSDPA's recompute mode: do not store the attention matrix. None leaves the bridge's own default.
    softmax
        FusedSDPA's softmax mode, "fast" or "fp32"; None leaves the bridge's own.
    """

    mode: Mode = Mode.EAGER
    hpu_graphs: bool = False
    fused_sdpa: bool = False
    recompute: bool | None = None
    softmax: Softmax | None = None

    def replace(self, **changes: Any) -> Settings:
        """Return a copy with some switches changed."""
        return dataclasses.replace(self, **changes)

    @property
    def switches(self) -> dict[str, Any]:
        """Each switch by name, with its position."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    @property
    def sdpa_options(self) -> SdpaOptions:
        """FusedSDPA's own switches."""
        return SdpaOptions(self.recompute, self.softmax)

    def in_mode(self, mode: Mode) -> Settings:
        """Return the same switches in another mode, without those that do not exist there."""
        return self.replace(mode=mode, hpu_graphs=self.hpu_graphs and mode.is_lazy)

    @property
    def problem(self) -> LabError | None:
        """Why these switches cannot be on together, or None if they can."""
        if self.softmax is not None and self.softmax not in SOFTMAX_MODES:
            return LabValueError(
                f"{self.softmax!r} is not a softmax mode of FusedSDPA; there are fast and fp32.",
                python='gaudi_lab.fused_sdpa(model, softmax="fast")',
                magic="%gaudi_sdpa on --softmax fast",
            )
        if self.hpu_graphs and not self.mode.is_lazy:
            return LabError(
                f"HPU graphs exist only in lazy mode, and the mode is {self.mode}.",
                python='gaudi_lab.mode("lazy")',
                magic="%gaudi_mode lazy",
            )
        if not self.fused_sdpa and (self.recompute is not None or self.softmax is not None):
            return LabValueError(
                "recompute and softmax are options of FusedSDPA, and FusedSDPA is off.",
                python="gaudi_lab.fused_sdpa(model)",
                magic="%gaudi_sdpa on",
            )
        return None

    def check(self) -> None:
        """Raise `problem` if there is one."""
        if (problem := self.problem) is not None:
            raise problem

    def __str__(self) -> str:
        parts = [str(self.mode)]
        if self.hpu_graphs:
            parts.append("HPU graphs")
        if self.fused_sdpa:
            parts.append(str(self.sdpa_options))
        return " + ".join(parts)


def combinations() -> Iterator[Settings]:
    """Yield every valid combination of mode, HPU graphs and FusedSDPA, options left to the bridge."""
    for mode, graphs, fused in itertools.product(Mode, (False, True), (False, True)):
        settings = Settings(mode, graphs, fused)
        if settings.problem is None:
            yield settings


def check_mode_change(before: Mode, after: Mode) -> None:
    """Raise if one mode cannot be reached from another in one step.

    Raises
    ------
    LabError
        For `compile` from lazy mode: `hpu_backend` is not registered there, and going eager first drops
        what lazy mode has compiled, which should be asked for.
    """
    if before.is_lazy and after is Mode.COMPILE:
        raise LabError(
            "torch.compile needs eager mode, and this process is in lazy mode.",
            python='gaudi_lab.mode("eager")',
            magic="%gaudi_mode eager",
        )
