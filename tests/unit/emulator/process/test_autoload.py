"""Whether importing torch brings `hpu`: what keeps it out, and a real bridge does it by itself."""

from __future__ import annotations

import importlib

import pytest

from gaudi_lab import emulator
from gaudi_lab.emulator.process import autoload, finder


@pytest.mark.parametrize(
    ("setting", "refused"),
    [
        ({}, False),
        ({"GAUDI_LAB_EMULATE": "1"}, False),
        ({"PT_HPU_LAZY_MODE": "1"}, False),
        ({"GAUDI_LAB_EMULATE": "0"}, True),
        ({"PT_HPU_AUTOLOAD": "0"}, True),
        ({"TORCH_DEVICE_BACKEND_AUTOLOAD": "0"}, True),
    ],
)
def test_what_keeps_it_out(setting, refused, monkeypatch):
    for name in ("GAUDI_LAB_EMULATE", "PT_HPU_AUTOLOAD", "TORCH_DEVICE_BACKEND_AUTOLOAD"):
        monkeypatch.delenv(name, raising=False)
    for name, value in setting.items():
        monkeypatch.setenv(name, value)
    assert autoload.is_refused() is refused


def test_a_real_bridge_loads_itself(tmp_path, monkeypatch):
    (tmp_path / "habana_frameworks").mkdir()
    (tmp_path / "habana_frameworks" / "__init__.py").touch()
    importlib.invalidate_caches()
    assert finder.finds_emulated()
    monkeypatch.syspath_prepend(tmp_path)
    assert not finder.finds_emulated()
    monkeypatch.delenv("GAUDI_LAB_EMULATE", raising=False)
    monkeypatch.delenv("TORCH_DEVICE_BACKEND_AUTOLOAD", raising=False)
    monkeypatch.setattr(emulator.importlib, "import_module", lambda name: pytest.fail(name))
    emulator.appear()
