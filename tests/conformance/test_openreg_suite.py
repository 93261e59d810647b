"""How PyTorch's tests for openreg are run: as they are, but for the device's name."""

from __future__ import annotations

from pathlib import Path

import known_failures
import openreg_suite
import pytest

SOURCE = '''
import torch
import torch_openreg
from torch.testing._internal.common_utils import TestCase


class TestOfTheirs(TestCase):
    """OpenReg."""

    def test_device(self):
        self.assertEqual(torch.ones(2, device="openreg").openreg().device.type, "openreg")
        self.assertEqual(torch.openreg.device_count(), 2)

    def test_compiler(self):
        f = torch.compile(lambda x: x + 1, backend="openreg")
        self.assertEqual(f(torch.ones(2, device="openreg")).cpu(), torch.full((2,), 2.0))

    def test_profiler(self):
        with torch.autograd.profiler.profile(use_device="openreg") as profile:
            torch.ones(2, device="openreg") + 1
        self.assertGreater(len(profile.function_events), 0)

    def test_of_a_second_device(self):
        torch.ones(1, device="openreg:2")

    def test_that_fails(self):
        self.assertEqual(torch.ones(1, device="openreg").item(), 2)
'''


@pytest.fixture
def theirs(tmp_path, monkeypatch):
    (tmp_path / "test_theirs.py").write_text(SOURCE)
    (tmp_path / "test_ipc.py").write_text("raise SystemExit")
    monkeypatch.setattr(openreg_suite, "FOLDER", tmp_path)
    monkeypatch.setattr(openreg_suite, "MODES", ("eager",))
    left_out = known_failures.Known(
        openreg_suite.NAME, ("eager",), ("*::test_of_a_second_device",), "one device", "It has one.", False
    )
    monkeypatch.setattr(known_failures, "entries", lambda: (left_out,))
    return tmp_path


def test_they_run_on_the_device_and_the_files_stay_as_they_are(theirs):
    ((row, verdict),) = openreg_suite.runs(1)
    assert (row.passed, row.total) == (3, 4)
    assert verdict.left_out == 1
    assert "1 more do not apply" in row.note
    assert [x.partition(":")[0] for x in verdict.new] == ["TestOfTheirs"]
    assert "test_that_fails" in verdict.new[0]
    assert (theirs / "test_theirs.py").read_text() == SOURCE


def test_without_the_folder_it_is_skipped_by_name(monkeypatch):
    monkeypatch.setattr(openreg_suite, "FOLDER", Path("/nowhere"))
    ((row, verdict),) = openreg_suite.runs(1)
    assert (row.passed, row.total, verdict) == (0, 0, None)
    assert "GAUDI_LAB_SUITES has no openreg" in row.note
