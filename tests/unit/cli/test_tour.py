"""`gaudi-lab tour`: notebooks run without a browser."""

import pytest

from gaudi_lab.cli import tour
from gaudi_lab.cli.main import main


def test_tour_runs_a_notebook_and_leaves_html(tmp_path, capsys):
    notebook = _notebook(tmp_path, "print('seen' + ' here')")
    assert main(["tour", str(notebook), "--out", str(tmp_path / "site")]) == 0
    assert "seen here" in (tmp_path / "site" / "small.html").read_text()


def test_tour_fails_and_names_the_error_when_a_cell_fails(tmp_path, capsys):
    notebook = _notebook(tmp_path, "1 / 0")
    assert main(["tour", str(notebook), "--out", str(tmp_path / "site")]) == 1
    assert "ZeroDivisionError" in capsys.readouterr().out
    assert (tmp_path / "site" / "small.html").exists()


def test_tutorials_are_those_of_the_checkout():
    assert (tour.notebooks_folder() / tour.FIRST).exists()


def test_without_a_checkout_it_says_where_they_are(tmp_path, monkeypatch):
    monkeypatch.setattr(tour, "__file__", str(tmp_path / "gaudi_lab" / "cli" / "tour.py"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match="folder `notebooks` of a checkout"):
        tour.notebooks_folder()


def _notebook(folder, source):
    import nbformat
    from nbformat.v4 import new_code_cell, new_notebook

    path = folder / "small.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell(source)]), path)
    return path
