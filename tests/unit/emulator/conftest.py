"""The emulated device in both modes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from gaudi_lab import bridge, emulator

_COMPILE, _SCATTER = torch.compile, torch.scatter


@pytest.fixture
def stock_compile(monkeypatch: pytest.MonkeyPatch) -> None:
    """`torch.compile` as PyTorch has it: transformers, where it sees the device, lets it take `hpu_backend` only."""
    monkeypatch.setattr(torch, "compile", _COMPILE)


@pytest.fixture
def stock_scatter(monkeypatch: pytest.MonkeyPatch) -> None:
    """`torch.scatter` as PyTorch has it: that of transformers, where it sees the device, cannot be scripted."""
    monkeypatch.setattr(torch, "scatter", _SCATTER)


@pytest.fixture(scope="session", autouse=True)
def device() -> None:
    """The emulated device, loaded."""
    bridge.load()


@pytest.fixture(params=["eager", "lazy"])
def mode(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each execution mode in turn."""
    emulator.set_lazy(request.param == "lazy")
    yield request.param
    emulator.set_lazy(False)


@pytest.fixture
def lazy() -> Iterator[None]:
    """Lazy mode."""
    emulator.set_lazy(True)
    yield
    emulator.set_lazy(False)
