"""What is to be tried: settings, with values of what else is varied, and variables of the environment."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gaudi_lab.errors import LabValueError
from gaudi_lab.settings import Mode, Settings, Switch, find_option

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
        _values(name, values)
    names = [name for name in over if name != ENVIRONMENT]
    environments = [
        tuple((name, None if value is None else str(value)) for name, value in given.items())
        for given in over.get(ENVIRONMENT, [{}])
    ]
    every = itertools.product(settings, *(over[name] for name in names), environments)
    found = [
        Candidate(of, tuple(zip(names, values, strict=True)), environment)
        for of, *values, environment in every
    ]
    unique = list({str(candidate): candidate for candidate in found}.values())
    if not unique:
        raise LabValueError("There are no settings to compare.", python="gaudi_lab.compare(model)")
    return unique


def vary_options(
    settings: Iterable[Settings], over: Mapping[str, Sequence[Any]]
) -> tuple[list[Settings], dict[str, Sequence[Any]]]:
    """Return the settings with every combination of values of switches' options, and what else is varied.

    Settings that have the switch of an option off stay as they are.

    Parameters
    ----------
    settings
        Those to vary.
    over
        Values by name: options of switches, such as `dynamic` of torch.compile, and others.

    Raises
    ------
    LabError
        No setting has the switch of an option on, or it does not have such a value.
    """
    found = list(settings)
    rest = dict(over)
    for name in over:
        if (known := find_option(name)) is None:
            continue
        switch, _ = known
        values = _values(name, rest.pop(name))
        if not any(map(switch.is_on, found)):
            raise LabValueError(
                f"{name} is an option of {switch.label}, and none of the settings has that on.",
                python=f'gaudi_lab.compare(..., settings=["{_an_example(switch)}"], over={{"{name}": {[*values]}}})',
                magic=f'%gaudi_compare --settings "{_an_example(switch)}" --over {name}={[*values]} model(**batch)',
            )
        varied = [
            one.replace(**{name: value})
            for one in found
            for value in (values if switch.is_on(one) else [getattr(one, name)])
        ]
        for one in filter(switch.is_on, varied):
            one.check()
        found = varied
    return found, rest


def _an_example(switch: Switch) -> str:
    return str(Settings(switch.needs or Mode.EAGER).replace(**switch.turn(True)))


def _values(name: str, values: Any) -> Sequence[Any]:
    if isinstance(values, str) or not isinstance(values, Sequence) or not values:
        raise LabValueError(
            f"over has {values!r} for {name}, and not a list of values to try.",
            python=f"gaudi_lab.compare(model, over={{{name!r}: [first, second]}})",
        )
    return values


def _word(value: Any) -> str:
    return str(value).removeprefix("torch.")
