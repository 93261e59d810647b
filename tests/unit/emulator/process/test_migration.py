"""When the environment asks for GPU migration."""

from __future__ import annotations

import pytest

from gaudi_lab.emulator.process import migration


@pytest.mark.parametrize(("value", "asked"), [("1", True), ("true", True), ("0", False), (None, False)])
def test_what_asks_for_it(value, asked, monkeypatch):
    monkeypatch.delenv("PT_HPU_GPU_MIGRATION", raising=False)
    if value is not None:
        monkeypatch.setenv("PT_HPU_GPU_MIGRATION", value)
    assert migration.is_asked_for() is asked
