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
def window(page: Any, lab_url: str, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A window of its own on a notebook of its own, of the same server; a test may say which cells it has."""
    root = Path(os.environ["GAUDI_LAB_TEST_RUNTIME"]).parent
    name = f"relaunch{len(list(root.glob('relaunch*.ipynb')))}"
    (root / f"{name}.ipynb").write_text(notebook_of(getattr(request, "param", CELLS)), encoding="utf-8")
    window = page.context.new_page()
    window.set_default_timeout(60_000)
    window.goto(
        lab_url.replace("panel.ipynb", f"workspaces/{name}/tree/{name}.ipynb").replace("/lab/tree/", "/lab/")
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


ON_A_GAUDI = [
    """
import os
os.environ["GAUDI_LAB_RELAUNCH"] = "always"  # the mode stays until the process ends, as on hardware
%load_ext gaudi_lab
import socket
import torch
import gaudi_lab
net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU()).eval().requires_grad_(False).to("hpu")
x = torch.randn(3, 4).to("hpu")
expected = net(x).cpu()
sock = socket.socket()
""".strip(),
    "%gaudi_panel",
    "print(gaudi_lab.mode(), 'sock' in globals(), torch.allclose(net(x).cpu(), expected))",
]


@pytest.mark.parametrize("window", [ON_A_GAUDI], indirect=True)
def test_the_panels_mode_asks_takes_the_notebook_along_and_is_alive_afterwards(window):
    command(window, "notebook:run-all-cells")
    panel = output(window, 1).locator(".gl-panel")
    question = panel.locator(".gl-question")
    expect(output(window, 2)).to_contain_text("eager True True", timeout=120_000)

    panel.get_by_role("radio", name="lazy", exact=True).click()
    expect(question).to_contain_text("eager → lazy takes a fresh process")
    expect(question).to_contain_text("sock is a socket.")
    question.get_by_role("button", name="Stay").click()
    expect(question).to_have_count(0)
    expect(panel.get_by_role("radio", name="eager", exact=True)).to_be_checked()

    panel.get_by_role("radio", name="lazy", exact=True).click()
    question.get_by_role("button", name="Go over without sock").click()
    run_again(window, "lazy False True")
    expect(panel.get_by_role("radio", name="lazy", exact=True)).to_be_checked()
    graphs = panel.get_by_role("switch", name="HPU graphs")
    graphs.click()
    expect(graphs).to_have_attribute("aria-checked", "true")
    run_again(window, "lazy False True")
    expect(panel.get_by_role("table", name="Captured HPU graphs")).to_contain_text("3×4")

    panel.get_by_role("radio", name="eager", exact=True).click()
    expect(question).to_contain_text("come along")
    question.get_by_role("button", name="Go over", exact=True).click()
    run_again(window, "eager False True")
    expect(panel.get_by_role("radio", name="eager", exact=True)).to_be_checked()
    expect(graphs).to_have_attribute("aria-disabled", "true")


def run_again(window: Any, printed: str) -> None:
    """Run the last cell until it says so: a click on the panel is dealt with before it or after it."""
    for _ in range(3):
        cell(window, 2).locator(".cm-content").click()
        command(window, "notebook:run-cell")
        idle(window)
        if printed in output(window, 2).inner_text():
            return
    expect(output(window, 2)).to_contain_text(printed)
