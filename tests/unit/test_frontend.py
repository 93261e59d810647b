import sys
from types import SimpleNamespace

import pytest

from gaudi_lab import frontend


@pytest.mark.parametrize(
    ("shell", "notebook"),
    [(None, False), (SimpleNamespace(), False), (SimpleNamespace(kernel=object()), True)],
)
def test_a_notebook_is_a_shell_with_a_kernel(shell, notebook, monkeypatch):
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    assert frontend.in_notebook() is notebook


def test_where_nobody_has_imported_ipython_there_is_no_notebook(monkeypatch):
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert not frontend.in_notebook()
    assert "IPython" not in sys.modules


def test_a_line_of_a_file_is_called_by_its_path():
    assert frontend.name_line("/somewhere/model.py", 3) == "/somewhere/model.py:3"
