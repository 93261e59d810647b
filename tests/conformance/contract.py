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

covered: dict[str, str] = {}
"""The test that covers a behaviour, by the behaviour's id."""


def covers(*ids: str) -> Callable[[_Test], _Test]:
    """Say which behaviours of the contract a test checks."""

    def mark(test: _Test) -> _Test:
        for identity in ids:
            covered[identity] = test.__name__
        return test

    return mark


@functools.cache
def contract() -> dict[str, list[dict[str, str]]]:
    """Return the rows, under ``"name"`` and ``"behaviour"``."""
    with open(_HERE / "contract.toml", "rb") as file:
        return tomllib.load(file)
