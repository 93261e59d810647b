"""A notebook's page has panels as they were last, without JavaScript."""

import pytest

VIEW, STATES = "application/vnd.jupyter.widget-view+json", "application/vnd.jupyter.widget-state+json"


@pytest.fixture
def pages():
    from gaudi_lab.cli import pages  # imports nbconvert, which takes seconds, and only one worker needs it

    return pages


@pytest.fixture
def saved():
    """A notebook as JupyterLab saves it: a panel that has moved on, somebody else's widget, and one without a state."""
    from nbformat.v4 import new_code_cell, new_notebook, new_output

    cell = new_code_cell("%gaudi_panel")
    cell.outputs = [
        new_output(
            "display_data", {VIEW: {"model_id": name}, "text/html": "<b>at first</b>", "text/plain": name}
        )
        for name in ("panel", "slider", "gone")
    ]
    notebook = new_notebook(cells=[cell])
    state = {"panel": {"state": {"last_html": "<b>at last</b>"}}, "slider": {"state": {"value": 3}}}
    notebook.metadata["widgets"] = {STATES: {"state": state, "version_major": 2, "version_minor": 0}}
    return notebook


def test_a_panel_becomes_its_last_state_and_other_widgets_stay(pages, saved):
    panel, slider, gone = [output.data for output in pages.with_last_state(saved).cells[0].outputs]
    assert (VIEW in panel, panel["text/html"]) == (False, "<b>at last</b>")
    assert (VIEW in slider, slider["text/html"]) == (True, "<b>at first</b>")
    assert (VIEW in gone, gone["text/html"]) == (True, "<b>at first</b>")
    assert VIEW in saved.cells[0].outputs[0].data


def test_nbconvert_itself_makes_the_page(saved, tmp_path):
    import nbformat
    from nbconvert.exporters import get_exporter

    path = tmp_path / "saved.ipynb"
    nbformat.write(saved, path)
    # As `nbconvert --to` finds them.
    plain, ours = [
        get_exporter(to)().from_filename(str(path))[0] for to in ("html", "gaudi_lab.cli.pages.PageExporter")
    ]
    assert "<b>at last</b>" in ours.partition("</head>")[2].partition(STATES)[0]
    # If this fails, nbconvert's own order has changed, and the exporter may no longer be needed.
    assert "<b>at last</b>" not in plain.partition("</head>")[2].partition(STATES)[0]


def test_a_notebook_without_widgets_stays_as_it_is(pages):
    from nbformat.v4 import new_code_cell, new_notebook

    notebook = new_notebook(cells=[new_code_cell("1")])
    assert pages.with_last_state(notebook) == notebook
