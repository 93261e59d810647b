from __future__ import annotations

import pytest

from gaudi_lab.errors import LabError
from gaudi_lab.handover.rerun import Remembered, find_rerun


def notebook(*cells, remembered=None):
    """Run cells, and return the namespace and the history."""
    namespace: dict[str, object] = {"__name__": "__main__"}
    for number, cell in enumerate(cells, 1):
        exec(cell, namespace)
        if remembered is not None:
            remembered.after_cell(number, cell, namespace)
    return namespace, ["", *cells]


def test_the_last_cell_that_bound_it_is_run_again():
    found = find_rerun("g", *notebook("g = iter([1])", "n = 3", "g = (i for i in range(n)); k = 1", "n2 = n"))
    assert (found.number, found.reads, found.doubts) == (3, ("n",), ())
    assert found.source == "g = (i for i in range(n)); k = 1"
    assert found.also_binds == ("k",)
    assert found.is_established


@pytest.mark.parametrize(
    ("cells", "doubt"),
    [
        (["n = 3", "g = iter(range(n))", "n = 4"], "n was bound again in cell 3"),
        (["n = [3]", "g = iter(n)"], "n is a list, and whether it has changed since is not known"),
        (["g = iter([1])", "g = zip(g)"], "the cell reads g itself, which it would not find again"),
        (["n = 3", "g = iter(range(n))", "del n"], "n is not bound any more"),
        (["n = 3", "g = iter(range(n))", "if n: n += 1"], "n was bound again in cell 3"),
        (["n = 3", "g = iter(range(n))", "def f():\n    global n\n    n = 5"], "n was bound again in cell 3"),
        (
            ["d = [1]", "def f(): return iter(d)", "g = f()"],
            "d is a list, and whether it has changed since is not known",
        ),
    ],
)
def test_an_input_that_is_not_established_is_told(cells, doubt):
    found = find_rerun("g", *notebook(*cells))
    assert doubt in found.doubts
    assert not found.is_established


def test_functions_of_the_notebook_are_followed():
    cells = ["n = 3", "def inner(): return n", "def make(): return (inner() for _ in range(2))", "g = make()"]
    found = find_rerun("g", *notebook(*cells))
    assert found.reads == ("inner", "make", "n")
    assert found.is_established


def test_a_tensor_is_known_by_what_was_taken_down_of_it():
    import torch

    remembered = Remembered()
    cells = ["import torch", "x = torch.ones(2)", "g = (v for v in x)"]
    namespace, history = notebook(*cells, remembered=remembered)
    assert find_rerun("g", namespace, history, remembered).is_established
    assert not find_rerun("g", namespace, history).is_established
    namespace["x"].add_(1)
    assert find_rerun("g", namespace, history, remembered).doubts == (
        "x is a tensor, and whether it was written to since is not known",
    )
    assert isinstance(namespace["x"], torch.Tensor)


@pytest.mark.parametrize(
    "cell",
    ["f = open(p, 'w')", "f = open(p, mode='a')", "import io; f = io.open(p, 'r+')", "m = 'w'; f = open(p, m)",
     "import pathlib; f = pathlib.Path(p).open('x')", "import tempfile; f = tempfile.TemporaryFile()"],
)  # fmt: skip
def test_a_cell_that_opens_a_file_for_writing_is_never_run_again(cell, tmp_path):
    namespace, history = notebook(f"p = {str(tmp_path / 'file')!r}")
    (tmp_path / "file").write_text("") if "r+" in cell else None
    exec(cell, namespace)
    with pytest.raises(LabError, match="opens a file for writing"):
        find_rerun("f", namespace, [*history, cell])
    namespace["f"].close()


def test_a_name_that_holds_an_open_file_is_never_bound_anew(tmp_path):
    namespace, history = notebook("import logging", "def writer(p): return [open(p, chr(119))]")
    cell = f"log = writer({str(tmp_path / 'log')!r})"
    exec(cell, namespace)
    with pytest.raises(LabError, match="opens a file for writing"):
        find_rerun("log", namespace, [*history, cell])
    namespace["log"][0].close()


def test_a_name_that_no_cell_bound_cannot_be_bound_anew():
    with pytest.raises(LabError, match="No cell of this notebook is known to have bound g"):
        find_rerun("g", {"g": iter([])}, ["", "h = 1"])


@pytest.mark.parametrize(
    "cell",
    ["g = 1", "a, (g, *b) = 1, (2, 3)", "for g in [1]: pass", "with open('a') as g: pass", "import os as g",
     "from os import path as g", "def g(): pass", "class g: pass", "async def g(): pass", "[g := 1]",
     "[(g := q) for q in [1]]", "if 1:\n    g = 1", "try:\n    pass\nexcept E as g:\n    pass", "g: int = 1",
     "match 1:\n    case g: pass", "def f():\n    global g\n    g = 1", "g += 1", "del g", "x = await g2\ng = x"],
)  # fmt: skip
def test_every_way_of_binding_is_seen(cell):
    assert find_rerun("g", {"g": 1}, ["", cell]).number == 1


@pytest.mark.parametrize("cell", ["g.a = 1", "g[0] = 1", "def f(): g = 1", "[g for g in [1]]", "lambda g: g"])
def test_what_binds_something_else_is_not(cell):
    with pytest.raises(LabError, match="No cell"):
        find_rerun("g", {"g": 1}, ["", cell])
