"""`gaudi-lab tour`: notebooks run without a browser."""

import nbformat
from nbformat.v4 import new_code_cell, new_notebook

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


def _notebook(folder, source):
    path = folder / "small.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell(source)]), path)
    return path


PANEL = """
%load_ext gaudi_lab
%gaudi_mode lazy
import torch
net = torch.nn.Linear(4, 4).to("hpu")
%gaudi_panel
"""
CALLS = "for rows in (2, 3): net(torch.ones(rows, 4).to('hpu')).cpu()"


def test_a_panel_is_in_the_page_as_it_was_last(tmp_path, monkeypatch):
    monkeypatch.setenv("GAUDI_LAB_COMPILER", "replay")
    path = tmp_path / "panel.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell(PANEL), new_code_cell(CALLS)]), path)
    assert main(["tour", str(path), "--out", str(tmp_path / "site")]) == 0
    page = (tmp_path / "site" / "panel.html").read_text()
    # Without the script that holds the widgets' states, for a reader without JavaScript.
    body = page.partition("</head>")[2].partition(
        '<script type="application/vnd.jupyter.widget-state+json">'
    )[0]
    assert "widget-view+json" not in body
    for fact in ("lazy mode", "emulated on CPU", "input 2×4 → 3×4", "2 graphs compiled"):
        assert fact in body
    assert "→ one batch size" in body.partition("input 2×4 → 3×4")[2][:200]
