"""A notebook with two relaunches in it, run from top to bottom by the programs that do so."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.kernel

CELLS = [
    "from gaudi_lab.handover.relaunching import relaunch\nimport os\nx = [40]\nalias = x",
    "relaunch({'PLANTED': 'first'}, title='one')\nx.append(os.environ['PLANTED'])\nx",
    "x.append(41)",
    "relaunch({'PLANTED': 'second'}, title='two')",
    "x.append(os.environ['PLANTED'])\nassert alias is x\nx",
]


@pytest.fixture
def book(tmp_path: Path) -> Path:
    nbformat = pytest.importorskip("nbformat")
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    made.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    path = tmp_path / "two_relaunches.ipynb"
    nbformat.write(made, path)
    return path


def test_nbclient(book):
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    read = nbformat.read(book, as_version=4)
    nbclient.NotebookClient(read, timeout=120, kernel_name="python3").execute()
    assert [cell.execution_count for cell in read.cells] == [1, 2, 3, 4, 5]
    printed, shown = read.cells[1].outputs
    assert printed.text.startswith("one: fresh process in ")
    assert shown.data["text/plain"] == "[40, 'first']"
    assert [output.text.partition(":")[0] for output in read.cells[3].outputs] == ["two"]
    assert read.cells[4].outputs[0].data["text/plain"] == "[40, 'first', 41, 'second']"


def test_nbmake(book):
    pytest.importorskip("nbmake")
    command = [sys.executable, "-m", "pytest", "--nbmake", book.name, "-q", "-p", "no:cacheprovider"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    ended = subprocess.run(
        command, cwd=book.parent, env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "1 passed" in ended.stdout
