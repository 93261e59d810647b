"""What unit tests share: a small fast emulated bridge, and a workbench that is left as it was found."""

from __future__ import annotations

import os

# Before torch: replay needs no C++ compiler, and one thread does not fight the other test workers for cores.
os.environ.setdefault("GAUDI_LAB_COMPILER", "replay")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import gc
import importlib.util
from collections.abc import Iterator

import pytest

from gaudi_lab import bridge
from gaudi_lab.emulator.lazy.openvino.openvino_import import import_openvino
from gaudi_lab.workbench import lab

# As the compiler imports it, and before a test module does: else it reports home, in a process for each compile.
if importlib.util.find_spec("openvino") is not None:
    import_openvino()


def pytest_collection_finish() -> None:
    """Have the garbage collector look at what tests make, and not at all of PyTorch and transformers each time."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def workbench() -> Iterator[lab.Lab]:
    """The workbench of this process, empty and in eager mode, with no program that another test has compiled."""
    bridge.load()
    from gaudi_lab.emulator.lazy import record

    current = lab.current()
    current.close()
    bridge.set_lazy(False)
    record.trie.clear()
    record.tape.restart()
    yield current
    current.close()
    bridge.set_lazy(False)


@pytest.fixture
def undecided(workbench: lab.Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has chosen a mode yet: it is the release's default."""
    monkeypatch.setattr(bridge, "_chosen", False)


@pytest.fixture
def net(workbench: lab.Lab):
    """A small network on the device, ready for inference."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)).eval().requires_grad_(False).to("hpu")


@pytest.fixture
def bert(workbench: lab.Lab):
    """A transformers encoder with two tiny layers, on the device."""
    from tests.unit import tiny_models

    return tiny_models.bert().eval().requires_grad_(False).to("hpu")
