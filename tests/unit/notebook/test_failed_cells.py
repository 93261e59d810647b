"""What an error of the bridge means is said below the traceback, and nothing of other errors."""

import pytest
from IPython.core.interactiveshell import InteractiveShell

from gaudi_lab.errors import LabError
from gaudi_lab.notebook import failed_cells

HELD = "synStatus=8 [Device not found] Device acquire failed."


@pytest.fixture
def said(capsys):
    """Runs a cell that raises an error, and returns what is printed after its traceback."""
    shell = InteractiveShell()
    shell.showtraceback = lambda *_, **__: None  # what is printed is then ours
    handle = failed_cells.follow(shell)

    def run(code, **names):
        shell.user_ns.update(names)
        shell.run_cell(code)
        return capsys.readouterr().out.strip()

    yield run
    handle.remove()
    assert run("raise RuntimeError('Device acquire failed')") == "", "nothing is left in the shell"


def test_an_error_of_the_bridge_is_explained(said):
    assert said(f"raise RuntimeError({HELD!r})").startswith("No Gaudi answered; most often another notebook")


def test_it_is_explained_where_a_library_raised_its_own_of_it(said):
    code = f"try: raise RuntimeError({HELD!r})\nexcept RuntimeError as e: raise ValueError('no model') from e"
    assert said(code).startswith("No Gaudi answered")


def test_what_is_in_plain_words_already_is_not_explained_again(said):
    code = f"try: raise RuntimeError({HELD!r})\nexcept RuntimeError as e: raise LabError('held') from e"
    assert said(code, LabError=LabError) == ""


def test_an_error_that_is_raised_from_itself_or_while_another_is_dealt_with_is_explained(said):
    code = f"try: raise RuntimeError({HELD!r})\nexcept RuntimeError as e: raise "
    assert said(f"{code}e from e").startswith("No Gaudi answered")
    assert said(f"{code}ValueError('no model')").startswith("No Gaudi answered")


def test_nothing_is_said_of_other_errors_and_of_cells_that_go_well(said):
    assert said("raise ValueError('of something else')") == ""
    assert said("one = 1") == ""
