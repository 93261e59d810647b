"""What a script of a comparison takes from the notebook's cells."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from gaudi_lab.errors import LabError
from gaudi_lab.notebook import stopped_cells
from gaudi_lab.notebook.compared_code import setup_of, subject_of


def setup(source, *cells):
    return setup_of(source, SimpleNamespace(user_ns={"In": ["", *cells, "the comparison itself"]}))


def test_what_only_ipython_runs_is_left_out_of_cells_that_are_needed():
    cells = (
        "import torch\nget_ipython().run_line_magic('load_ext', 'gaudi_lab')\nx = torch.ones(2)",
        "get_ipython().run_cell_magic('gaudi_warmup', '', 'model(x)\\n')",
        "for n in range(2):\n    get_ipython().system('ls')\n    y = x\nfound = get_ipython().run_line_magic('m', '')",
        "get_ipython().run_line_magic('matplotlib', 'inline')\nz = y % 2\nfiles = get_ipython().getoutput('ls')",
    )
    code = setup("model(z)", *cells)
    assert code == "import torch\nx = torch.ones(2)\n\nfor n in range(2):\n    pass\n    y = x\n\nz = y % 2"
    compile(code, "script", "exec")


def test_a_line_of_python_that_looks_like_a_magic_is_none():
    cell = (
        'x = (\n    "%s"\n    % 3\n)\ntext = """\n%matplotlib inline\n!ls\n"""\nif x\\\n!= text: model = len'
    )
    assert setup("model(x)", cell) == cell


def test_of_a_cell_that_an_error_ended_a_script_takes_what_has_run(monkeypatch):
    cell = "x = 1\nmodel = make(\n    x)\n@f\ndef late(): pass"
    monkeypatch.setattr(stopped_cells, "_stopped", {1: (cell, 2), 2: ("another cell", 1)})
    assert setup("model(x)", cell, "model = len") == "x = 1\n\nmodel = len"
    monkeypatch.setattr(stopped_cells, "_stopped", {1: (cell, 5)})
    assert setup("model(x)", cell) == "x = 1\nmodel = make(\n    x)"


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("modle(x)", "has no modle. Run: %gaudi_compare model(x)"),
        ("f(y) + len(w)", "has no f and no w and no y. Run: %gaudi_compare -h"),
        ("model(x", "no expression"),
        ("x", "no model, Trainer, pipeline or function"),
    ],
)
def test_what_cannot_be_run_is_refused_before_anything_is(source, text):
    with pytest.raises(LabError) as refused:
        subject_of(source, {"model": len, "x": 3})
    assert text in refused.value.for_notebook()
