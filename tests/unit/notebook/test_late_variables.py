"""A variable that the bridge has read already is told with the line that has it in time."""

import pytest
from IPython.core.interactiveshell import InteractiveShell

from gaudi_lab import bridge
from gaudi_lab.notebook import late_variables


@pytest.fixture
def said(workbench, monkeypatch, capsys):
    """Runs cells, which set variables, with the bridge in eager mode; returns what is said below each."""
    monkeypatch.setenv("PT_HPU_LAZY_MODE", "0")
    monkeypatch.setenv("PT_HPU_MAX_COMPOUND_OP_SIZE", "0")
    shell = InteractiveShell()
    handle = late_variables.follow(shell)

    def run(cell="pass", **variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
            cell += f"  # os.environ[{name!r}] = ..."
        shell.run_cell(cell)
        return capsys.readouterr().out

    yield run
    handle.remove()
    assert run(PT_HPU_LAZY_MODE="1") == "", "nothing is left in the shell"


def test_a_mode_that_comes_too_late_is_told_once_with_the_line_to_run(said):
    assert said() == ""
    told = said(PT_HPU_LAZY_MODE="1")
    assert "PT_HPU_LAZY_MODE=1 comes too late: the bridge is loaded, in eager mode" in told
    assert told.endswith("Run: %gaudi_mode lazy\n")
    assert said() == ""


def test_a_mode_that_is_so_already_is_not_told(said):
    bridge.set_lazy(True)
    assert said(PT_HPU_LAZY_MODE="1") == ""


def test_another_variable_of_the_bridge_is_told_with_the_process_that_has_it(said):
    told = said(PT_HPU_RECIPE_CACHE_CONFIG="cache,false,512")
    assert told.endswith("%gaudi_relaunch --env PT_HPU_RECIPE_CACHE_CONFIG=cache,false,512\n")
    assert said(SOMETHING_ELSE="1") == ""
    told = said(PT_HPU_GPU_FLAGS="a b")
    assert told.endswith("%gaudi_relaunch --env 'PT_HPU_GPU_FLAGS=a b'\n")


def test_what_a_library_has_set_for_itself_is_not_told(said):
    cell = "__import__('os').environ['_'.join(['PT_HPU', 'MAX_COMPOUND_OP_SIZE'])] = '1'"
    assert said(cell) == ""


def test_a_mode_that_came_too_late_before_the_extension_is_told_with_it(said, monkeypatch, capsys):
    monkeypatch.setenv("PT_HPU_LAZY_MODE", "1")
    monkeypatch.setattr(bridge, "_chosen", False)
    late_variables.follow(InteractiveShell()).remove()
    assert "in eager mode. Run: %gaudi_mode lazy" in capsys.readouterr().out
    monkeypatch.setattr(bridge, "_chosen", True)
    late_variables.follow(InteractiveShell()).remove()
    assert capsys.readouterr().out == "", "the mode was changed since, and the variable means nothing"


def test_before_the_bridge_is_loaded_nothing_is_late(said, monkeypatch):
    monkeypatch.setattr(bridge, "loaded", lambda: False)
    assert said(PT_HPU_LAZY_MODE="1") == ""
