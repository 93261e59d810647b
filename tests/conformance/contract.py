"""The contract as data, and which test covers which row of it."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_HERE = Path(__file__).parent
_Test = TypeVar("_Test", bound=Callable[..., Any])

covered: dict[str, list[str]] = {}
"""The tests that cover a behaviour, by the behaviour's id."""

raised: dict[str, list[str]] = {}
"""The tests that raise a message, by the message's id."""


def covers(*ids: str) -> Callable[[_Test], _Test]:
    """Say which behaviours of the contract a test checks."""
    return _mark(covered, ids)


def raises(*ids: str) -> Callable[[_Test], _Test]:
    """Say which messages a test raises, in the situation that the list names."""
    return _mark(raised, ids)


def _mark(where: dict[str, list[str]], ids: tuple[str, ...]) -> Callable[[_Test], _Test]:
    def mark(test: _Test) -> _Test:
        for identity in ids:
            tests = where.setdefault(identity, [])
            if test.__name__ not in tests:
                tests.append(test.__name__)
        return test

    return mark


@functools.cache
def contract() -> dict[str, list[dict[str, str]]]:
    """Return the rows, under ``"name"``, ``"behaviour"`` and ``"absent"``."""
    return _rows("contract.toml")


@functools.cache
def messages() -> dict[str, dict[str, str]]:
    """Return the rows of the list of messages, by id."""
    return {row["id"]: row for row in _rows("messages.toml")["message"]}


def message(identity: str, **differs: str) -> str:
    """Return the text of a message, with what differs from machine to machine filled in."""
    return messages()[identity]["text"].format(**differs)


def _rows(name: str) -> Any:
    with open(_HERE / name, "rb") as file:
        return tomllib.load(file)
