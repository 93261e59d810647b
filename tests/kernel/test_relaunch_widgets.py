"""Widgets on screen answer under their ids after their process was replaced, and a click may ask for it."""

from __future__ import annotations

import contextlib
import queue
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Notebook
from replaced import RELAUNCH, hear, small_kernel

pytestmark = pytest.mark.kernel

NEW = "relaunch({'PLANTED': 'yes'}, title='old → new')"

WIDGETS = """
import ipywidgets as W, anywidget, traitlets
class Model: pass
model = Model(); model.clicks = 0
button = W.Button(description='ping')
label = W.Label('n=0')
slider = W.IntSlider(value=3, max=10)
out = W.Output()
box = W.VBox([button, W.HBox([label, slider]), out])
def clicked(b):
    model.clicks += 1
    label.value = f'n={model.clicks}'
    with out: print('clicked', model.clicks, b is button, os.environ.get('PLANTED'))
button.on_click(clicked)
seen = []
slider.observe(lambda change: seen.append((change.old, change.new)), 'value')
W.jslink((slider, 'value'), (W.IntText(), 'value'))
class Counter(anywidget.AnyWidget):
    _esm = 'export default {render() {}}'
    count = traitlets.Int(0).tag(sync=True)
    @traitlets.observe('count')
    def _counted(self, change): model.counted = change.new
counter = Counter(count=1)
ids = {name: globals()[name].model_id for name in ('button', 'label', 'slider', 'box', 'out', 'counter')}
unreferenced = W.Button(description='unreferenced'); unreferenced.on_click(lambda b: setattr(model, 'far', 1))
ids['unreferenced'] = unreferenced.model_id; del unreferenced
"""


@pytest.fixture(scope="module")
def small() -> Iterator[Notebook]:
    with small_kernel(PYTHONPATH=f"{Path(__file__).parent}:{Path(__file__).parents[2]}") as kernel:
        yield kernel


@pytest.fixture
def notebook(small: Notebook) -> Notebook:
    small.run(
        "%reset -f\nif 'ipywidgets' in __import__('sys').modules: __import__('ipywidgets').Widget.close_all()"
    )
    made = small.run(RELAUNCH + WIDGETS)
    assert made.status == "ok", made.error
    return small


def tell(
    notebook: Notebook, widget: str, data: dict[str, Any], subshell: str | None = None
) -> list[tuple[str, Any]]:
    """Send what a front end sends, and return what is published about it until the kernel has dealt with it."""
    message = notebook.client.session.msg("comm_msg", {"comm_id": widget, "data": data})
    if subshell is not None:
        message["header"]["subshell_id"] = subshell
    notebook.client.shell_channel.send(message)
    published: list[tuple[str, Any]] = []
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with contextlib.suppress(queue.Empty):
            heard = notebook.client.get_iopub_msg(timeout=0.1)
            if heard["parent_header"].get("msg_id") == message["header"]["msg_id"]:
                published.append((heard["msg_type"], heard["content"]))
                if heard["content"].get("execution_state") == "idle":
                    return published
    raise AssertionError(published)


def click(notebook: Notebook, widget: str, **more: Any) -> list[tuple[str, Any]]:
    return tell(notebook, widget, {"method": "custom", "content": {"event": "click"}}, **more)


def move(notebook: Notebook, widget: str, **state: Any) -> list[tuple[str, Any]]:
    return tell(notebook, widget, {"method": "update", "state": state, "buffer_paths": []})


def updates(published: list[tuple[str, Any]], widget: str) -> dict[str, Any]:
    """Return what the kernel set on a widget of the front end."""
    found: dict[str, Any] = {}
    for kind, content in published:
        if kind == "comm_msg" and content["comm_id"] == widget and content["data"]["method"] == "update":
            found |= content["data"]["state"]
    return found


def test_what_is_on_screen_stays_alive(notebook):
    ids = notebook.value("ids")
    assert updates(click(notebook, ids["button"]), ids["label"]) == {"value": "n=1"}
    move(notebook, ids["slider"], value=5)
    (heard,) = hear(notebook, notebook.start(NEW))
    assert heard.reply["status"] == "ok", heard.error
    assert "comm_open" not in heard.kinds  # nothing is made anew in the front end
    assert "comm_close" not in heard.kinds
    published = click(notebook, ids["button"])
    assert updates(published, ids["label"]) == {"value": "n=2"}
    move(notebook, ids["slider"], value=7)
    move(notebook, ids["counter"], count=9)
    click(notebook, ids["unreferenced"])
    assert notebook.value("(model.clicks, seen, model.counted, model.far)") == (2, [(3, 5), (5, 7)], 9, 1)
    assert notebook.value("{name: globals()[name].model_id for name in ids if name in globals()}") == {
        name: model_id for name, model_id in ids.items() if name != "unreferenced"
    }
    assert notebook.value("(box.children[0] is button, box.children[1].children[0] is label)") == (True, True)
    assert notebook.value(
        "(slider.value, counter.count, type(counter) is Counter or isinstance(counter, Counter))"
    ) == (7, 9, True)
    run = notebook.run("slider.value = 2; seen[-1]")
    assert run.shown[-1]["text/plain"] == "(7, 2)"


def test_what_an_output_shows_stays_and_goes_on(notebook):
    ids = notebook.value("ids")
    notebook.run("out.append_stdout('before ')")
    notebook.run(NEW)
    notebook.run("out.append_stdout('after')")
    assert notebook.value("''.join(x['text'] for x in out.outputs)") == "before after"
    published = click(notebook, ids["button"])
    printed = [content["text"] for kind, content in published if kind == "stream"]
    assert "".join(printed) == "clicked 1 True yes\n"
    assert updates(published, ids["out"])["msg_id"] == ""


def test_a_second_relaunch_and_new_widgets(notebook):
    notebook.run(f"{NEW}\nlater = W.Button(); later.on_click(clicked)\n{NEW}")
    later = notebook.value("later.model_id")
    ids = notebook.value("ids")
    click(notebook, later)
    click(notebook, ids["button"])
    assert notebook.value("model.clicks") == 2


def test_a_finished_progress_bar_does_not_hinder(notebook):
    notebook.run(
        "from tqdm.notebook import tqdm\nfrom tqdm.auto import tqdm as another_where_there_is_no_notebook\n"
        "bar = tqdm(range(3))\nfor _ in bar: pass\n"
        "for _ in another_where_there_is_no_notebook(range(3)): pass"
    )
    ran = notebook.run(NEW)
    assert ran.status == "ok", ran.error
    assert "came back differently" not in ran.printed
    assert notebook.value("(bar.n, bar.container.children[0].value)")[0] == 3


def test_a_click_may_ask_for_it(notebook):
    notebook.run(
        "import sys; sys.old = True\nbutton.on_click(lambda b: relaunch({'PLANTED': 'by click'}, title='t'))"
    )
    ids = notebook.value("ids")
    published = click(notebook, ids["button"])
    assert [c["execution_state"] for kind, c in published if kind == "status"] == ["busy", "idle"]
    assert notebook.value("(os.environ['PLANTED'], hasattr(sys, 'old'), model.clicks)") == (
        "by click",
        False,
        1,
    )
    click(notebook, ids["unreferenced"])
    assert notebook.value("model.far") == 1


# Since ipykernel 7.4 a comm's messages are handled where it was last sent on. Before, and here, where they ask for it.
BY_SENDER = "for w in (button, slider): vars(w.comm).pop('_reply_subshell_id', None)"


def create_subshell(notebook: Notebook) -> str:
    message = notebook.client.session.msg("create_subshell_request", {})
    notebook.client.control_channel.send(message)
    while True:
        reply = notebook.client.control_channel.get_msg(timeout=30)
        if reply["parent_header"].get("msg_id") == message["header"]["msg_id"]:
            return reply["content"]["subshell_id"]


def test_in_a_subshell_as_jupyterlab_does_it(notebook):
    ids = notebook.value("ids")
    subshell = create_subshell(notebook)
    notebook.run(BY_SENDER)
    assert updates(click(notebook, ids["button"], subshell=subshell), ids["label"]) == {"value": "n=1"}
    notebook.run(NEW)
    assert updates(click(notebook, ids["button"], subshell=subshell), ids["label"]) == {"value": "n=2"}
    notebook.run(
        "import sys; sys.old = True;\nbutton.on_click(lambda b: relaunch({'PLANTED': 'sub'}, title='t'))"
    )
    click(notebook, ids["button"], subshell=subshell)
    assert notebook.value("(os.environ['PLANTED'], hasattr(sys, 'old'), model.clicks)") == ("sub", False, 3)
    assert updates(click(notebook, ids["slider"], subshell=subshell), ids["label"]) == {}


def test_a_click_in_a_subshell_while_a_cell_runs_is_refused(notebook):
    ids = notebook.value("ids")
    subshell = create_subshell(notebook)
    notebook.run(
        "errors = []\n"
        "def ask(b):\n"
        "    try: relaunch({}, title='t')\n"
        "    except Exception as error: errors.append(str(error))\n"
        "button.on_click(ask)\n" + BY_SENDER
    )
    cell = notebook.start("time.sleep(2)")
    time.sleep(0.5)
    click(notebook, ids["button"], subshell=subshell)
    notebook.client.get_shell_msg(timeout=60)
    assert cell
    (error,) = notebook.value("errors")
    assert "A cell is running" in error


def test_a_click_while_it_is_replaced_is_answered_by_the_new_process(notebook):
    ids = notebook.value("ids")
    cell = notebook.start(NEW)
    time.sleep(0.3)
    click(notebook, ids["button"])
    assert notebook.value("(model.clicks, label.value)") == (1, "n=1")
    del cell
