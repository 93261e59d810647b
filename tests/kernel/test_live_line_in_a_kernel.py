"""While something compiles longer than a second, the cell that waits says so."""

from __future__ import annotations

import pytest
from conftest import PATIENCE

pytestmark = pytest.mark.kernel

SLOW = """
import time
from gaudi_lab.emulator.lazy.compile import CompiledProgram
plain = CompiledProgram._replay
def slow(self):
    time.sleep(1.7)
    return plain(self)
CompiledProgram._replay = slow
"""
AS_BEFORE = "CompiledProgram._replay = plain"


def messages(notebook, code):
    """Return what a cell shows and updates, in order, as pairs of the kind and the text."""
    cell, found = notebook.start(code), []
    while True:
        message = notebook.client.get_iopub_msg(timeout=PATIENCE)
        if message["parent_header"].get("msg_id") != cell:
            continue
        content, kind = message["content"], message["msg_type"]
        if kind in ("display_data", "update_display_data"):
            found.append((kind, content["data"]["text/plain"], content["transient"]["display_id"]))
        elif kind == "status" and content["execution_state"] == "idle":
            assert notebook.answer(cell)["status"] == "ok"
            return found


def test_one_output_is_updated_and_stays_as_what_it_took(notebook):
    notebook.run("%gaudi_mode lazy\n%gaudi_attach net")
    assert messages(notebook, "y = net(x).cpu()") == []
    notebook.run(SLOW)
    try:
        # The thread began in an earlier cell; its output belongs to this one all the same.
        found = messages(notebook, "y = net(torch.ones(5, 4).to('hpu')).cpu()")
        number = notebook.value("In and len(In) - 2")
    finally:
        notebook.run(AS_BEFORE)
    kinds = [kind for kind, _, _ in found]
    assert kinds[0] == "display_data"
    assert set(kinds[1:]) == {"update_display_data"}
    assert len({display for _, _, display in found}) == 1
    first, last = found[0][1], found[-1][1]
    assert first.startswith("compiling a graph for net: input 3×4 → 5×4 · 1.")
    assert last.startswith("compiled a graph for net: input 3×4 → 5×4 · 1.")
    assert last.endswith(f" · cell {number} · emulated on CPU")


def test_it_is_in_a_notebook_that_ran_without_a_browser(tmp_path):
    import nbformat
    from nbclient import NotebookClient
    from nbconvert import HTMLExporter

    cells = [
        "%load_ext gaudi_lab\nimport torch\n%gaudi_mode lazy",
        "net = torch.nn.Linear(4, 4).to('hpu')\n%gaudi_attach net",
        SLOW,
        "y = net(torch.ones(2, 4).to('hpu')).cpu(); z = net(torch.ones(3, 4).to('hpu')).cpu()",
    ]
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(book, timeout=PATIENCE).execute()
    (output,) = book.cells[3].outputs
    assert output["data"]["text/plain"].startswith("compiled a graph for net: input 2×4 → 3×4 · 1.")
    assert "cell 4 · the last of 2 that took longer than a second, 3." in output["data"]["text/plain"]
    page, _ = HTMLExporter().from_notebook_node(book)
    assert "compiled a graph for net: input 2×4 → 3×4" in page


def test_unloading_ends_it(notebook):
    notebook.run("%gaudi_mode lazy\n%gaudi_attach net\ny = net(torch.ones(7, 4).to('hpu')).cpu()")
    notebook.run("%unload_ext gaudi_lab")
    threads = "[t.name for t in __import__('threading').enumerate() if 'live' in t.name]"
    notebook.run("import time; time.sleep(0.3)")
    assert notebook.value(threads) == []
