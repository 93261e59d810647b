"""How the bridge's own tests are run: a fixed sample, and a case that ends its process costs only itself."""

from __future__ import annotations

import textwrap
from pathlib import Path

import bridge_suite
import pytest


@pytest.fixture
def suite(tmp_path, monkeypatch):
    """Return the runner over a suite made here."""
    (tmp_path / "conftest.py").write_text("def pytest_addoption(parser):\n    parser.addoption('--mode')\n")
    folder = tmp_path / "any_mode"
    folder.mkdir()
    (folder / "test_many.py").write_text(
        textwrap.dedent("""
            import os, time, pytest

            @pytest.mark.parametrize("n", range(40))
            def test_of_many(n):
                pass

            def test_that_aborts():
                os._exit(134)

            def test_behind_it():
                assert 1 == 2, "one is not two"

            def test_that_hangs():
                time.sleep(600)

            def test_skipped():
                pytest.skip("not here")

            @pytest.mark.xfail
            def test_expected():
                raise ValueError

            def test_device():
                import torch, habana_frameworks.torch
                assert torch.ones(2, device="hpu").sum().item() == 2
            """)
    )
    (folder / "test_broken.py").write_text("import a_closed_package\n")
    monkeypatch.setattr(bridge_suite, "FOLDER", tmp_path)
    monkeypatch.setattr(bridge_suite, "LIMIT", 15.0)
    return bridge_suite


def test_what_became_of_each_case(suite):
    (files,) = suite._parts("eager")
    assert files == ["any_mode/test_broken.py", "any_mode/test_many.py"]
    shard = suite._shard("eager", files)
    problems = {outcome.case.rpartition("::")[2]: outcome.problems for outcome in shard.outcomes}
    many = [name for name in problems if name.startswith("test_of_many")]
    assert len(many) == suite.MOST
    assert not any(problems[name] for name in [*many, "test_device"])
    assert "ended with 134" in problems["test_that_aborts"][0]
    assert "one is not two" in problems["test_behind_it"][0]
    assert "stopped after 15 s" in problems["test_that_hangs"][0]
    assert "No module named 'a_closed_package'" in problems["any_mode/test_broken.py"][0]
    assert (shard.skipped, shard.aborted) == (2, 2)


def test_without_the_tree_it_is_skipped_by_name(suite, monkeypatch):
    monkeypatch.setattr(suite, "FOLDER", Path("/nowhere"))
    ((row, verdict),) = suite.runs(1)
    assert (row.passed, row.total, verdict) == (0, 0, None)
    assert "GAUDI_LAB_SUITES has no gaudi-pytorch-bridge" in row.note
