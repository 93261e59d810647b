"""JupyterLab runs a whole notebook with two relaunches in the middle, and what it shows is alive afterwards."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

playwright = pytest.importorskip(
    "playwright.sync_api", reason="Playwright is missing: pip install playwright"
)
expect = playwright.expect

CELLS = [
    """
from gaudi_lab.handover.relaunching import relaunch
import os
import ipywidgets as widgets
class Model: clicks = 0
model = Model()
button, slider = widgets.Button(description="ping"), widgets.IntSlider(value=3, max=10)
label, out = widgets.Label("not yet"), widgets.Output()
def clicked(_):
    model.clicks += 1
    label.value = f"clicked {model.clicks} in {os.environ.get('PLANTED')}"
    with out: print(f"printed {model.clicks}")
button.on_click(clicked)
slider.observe(lambda change: setattr(label, "value", f"moved to {change.new}"), "value")
widgets.VBox([button, widgets.HBox([slider, label]), out])
""".strip(),
    "relaunch({'PLANTED': 'first'}, title='one')\nos.environ['PLANTED']",
    "seen = [os.environ['PLANTED']]",
    "relaunch({'PLANTED': 'second'}, title='two')",
    "print(*seen, os.environ['PLANTED'], model.clicks)",
    "relaunch({'PLANTED': 'third'}, title='three')",
]


def notebook_of(cells: list[str]) -> str:
    kernel = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    made = [
        {
            "cell_type": "code",
            "execution_count": None,
            "id": f"c{n}",
            "metadata": {},
            "outputs": [],
            "source": s,
        }
        for n, s in enumerate(cells)
    ]
    return json.dumps({"cells": made, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5})


@pytest.fixture
def window(page: Any, lab_url: str) -> Iterator[Any]:
    """A window of its own on a notebook of its own, of the same server."""
    root = Path(os.environ["GAUDI_LAB_TEST_RUNTIME"]).parent
    (root / "relaunch.ipynb").write_text(notebook_of(CELLS), encoding="utf-8")
    window = page.context.new_page()
    window.set_default_timeout(60_000)
    window.goto(
        lab_url.replace("panel.ipynb", "workspaces/relaunch/tree/relaunch.ipynb").replace(
            "/lab/tree/", "/lab/"
        )
    )
    window.wait_for_selector(".jp-Notebook .jp-CodeCell")
    idle(window)
    yield window
    window.close()


def idle(window: Any) -> None:
    window.wait_for_function(
        "window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'",
        timeout=60_000,
    )


def command(window: Any, name: str) -> None:
    window.evaluate(
        "async name => { await jupyterapp.restored; await jupyterapp.commands.execute(name) }", name
    )


def cell(window: Any, number: int) -> Any:
    return window.locator(".jp-CodeCell").nth(number)


def output(window: Any, number: int) -> Any:
    return cell(window, number).locator(".jp-Cell-outputArea")


def test_run_all_with_two_relaunches_and_widgets_that_live_on(window):
    command(window, "notebook:run-all-cells")
    expect(output(window, 5)).to_contain_text("three: fresh process in", timeout=120_000)
    idle(window)
    expect(output(window, 1)).to_contain_text("one: fresh process in")
    expect(output(window, 1)).to_contain_text("'first'")
    expect(output(window, 4)).to_contain_text("first second 0")
    for number in range(len(CELLS)):
        expect(cell(window, number).locator(".jp-InputPrompt")).to_have_text(re.compile(rf"\[{number + 1}\]"))

    widgets = output(window, 0)
    widgets.get_by_role("button", name="ping").click()
    expect(widgets).to_contain_text("clicked 1 in third")
    expect(widgets).to_contain_text("printed 1")
    handle = widgets.locator(".noUi-handle")
    handle.focus()
    window.keyboard.press("ArrowRight")
    expect(widgets).to_contain_text("moved to 4")

    cell(window, 3).locator(".cm-content").click()
    command(window, "notebook:run-cell")
    expect(cell(window, 3).locator(".jp-InputPrompt")).to_have_text(re.compile(r"\[7\]"))
    idle(window)
    widgets.get_by_role("button", name="ping").click()
    expect(widgets).to_contain_text("clicked 2 in second")
    expect(widgets).to_contain_text("printed 2")
    handle.focus()
    window.keyboard.press("ArrowRight")
    expect(widgets).to_contain_text("moved to 5")
    expect(window.get_by_role("dialog")).to_have_count(0)
