"""Lazy mode with OpenVINO as its compiler, and what that has compiled."""

import sys

import pytest

from gaudi_lab.emulator.lazy import agreement, compilers
from gaudi_lab.emulator.lazy.openvino import constant_variants
from gaudi_lab.emulator.lazy.record import tape, trie


@pytest.fixture(autouse=True)
def by_openvino(lazy, monkeypatch):
    """OpenVINO compiles, and has compiled nothing yet."""
    assert "openvino_telemetry" not in sys.modules
    monkeypatch.setenv("GAUDI_LAB_COMPILER", "openvino")
    monkeypatch.setattr(compilers, "passed_over", [])
    monkeypatch.setattr(agreement, "disagreements", [])
    trie.clear()
    tape.restart()
    yield
    trie.clear()
    tape.restart()


@pytest.fixture
def compiled(monkeypatch):
    """What OpenVINO has compiled: for each variant of a program, the number of its constants."""
    found = []
    make = constant_variants._Variant.__init__

    def noting(self, *args):
        make(self, *args)
        found.append(len(self._constants))

    monkeypatch.setattr(constant_variants._Variant, "__init__", noting)
    return found
