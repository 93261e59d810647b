"""Walks the contract: every name is there with its parameters, and every behaviour has a test."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from typing import Any

import pytest
from contract import contract, covered, messages, raised

from gaudi_lab import bridge

_EMPTY = inspect.Parameter.empty


@pytest.fixture(scope="module", autouse=True)
def device():
    bridge.load()
    for module in (
        "internal.bridge_config",
        "dynamo.compile_backend.backends",
        "hpex.optimizers",
        "hpex.movingavrg",
    ):
        importlib.import_module(f"habana_frameworks.torch.{module}")


def resolve(path: str) -> Any:
    """Return what `module:name.name` names."""
    module, _, names = path.partition(":")
    if module == "torch.ops.hpu":
        import torch

        found = torch.ops.hpu
    else:
        found = importlib.import_module(module)
    for name in names.split("."):
        found = getattr(found, name)
    return found


def parameters(thing: Any) -> str:
    """Return the parameters of `thing` as the contract writes them: names and defaults."""
    signature = inspect.signature(thing)
    shown = [
        parameter.replace(annotation=_EMPTY, default=_plain(parameter.default))
        for parameter in signature.parameters.values()
    ]
    return str(signature.replace(parameters=shown, return_annotation=inspect.Signature.empty))


def _plain(default: Any) -> Any:
    return int(default) if isinstance(default, int) and not isinstance(default, bool) else default


@pytest.mark.parametrize("row", contract()["name"], ids=lambda row: f"{row['source']} {row['path']}")
def test_name(row):
    thing = resolve(row["path"])
    if (
        "signature" in row
        and "bridge_config:set_" not in row["path"]
        and "bridge_config:get_" not in row["path"]
    ):
        assert parameters(thing) == row["signature"]
    elif "signature" in row:
        assert callable(thing)


def test_every_behaviour_has_a_test():
    for path in Path(__file__).parent.glob("test_contract_*.py"):
        importlib.import_module(path.stem)
    ids = [row["id"] for row in contract()["behaviour"]]
    assert sorted(set(ids)) == sorted(ids), "an id stands twice"
    assert not set(ids) - set(covered), "rows without a test"
    assert not set(covered) - set(ids), "tests of what the contract does not say"


def test_every_message_has_a_test():
    for path in Path(__file__).parent.glob("test_contract_*.py"):
        importlib.import_module(path.stem)
    assert not set(messages()) - set(raised), "messages without a test"
    assert not set(raised) - set(messages()), "tests of messages that the list does not have"


@pytest.mark.parametrize("row", contract()["absent"], ids=lambda row: row["ask"])
def test_what_is_absent_says_so(row):
    with pytest.raises((ImportError, AttributeError, RuntimeError)) as caught:
        exec(row["ask"], {})
    assert type(caught.value).__name__ == row["kind"]
    assert row["says"] in str(caught.value)
    assert row["why"]
