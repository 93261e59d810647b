"""The magics as a notebook meets them: through a kernel, with queued cells, interrupts and Tab."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from conftest import start_kernel

pytestmark = pytest.mark.kernel

# An attached model is followed: what does that sits in `_compiled_call_impl`, and goes with the model.
WHAT_AN_EDIT_COULD_CHANGE = (
    "(sorted(set(vars(net)) - {'_compiled_call_impl'}), net.forward.__qualname__, sorted(net.state_dict()))"
)


def test_the_quick_start_of_the_readme_runs_as_it_stands():
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    cells = re.findall(r"```python\n(%.*?)```", readme, re.DOTALL)
    assert len(cells) == 2
    with start_kernel() as notebook:
        replies = [notebook.run(cell) for cell in cells]
    assert [reply.status for reply in replies] == ["ok", "ok"], [reply.error for reply in replies]
    said = [line.partition(" ·")[0] for line in replies[0].printed.splitlines() if "→" in line]
    assert said == ["eager → compile", "compile → lazy"]
    assert replies[1].shown[-1]["text/plain"].startswith("lazy + HPU graphs + FusedSDPA")


def test_a_first_session(notebook):
    assert notebook.run("%gaudi_mode").printed.startswith("eager mode · net · emulated on CPU")
    assert notebook.run("%gaudi_mode lazy").printed.startswith("eager → lazy")
    assert "HPU graphs on" in notebook.run("%gaudi_graphs on").printed
    notebook.run("y = net(x); y = net(x)")
    (status,) = notebook.run("%gaudi_status").shown
    assert "3×4, 1 replay" in status["text/plain"]
    assert "3×4, 1 replay" in status["text/html"]


def test_mode_can_be_chosen_before_torch_is_imported(kernel):
    code = """
import subprocess, sys
program = '''
import sys, os
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
shell.run_cell("%load_ext gaudi_lab")
shell.run_cell("%gaudi_mode lazy")
shell.run_cell("import torch; from gaudi_lab import bridge; print(bridge.is_lazy(), bridge.loaded())")
'''
print(subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout)
"""
    printed = kernel.run(code).printed
    assert "eager → lazy" in printed
    assert "switched in place" not in printed
    assert "True True" in printed


def test_a_warm_up_shows_a_row_a_run_and_returns_its_numbers(notebook):
    notebook.run("%gaudi_mode lazy")
    reply = notebook.run("%%gaudi_warmup -n 3\nnet(x)")
    (shown,) = reply.shown
    rows = [line for line in shown["text/plain"].splitlines() if line.lstrip()[:1].isdigit()]
    assert len(rows) == 3
    first, second, third = (row.split("  ")[-1] for row in rows)
    assert first in shown["text/html"]
    assert (first == "–", second, third) == (False, "–", "–")
    assert "emulated on CPU" in shown["text/html"]
    notebook.run("timeline = _")
    assert notebook.value("[i.compilations > 0 for i in timeline.iterations]") == [True, False, False]


def test_an_error_stops_the_cells_behind_it_and_changes_nothing(notebook):
    before = notebook.value(WHAT_AN_EDIT_COULD_CHANGE)
    refused, behind = notebook.start("%gaudi_graphs on"), notebook.start("reached = True")
    reply = notebook.wait(refused)
    assert reply.status == "error"
    assert "UsageError: HPU graphs exist only in lazy mode" in reply.printed
    assert "Run: %gaudi_mode lazy" in reply.printed
    assert "Traceback" not in reply.printed
    assert notebook.wait(behind).status == "aborted"
    assert notebook.value("'reached' in globals()") is False
    assert notebook.value(WHAT_AN_EDIT_COULD_CHANGE) == before
    assert notebook.run("%gaudi_mode").printed.startswith("eager mode")


def test_an_error_in_what_is_measured_is_the_users_own(notebook):
    before = notebook.value(WHAT_AN_EDIT_COULD_CHANGE)
    reply = notebook.run("%%gaudi_warmup\nnet(x[:, :3])")
    assert reply.error.startswith("RuntimeError")
    assert "net(x[:, :3])" in reply.traceback
    assert not re.search(r"gaudi_lab/(notebook|measure|instruments)/", reply.traceback)
    assert notebook.value(WHAT_AN_EDIT_COULD_CHANGE) == before


def test_an_interrupt_shows_what_was_measured_and_leaves_nothing_behind(notebook):
    before = notebook.value(WHAT_AN_EDIT_COULD_CHANGE)
    slow = notebook.start(
        "%%gaudi_warmup -n 1000\nimport time\nfrom gaudi_lab import bridge\n(net(x), time.sleep(0.05))"
    )
    behind = notebook.start("reached = True")
    time.sleep(3)
    notebook.manager.interrupt_kernel()
    reply = notebook.wait(slow)
    assert reply.status == "error"
    (shown,) = reply.shown
    assert "interrupted after" in shown["text/plain"]
    assert "interrupted after" in shown["text/html"]
    assert notebook.wait(behind).status == "aborted"
    assert notebook.value("'reached' in globals()") is False
    assert notebook.value(WHAT_AN_EDIT_COULD_CHANGE) == before
    assert notebook.run("len(net._forward_pre_hooks)").status == "ok"


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("%gaudi_mode ", {"lazy", "eager", "compile"}),
        ("%gaudi_mode l", {"lazy"}),
        ("%gaudi_graphs on ", {"net", "--verify"}),
        ("%gaudi_sdpa on net --softmax f", {"fast", "fp32"}),
    ],
)
def test_tab_offers_what_fits(notebook, line, offered):
    assert set(notebook.complete(line)) == offered


def test_tab_lists_the_magics_by_their_common_beginning(notebook):
    assert {"%gaudi_mode", "%gaudi_graphs", "%gaudi_sdpa", "%gaudi_status"} <= set(
        notebook.complete("%gaudi_")
    )


def test_a_question_mark_shows_the_whole_help(notebook):
    text = notebook.inspect("%gaudi_sdpa")
    for part in ("--recompute", "--softmax", "In Python: gaudi_lab.fused_sdpa"):
        assert part in text


def test_unloading_puts_the_model_back_and_takes_the_magics_away(notebook):
    before = notebook.value(WHAT_AN_EDIT_COULD_CHANGE)
    notebook.run("%gaudi_mode lazy\n%gaudi_graphs on\ny = net(x)")
    assert notebook.value(WHAT_AN_EDIT_COULD_CHANGE) != before
    notebook.run("%unload_ext gaudi_lab")
    assert notebook.value(WHAT_AN_EDIT_COULD_CHANGE) == before
    assert notebook.run("%gaudi_mode").status == "error"
    assert "%gaudi_mode" not in notebook.complete("%gaudi_")
