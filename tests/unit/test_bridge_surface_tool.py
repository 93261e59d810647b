"""tools/bridge_surface.py reads sources and writes down what a program sees of them."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def tool():
    path = Path(__file__).parents[2] / "tools" / "bridge_surface.py"
    spec = importlib.util.spec_from_file_location("bridge_surface", path)
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(path.parent)  # as a script it has its neighbours on its path
        spec.loader.exec_module(module)
    return module


def release(folder, text, flags="", partial=False):
    package = folder / "python_packages" / "habana_frameworks" / "torch"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(text)
    (package / "more.py").write_text("def told(a, *, b=1, **c): raise ValueError(f'{a} is {b}, no number')")
    (folder / "scripts").mkdir()
    (folder / "scripts" / "env_flags.yaml").write_text(flags)
    (folder / ("PARTIAL" if partial else "SOURCE")).write_text("where it is from")
    return folder


FIRST = """
import os
from .more import *
def is_lazy(): ...
if is_lazy():
    class Only:
        def __init__(self, size=2**3): ...
        def go(self, x, y=None): ...
        def _hidden(self): ...
def _hidden(): ...
"""


def test_names_parameters_and_conditions(tool, tmp_path):
    release(tmp_path / "1.1", FIRST)
    names = tool.Source(tmp_path / "1.1").names("habana_frameworks.torch")
    assert names == {
        "told": "from habana_frameworks.torch.more",
        "is_lazy": "()",
        "Only": "class(size=2 ** 3) if is_lazy()",
        "Only.go": "(self, x, y=None) if is_lazy()",
    }
    assert tool.Source(tmp_path / "1.1").names("habana_frameworks.torch.more") == {"told": "(a, *, b=1, **c)"}


def test_what_changes_from_release_to_release(tool, tmp_path):
    variables = 'PT_A:\n  type: bool\n  default: {}\nPT_B:\n  default: ""\n  settable: true\n'
    release(tmp_path / "1.9", "def f(): ...", variables.format("false"))
    release(tmp_path / "1.10", "def f(a=1): ...\ndef g(): ...", variables.format("true"), partial=True)
    found = tool.table(tmp_path)
    assert list(found["releases"]) == ["1.9", "1.10"], "by number, not by letter"
    assert [found["releases"][name]["whole"] for name in ("1.9", "1.10")] == [True, False]
    names = found["modules"]["habana_frameworks.torch"]["names"]
    assert names == {"f": {"1.9": "()", "1.10": "(a=1)"}, "g": {"1.10": "()"}}
    assert found["modules"]["habana_frameworks.torch.more"]["errors"] == {"{} is {}, no number": "1.9 1.10"}
    assert found["flags"]["PT_A"] == {"1.9": [False, False], "1.10": [True, False]}
    assert found["flags"]["PT_B"] == {"1.9 1.10": ["", True]}


def test_of_a_release_without_sources_the_names_that_programs_use(tool, tmp_path):
    kernels = "from .more import *\nfrom .Attention import Attention\n"
    whole = release(tmp_path / "1.1", kernels, "PT_A:\n  default: x\n")
    package = whole / "python_packages" / "habana_frameworks" / "torch"
    (package / "Attention.py").write_text("class Attention: ...\ndef helper(): ...")
    (tmp_path / "1.2" / "programs").mkdir(parents=True)
    (tmp_path / "1.2" / "PROGRAMS").write_text("somebody's programs")
    (tmp_path / "1.2" / "programs" / "a.py").write_text(
        "import habana_frameworks.torch as ht\n"
        "from habana_frameworks.torch import Attention\n"
        "from habana_frameworks.torch.Attention import helper\n"
        "import habana_frameworks.torch.unknown\n"
        "Attention.apply(ht.more.told, ht.newer, ht._hidden, other.told)\n"
    )
    (tmp_path / "1.2" / "programs" / "old.py").write_text("print 'of Python 2'")
    (tmp_path / "1.3").mkdir()
    (tmp_path / "1.3" / "PROGRAMS").write_text("none")
    found = tool.table(tmp_path)
    assert found["releases"]["1.2"] == {"source": "somebody's programs", "whole": False, "modules": 3}
    called = {
        (module.removeprefix("habana_frameworks."), name)
        for module, row in found["modules"].items()
        for name, by_release in row["names"].items()
        if "1.2" in by_release
    }
    assert called == {
        ("torch", "Attention"),
        ("torch", "newer"),
        ("torch.Attention", "helper"),
        ("torch.more", "told"),
    }
    assert found["modules"]["habana_frameworks.torch.more"]["names"]["told"]["1.2"] == "called"
