"""Operators for the tests, from cells, in a process that is left in eager mode."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Callable, Iterator

import pytest

from gaudi_lab import bridge
from gaudi_lab.custom_ops import define
from gaudi_lab.custom_ops.operator import CustomOp

_numbers = itertools.count(1)


@pytest.fixture(autouse=True)
def eager() -> Iterator[None]:
    bridge.load()
    with bridge.in_mode(lazy=False):
        yield


@pytest.fixture
def new_name() -> Callable[[], str]:
    return lambda: f"under_test{next(_numbers)}"


@pytest.fixture
def cell(new_name: Callable[[], str]) -> Callable[..., CustomOp]:
    """Make an operator of a cell, in which NAME stands for its name. Each has a name of its own."""

    def make(
        source: str, namespace: dict[str, object] | None = None, *, name: str = "", **options: object
    ) -> CustomOp:
        called = name or new_name()
        return define.from_cell(
            called, textwrap.dedent(source).replace("NAME", called), namespace or {}, **options
        )

    return make
