"""A cell's traceback shows the user's lines and those of the libraries that they call, not ours."""

import re

import pytest
import torch
from IPython.core.interactiveshell import InteractiveShell

from gaudi_lab import bridge
from gaudi_lab.notebook import short_tracebacks


@pytest.fixture
def shell():
    shell = InteractiveShell()
    handle = short_tracebacks.follow(shell)
    yield shell
    handle.remove()


@pytest.fixture
def shown(shell, capsys, workbench):
    """Runs a cell that raises an error, and returns its traceback."""
    shell.user_ns.update(torch=torch, a=torch.ones(2, 3, device="hpu"), b=torch.ones(4, 2, device="hpu"))

    def run(code):
        shell.run_cell(code)
        return re.sub(r"\x1b\[[\d;]*m", "", capsys.readouterr().out)

    return run


@pytest.mark.parametrize("lazy", [False, True])
def test_our_frames_are_counted_instead_of_shown(shown, lazy):
    bridge.set_lazy(lazy)
    text = shown("a @ b")
    assert "----> 1 a @ b" in text
    assert "[... skipping hidden " in text
    assert "dispatch.py" not in text
    assert "During handling" not in text
    assert text.rstrip().endswith("mat1 and mat2 shapes cannot be multiplied (2x3 and 4x2)")
    assert len(text.splitlines()) < 20


def test_what_an_error_was_raised_from_is_shortened_too(shown):
    text = shown(
        "try:\n    a @ b\nexcept RuntimeError as error:\n    raise ValueError('of this cell') from error"
    )
    assert "dispatch.py" not in text
    assert text.count("direct cause") == 1
    assert text.rstrip().endswith("ValueError: of this cell")


def test_others_are_shown_as_ever(shown):
    text = shown("def half(x):\n    return x / 0\n\nhalf(1)")
    assert "skipping hidden" not in text
    assert "in half(x)" in text


def test_nothing_is_left_in_a_module_that_fails_while_it_is_imported():
    module = {"__name__": "gaudi_lab.made_up"}
    with pytest.raises(ZeroDivisionError) as caught:
        exec("1 / 0", module)
    short_tracebacks.hide(caught.value)
    assert "__tracebackhide__" not in module


def test_whoever_shows_errors_already_goes_on(shell):
    other = InteractiveShell()
    seen = []
    other.set_custom_exc((ZeroDivisionError,), lambda *told, tb_offset=None: seen.append(told[1]))
    short_tracebacks.follow(other).remove()
    other.run_cell("1 / 0")
    assert seen == [ZeroDivisionError]


def test_after_it_everything_is_shown_again(capsys, workbench):
    shell = InteractiveShell()
    short_tracebacks.follow(shell).remove()
    shell.user_ns.update(a=torch.ones(2, 3, device="hpu"), b=torch.ones(4, 2, device="hpu"))
    shell.run_cell("a @ b")
    assert "dispatch.py" in capsys.readouterr().out
