"""GPU migration is refused in one sentence."""

from __future__ import annotations

import subprocess
import sys

import pytest

from gaudi_lab.emulator.process import migration


def test_a_program_for_cuda_stops(monkeypatch):
    for name, value in {
        "PT_HPU_GPU_MIGRATION": "1",
        "GAUDI_LAB_EMULATE": "1",
        "PT_HPU_LAZY_MODE": "1",
    }.items():
        monkeypatch.setenv(name, value)
    done = subprocess.run(
        [sys.executable, "-c", "import torch; print(torch.cuda.is_available())"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"PT_HPU_GPU_MIGRATION=1: {migration.REFUSAL}, and unset the variable.\n"


@pytest.mark.parametrize(("value", "asked"), [("1", True), ("true", True), ("0", False), (None, False)])
def test_what_asks_for_it(value, asked, monkeypatch):
    monkeypatch.delitem(sys.modules, "diffusers", raising=False)
    monkeypatch.delenv("PT_HPU_GPU_MIGRATION", raising=False)
    if value is not None:
        monkeypatch.setenv("PT_HPU_GPU_MIGRATION", value)
    assert migration.is_asked_for() is asked
    monkeypatch.setitem(sys.modules, "diffusers", sys)  # it sets the variable itself
    assert not migration.is_asked_for()
