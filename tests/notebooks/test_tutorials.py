"""Every tutorial runs in a real kernel, and reads well where nothing can run."""

from __future__ import annotations

import os
import re
from html.parser import HTMLParser
from pathlib import Path

import jupytext
import nbformat
import pytest
from nbclient import NotebookClient
from nbconvert import HTMLExporter

FOLDER = Path(__file__).parents[2] / "notebooks"
TUTORIALS = sorted(FOLDER.glob("*.ipynb"))
PATIENCE = 600

pytestmark = [pytest.mark.notebook, pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)]


LIVE_LINE = re.compile(r"(compiled|compiling|captured|capturing) .* · \d+\.\d s · ")


def outputs(notebook):
    """Return the outputs of a notebook, but for what a compile leaves that took long on this machine."""
    return [
        output
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if not LIVE_LINE.match(output.get("data", {}).get("text/plain", ""))
    ]


def test_it_runs_in_a_real_kernel(path, monkeypatch):
    monkeypatch.setenv("GAUDI_LAB_COMPILER", os.environ.get("GAUDI_LAB_COMPILER", "replay"))
    monkeypatch.setenv("OMP_NUM_THREADS", os.environ.get("OMP_NUM_THREADS", "1"))
    monkeypatch.delenv("PT_HPU_LAZY_MODE", raising=False)
    notebook = nbformat.read(path, as_version=4)
    # Cells tagged raises-exception may fail, all others must not: nbclient raises if they do.
    NotebookClient(notebook, timeout=PATIENCE, resources={"metadata": {"path": str(path.parent)}}).execute()
    kinds = [sorted(output.get("data", {})) for output in outputs(notebook)]
    committed = [sorted(output.get("data", {})) for output in outputs(nbformat.read(path, as_version=4))]
    assert [kind for kind in kinds if kind] == [kind for kind in committed if kind]


def test_its_outputs_are_committed_and_none_failed_by_accident(path):
    notebook = nbformat.read(path, as_version=4)
    assert any("text/html" in output.get("data", {}) for output in outputs(notebook))
    for cell in notebook.cells:
        if cell.cell_type == "code" and "raises-exception" not in cell.metadata.get("tags", []):
            assert cell.execution_count is not None, cell.source
            assert not [output for output in cell.outputs if output.output_type == "error"], cell.source


def test_github_can_show_it(path):
    # GitHub refuses a notebook that mentions widgets without their state.
    widgets = nbformat.read(path, as_version=4).metadata.get("widgets")
    assert widgets is None or all("state" in content for content in widgets.values())


def test_every_result_on_the_emulated_bridge_says_so_in_every_form(path):
    for output in outputs(nbformat.read(path, as_version=4)):
        data = output.get("data", {})
        if "gl-result" in data.get("text/html", ""):
            assert "emulated on CPU" in data["text/html"]
            assert "emulated on CPU" in data["text/plain"]


def test_its_tables_are_there_without_javascript(path):
    page, _ = HTMLExporter().from_notebook_node(nbformat.read(path, as_version=4))
    tables = Tables(page).rows
    assert any("wall time" in row for row in tables)
    assert any("HPU graphs" in row or "what to change" in row for row in tables)


def test_its_twin_says_the_same(path):
    twin = jupytext.read(path.with_suffix(".py"))
    notebook = nbformat.read(path, as_version=4)
    assert [(cell.cell_type, cell.source) for cell in twin.cells] == [
        (cell.cell_type, cell.source) for cell in notebook.cells
    ]


class Tables(HTMLParser):
    """The table rows of a page as text, with all that scripts would add left out."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.rows: list[str] = []
        self._in_row = False
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        if tag == "tr":
            self.rows.append("")
            self._in_row = True

    def handle_endtag(self, tag):
        if tag == "tr":
            self._in_row = False

    def handle_data(self, data):
        if self._in_row:
            self.rows[-1] += data
