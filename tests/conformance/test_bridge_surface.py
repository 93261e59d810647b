"""Walks every public module and name of Intel's bridge: each has a row, and is what its row says."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path

import pytest
import surface
from fresh import run

from gaudi_lab import bridge
from gaudi_lab.emulator.process import absent

_ABSENT = [module for module, row in surface.rows().items() if row["is"] != "implemented"]
_RELEASES = [(release, mode) for release in surface.table()["releases"] for mode in ("lazy", "eager")]


@pytest.fixture(scope="module", autouse=True)
def device():
    bridge.load()


def test_every_public_name_has_a_row():
    modules = surface.table()["modules"]
    assert set(surface.rows()) == set(modules)
    for module, row in surface.rows().items():
        assert row["is"] in ("implemented", "refused", "internal")
        assert bool(row.get("internal")) == bool(row.get("why")), module
        known = surface.public(module) | set(modules[module]["names"])
        assert set(row.get("internal", ())) <= known, f"{module}: names that the table does not have"
        assert set(row.get("differs", ())) <= known, f"{module}: names that the table does not have"


@pytest.mark.parametrize("module", _ABSENT)
def test_what_is_absent_says_what_it_is(module):
    with pytest.raises(ModuleNotFoundError) as caught:
        importlib.import_module(module)
    said = str(caught.value)
    assert module in said or any(parent in said for parent in absent.TABLE if module.startswith(parent))
    kind = surface.rows()[module]["is"]
    assert ("internal to Intel's bridge" in said) == (kind == "internal")
    assert ("is not emulated: " in said) == (kind == "refused")
    parent, _, _ = module.rpartition(".")
    try:
        importlib.import_module(parent or module)
    except ModuleNotFoundError:
        return
    assert importlib.util.find_spec(module) is None, "who only asks gets an answer, no exception"


@pytest.mark.parametrize(("release", "mode"), _RELEASES)
def test_names_parameters_and_variables_of_a_release(release, mode):
    found = run(
        f"""
        import sys
        sys.path.insert(0, {str(Path(surface.__file__).parent)!r})
        import surface
        result["names"] = surface.problems({release!r})
        result["variables"] = surface.flag_problems({release!r})
        """,
        GAUDI_LAB_BRIDGE_VERSION=release,
        PT_HPU_LAZY_MODE=str(int(mode == "lazy")),
    )
    assert found["names"] == []
    assert found["variables"] == []


@pytest.mark.parametrize("release", surface.table()["releases"])
def test_errors_are_said_in_the_bridges_words(release):
    for module, texts in surface.errors_not_said(release).items():
        assert set(texts) <= set(surface.rows()[module].get("unsaid", ())), module


def test_the_default_mode_is_that_of_the_table():
    from gaudi_lab.emulator.process.release import default_mode

    for releases, (default, _) in surface.table()["flags"]["PT_HPU_LAZY_MODE"].items():
        for release in releases.split():
            major, minor = map(int, release.split(".")[:2])
            assert default_mode((major, minor)) == str(default)


@pytest.mark.parametrize(
    ("found", "expected", "same"),
    [
        ("(a, b=1)", "(a, b=1)", True),
        ("(a, b=1, c=2)", "(a, b=1)", True),
        ("(a, c=2, b=1)", "(a, b=1)", False),
        ("(a, b=2)", "(a, b=1)", False),
        ("(a, b)", "(a)", False),
        ("(*args, **kwargs)", "(a, b=1)", True),
        ("(a, b=0.0)", "(a, b=0)", True),
        ("(a, b)", "(a, b=required)", True),
    ],
)
def test_which_parameters_mean_the_same(found, expected, same):
    assert surface.takes(found, expected) is same
