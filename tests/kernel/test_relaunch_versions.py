"""The same with other versions of ipykernel, which GAUDI_LAB_IPYKERNELS names: folders that pip has filled.

Such as `pip install --no-deps --target FOLDER ipykernel==6.30.1`, several of them with colons between.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Notebook
from replaced import hear, small_kernel

pytestmark = pytest.mark.kernel

FOLDERS = [folder for folder in os.environ.get("GAUDI_LAB_IPYKERNELS", "").split(":") if folder]
NEW = "relaunch({'PLANTED': 'yes'}, title='old → new')"


@pytest.fixture(scope="module", params=FOLDERS or [None])
def notebook(request: pytest.FixtureRequest) -> Iterator[Notebook]:
    if request.param is None:
        pytest.skip("GAUDI_LAB_IPYKERNELS names no folder with another ipykernel")
    with small_kernel(PYTHONPATH=f"{request.param}:{Path(__file__).parents[2]}") as kernel:
        assert kernel.value("__import__('ipykernel').__file__").startswith(request.param)
        yield kernel


def test_the_rest_of_the_cell(notebook):
    (heard,) = hear(notebook, notebook.start(f"{NEW}\nos.environ['PLANTED']"))
    assert heard.kinds == ["busy", "execute_input", "stream", "execute_result", "idle"]
    assert heard.shown == ["'yes'"]


def test_cells_behind(notebook):
    age = "import sys; sys.age = getattr(sys, 'age', 0) + 1; seen.append(sys.age)"
    cells = ["seen = []", NEW, age, age, NEW, age, f"{NEW}\n{age}", "seen", f"{NEW}\n1/0", "seen"]
    heard = hear(notebook, *map(notebook.start, cells))
    assert heard[-3].shown == ["[1, 2, 1, 1]"]
    assert [x.reply["status"] for x in heard[-2:]] == ["error", "aborted"]


def test_an_async_cell_and_other_requests(notebook):
    cell = f"import asyncio\nawait asyncio.sleep(0)\n{NEW}\nawait asyncio.sleep(0.01)\n5"
    heard, completed = hear(notebook, notebook.start(cell), notebook.client.complete("relau"))
    assert heard.shown == ["5"]
    assert completed.reply["matches"] == ["relaunch"]


def test_a_refusal_and_an_interrupt(notebook):
    notebook.run("import sys; sys.old = True; g = (n for n in range(3))")
    assert "g is a running generator" in notebook.run(NEW).error
    assert notebook.value("(sys.old, next(g))") == (True, 0)
    notebook.run("del g")
    cell = notebook.start("time.sleep(60)")
    time.sleep(0.5)
    notebook.manager.interrupt_kernel()
    assert "KeyboardInterrupt" in notebook.wait(cell).error


def test_a_widget(notebook):
    notebook.run(
        "import ipywidgets\nslider = ipywidgets.IntSlider()\nseen = []\n"
        "slider.observe(lambda change: seen.append(change.new), 'value')"
    )
    identity = notebook.value("slider.model_id")
    notebook.run(NEW)
    data = {"method": "update", "state": {"value": 7}, "buffer_paths": []}
    notebook.client.shell_channel.send(
        notebook.client.session.msg("comm_msg", {"comm_id": identity, "data": data})
    )
    assert notebook.value("(slider.value, seen)") == (7, [7])


def test_if_the_process_cannot_be_replaced(notebook):
    notebook.run(f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import planted_companion")
    notebook.run("os.execve = planted_companion.no_memory; sys.old = True")
    failed, behind = hear(notebook, notebook.start(NEW), notebook.start("1"))
    assert "Cannot allocate memory" in failed.error
    assert behind.reply["status"] == "aborted"
    assert notebook.value("sys.old") is True
    notebook.run("os.execve = __import__('posix').execve")
    assert notebook.run(NEW).status == "ok"
