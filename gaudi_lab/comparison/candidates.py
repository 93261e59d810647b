"""What is to be tried: settings, with values of what else is varied, and variables of the environment."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gaudi_lab.errors import LabValueError
from gaudi_lab.settings import SWITCHES, Mode, Settings

ENVIRONMENT = "environment"
"""The name in `over` that varies variables of the environment, which need a fresh process."""


@dataclass(frozen=True)
class Candidate:
    """One position of everything that is tried.

    Attributes
    ----------
    settings
        The switches.
    varied
        What else is varied, by name: `batch_size`, `dtype`, or arguments of a function.
    environment
        Variables for its process; None takes one away. They are read when something is imported.
    """

    settings: Settings
    varied: tuple[tuple[str, Any], ...] = ()
    environment: tuple[tuple[str, str | None], ...] = ()

    @property
    def values(self) -> dict[str, Any]:
        """What is varied, by name."""
        return dict(self.varied)

    def __str__(self) -> str:
        values = [f"{name} {_word(value)}" for name, value in self.varied]
        variables = [
            f"{name}={value}" if value is not None else f"no {name}" for name, value in self.environment
        ]
        return ", ".join([str(self.settings), *values, *variables])


def make_candidates(settings: Iterable[Settings], over: Mapping[str, Sequence[Any]]) -> list[Candidate]:
    """Return every combination of settings and values, each once, in the order they were given.

    Raises
    ------
    LabValueError
        There is nothing to try, or `over` does not give several values by name.
    """
    for name, values in over.items():
        if isinstance(values, str) or not isinstance(values, Sequence) or not values:
            raise LabValueError(
                f"over has {values!r} for {name}, and not a list of values to try.",
                python=f"gaudi_lab.compare(model, over={{{name!r}: [first, second]}})",
            )
    names = [name for name in over if name != ENVIRONMENT]
    environments = [tuple(given.items()) for given in over.get(ENVIRONMENT, [{}])]
    every = itertools.product(settings, *(over[name] for name in names), environments)
    found = [
        Candidate(of, tuple(zip(names, values, strict=True)), environment)
        for of, *values, environment in every
    ]
    unique = list({str(candidate): candidate for candidate in found}.values())
    if not unique:
        raise LabValueError("There are no settings to compare.", python="gaudi_lab.compare(model)")
    return unique


def parse_settings(text: str) -> Settings:
    """Return the settings written as they show themselves, such as "lazy + HPU graphs + FusedSDPA".

    Raises
    ------
    LabValueError
        If a word is no mode and no switch.
    """
    mode, *switches = [word.strip() for word in text.split("+")]
    settings = Settings(Mode.parse(mode.lower()))
    by_name = {
        word.lower(): switch
        for switch in SWITCHES
        if switch.field != "mode"
        for word in (switch.label, switch.name)
    }
    for word in switches:
        if word.lower() not in by_name:
            labels = ", ".join(switch.label for switch in SWITCHES if switch.field != "mode")
            raise LabValueError(
                f"{word!r} in {text!r} is no switch; there are {labels}.",
                python='gaudi_lab.compare(model, settings=["lazy", "lazy + HPU graphs"])',
            )
        settings = settings.replace(**by_name[word.lower()].turn(True))
    return settings


def _word(value: Any) -> str:
    return str(value).removeprefix("torch.")
