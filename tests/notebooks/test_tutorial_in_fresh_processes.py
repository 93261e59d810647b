"""The first tutorial where the bridge keeps its mode, as on hardware: the notebook goes over into fresh processes."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

FIRST = Path(__file__).parents[2] / "notebooks" / "01_execution_modes.ipynb"

pytestmark = pytest.mark.notebook


def test_it_runs_from_top_to_bottom(monkeypatch):
    monkeypatch.setenv("GAUDI_LAB_COMPILER", "replay")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("GAUDI_LAB_RELAUNCH", "always")
    monkeypatch.delenv("PT_HPU_LAZY_MODE", raising=False)
    notebook = nbformat.read(FIRST, as_version=4)
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(FIRST.parent)}}).execute()
    printed = "".join(
        output.get("text", "")
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
    )
    for move in ("eager → lazy", "lazy → compile", "compile → lazy"):
        assert f"{move}: fresh process in" in printed
    assert "HPU graphs off until lazy mode returns" in printed
    assert "False" not in printed
