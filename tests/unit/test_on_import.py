"""What is to be done as soon as a module is loaded."""

import importlib
import importlib.util
import sys

import pytest

from gaudi_lab.on_import import when_loaded


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "comes_later.py").write_text("there = True\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "comes_later", raising=False)
    yield "comes_later"
    sys.modules.pop("comes_later", None)


def test_it_is_done_when_the_module_is_whole_and_once(module):
    finders = list(sys.meta_path)
    seen = []
    for name in ("first", "second"):
        when_loaded(module, lambda name=name: seen.append((name, sys.modules[module].there)))
    assert importlib.util.find_spec(module) is not None  # asking whether there is one loads nothing
    assert seen == []
    importlib.import_module(module)
    assert seen == [("first", True), ("second", True)]
    importlib.reload(sys.modules[module])
    assert len(seen) == 2
    assert sys.meta_path == finders


def test_it_is_done_at_once_if_the_module_is_there(module):
    importlib.import_module(module)
    seen = []
    when_loaded(module, lambda: seen.append(module))
    assert seen == [module]


def test_it_can_be_forgotten(module):
    seen = []
    when_loaded(module, lambda: seen.append(module))()
    importlib.import_module(module)
    assert seen == []


def test_a_module_that_fails_is_waited_for_again(module, tmp_path):
    path = tmp_path / "comes_later.py"
    path.write_text("1 / 0\n")
    seen = []
    when_loaded(module, lambda: seen.append(module))
    with pytest.raises(ZeroDivisionError):
        importlib.import_module(module)
    assert seen == []
    path.write_text("there = 'this time'\n")
    importlib.import_module(module)
    assert seen == [module]
