"""A process is replaced in the middle of a cell: whoever talks to the kernel notices nothing but the environment."""

from __future__ import annotations

import re
import time

import pytest
from conftest import Notebook
from replaced import RELAUNCH, hear

pytestmark = pytest.mark.kernel

NEW = "relaunch({'PLANTED': 'yes'}, title='old → new')"


@pytest.fixture
def notebook(kernel: Notebook) -> Notebook:
    """A kernel without torch, whose process may be any of several; nothing in it but `relaunch` and `pid`."""
    kernel.run("%reset -f")
    assert kernel.run("import os; os.environ.pop('PLANTED', None)\n" + RELAUNCH).status == "ok"
    return kernel


def test_the_rest_of_the_cell_runs_in_another_process_of_the_same_number(notebook):
    old = "import sys; sys.left_behind = True; print('old', os.environ.get('PLANTED'))"
    new = "print('new', os.environ['PLANTED'], os.getpid() == pid, hasattr(sys, 'left_behind'))"
    cell = f"{old}\n{NEW}\n{new}\n6 * 7"
    (heard,) = hear(notebook, notebook.start(cell))
    assert heard.kinds == ["busy", "execute_input", "stream", "execute_result", "idle"]
    lines = heard.text.splitlines()
    assert lines[0] == "old None"
    assert lines[1].startswith("old → new: fresh process in ")
    assert "kept 5 names" in lines[1]  # relaunch, os, time, pid, sys
    assert lines[2] == "new yes True False"
    assert heard.shown == ["42"]
    assert heard.reply["status"] == "ok"


def test_numbers_inputs_and_outputs_go_on_and_the_history_has_each_cell_once(notebook):
    session = notebook.value("get_ipython().history_manager.session_number")
    first = hear(notebook, notebook.start("'a value'"))[0].reply["execution_count"]
    cell = f"{NEW}\n'another'"
    (heard,) = hear(notebook, notebook.start(cell))
    assert heard.reply["execution_count"] == first + 1
    names = f"_, __, _{first}, Out[{first}], _i, _i{first}"
    assert notebook.value(f"[{names}]") == ["another", "a value", "a value", "a value", cell, "'a value'"]
    assert notebook.value(f"In[{first} + 1]") == cell

    assert notebook.value("get_ipython().history_manager.session_number") == session
    notebook.run("get_ipython().history_manager.writeout_cache()")
    rows = notebook.value("[x[2] for x in get_ipython().history_manager.get_range(0)]")
    assert rows.count(cell) == 1
    stored = notebook.value(
        "[x[0] for x in get_ipython().history_manager.db.execute("
        "'SELECT source_raw FROM history WHERE session = ?', (get_ipython().history_manager.session_number,))]"
    )
    assert stored.count(cell) == 1


def test_an_error_in_the_rest_is_an_error_of_the_cell_at_its_own_line(notebook):
    waiting = [notebook.start(f"{NEW}\n\n1 / 0\nprint('never')"), notebook.start("print('behind')")]
    failed, behind = hear(notebook, *waiting)
    assert failed.kinds == ["busy", "execute_input", "stream", "error", "idle"]
    assert failed.error == "ZeroDivisionError: division by zero"
    traceback = re.sub("\x1b.*?m", "", "\n".join(failed.reply["traceback"]))
    assert "----> 3 1 / 0" in traceback
    assert behind.reply["status"] == "aborted"


def test_cells_behind_run_in_order_each_in_its_process(notebook):
    age = "import sys; sys.age = getattr(sys, 'age', 0) + 1; seen.append(sys.age)"
    cells = [f"seen = []\n{age}", NEW, age, age, NEW, age, f"{NEW}\n{age}", age, "seen"]
    heard = hear(notebook, *map(notebook.start, cells))
    assert [x.reply["status"] for x in heard] == ["ok"] * len(cells)
    counts = [x.reply["execution_count"] for x in heard]
    assert counts == list(range(counts[0], counts[0] + len(cells)))
    assert heard[-1].shown == ["[1, 1, 2, 1, 1, 2]"]


def test_a_cell_may_relaunch_twice(notebook):
    (heard,) = hear(notebook, notebook.start(f"x = 1\n{NEW}\nx += 1\n{NEW}\nx += 1\nx"))
    assert heard.shown == ["3"]
    assert heard.text.count("fresh process") == 2
    assert heard.kinds == ["busy", "execute_input", "stream", "execute_result", "idle"]


def test_other_requests_are_answered_too(notebook):
    cell = notebook.start(f"{NEW}\nimport string")
    others = [
        notebook.client.complete("relau"),
        notebook.client.inspect("relaunch"),
        notebook.client.kernel_info(),
        notebook.client.is_complete("for x in y:"),
        notebook.client.comm_info(),
        notebook.client.history(hist_access_type="tail", n=1),
    ]
    _, completed, inspected, info, complete, comms, history = hear(notebook, cell, *others)
    assert completed.reply["matches"] == ["relaunch"]
    assert "Replace this kernel's process" in inspected.reply["data"]["text/plain"]
    assert info.reply["implementation"] == "ipython"
    assert complete.reply["status"] == "incomplete"
    assert comms.reply["status"] == history.reply["status"] == "ok"


def test_flags_of_the_request_hold_in_the_new_process(notebook):
    before = hear(notebook, notebook.start("0"))[0].reply["execution_count"]
    silent = notebook.client.execute(f"y = 1\n{NEW}\ny = 2\ny", silent=True)
    (heard,) = hear(notebook, silent)
    assert "execute_result" not in heard.kinds
    assert "execute_input" not in heard.kinds
    unstored = notebook.client.execute(f"{NEW}\ny", store_history=False, user_expressions={"double": "2 * y"})
    (heard,) = hear(notebook, unstored)
    assert heard.reply["user_expressions"]["double"]["data"]["text/plain"] == "4"
    assert heard.shown == ["2"]
    (heard,) = hear(notebook, notebook.start("0"))
    assert heard.reply["execution_count"] == before + 1


def test_without_stop_on_error_the_cells_behind_run(notebook):
    failing = notebook.client.execute(f"{NEW}\n1 / 0", stop_on_error=False)
    failed, behind = hear(notebook, failing, notebook.start("'still here'"))
    assert failed.reply["status"] == "error"
    assert behind.shown == ["'still here'"]


def test_an_async_cell_goes_on(notebook):
    cell = f"import asyncio\nawait asyncio.sleep(0)\n{NEW}\nawait asyncio.sleep(0.01)\nos.environ['PLANTED']"
    (heard,) = hear(notebook, notebook.start(cell))
    assert heard.shown == ["'yes'"]
    assert heard.error == ""


@pytest.mark.parametrize(
    ("cell", "where"),
    [
        ("for i in range(2):\n    {}", "a loop"),
        ("with open(os.devnull):\n    {}", "a with block"),
        ("try:\n    {}\nfinally:\n    pass", "a try block"),
        ("if True:\n    {}", "an if block"),
        ("answer = {}", "an assignment"),
        ("def wrapped():\n    {}\nwrapped()", "wrapped(...)"),
        ("__import__('functools').partial(relaunch)(dict(), title='')", "partial"),
        ("print({})", "print(...)"),
        ("[{} for i in range(2)]", "an expression"),
        ("%time {}", "%time"),
        ("%%time\n{}", "%%time"),
        ("x = 1; {}", "shares its line"),
        ("exec({!r})", "exec(...)"),
    ],
)
def test_elsewhere_than_on_a_line_of_its_own_it_is_refused(notebook, cell, where):
    notebook.run("import sys; sys.still_the_same = True")
    reply = notebook.run(cell.format(NEW))
    assert reply.status == "error"
    assert "cannot be replaced from here" in reply.error
    assert where in reply.error
    assert notebook.value("(sys.still_the_same, 'PLANTED' in os.environ)") == (True, False)


def test_callbacks_and_magics_of_the_notebook_come_along_and_are_called_once_a_cell(notebook):
    notebook.run(
        "from IPython.core.magic import register_line_magic\n"
        "calls = []\n"
        "def began(*_): calls.append('began')\n"
        "class Watch:\n"
        "    def ended(self, *_): calls.append('ended')\n"
        "ip, watch = get_ipython(), Watch()\n"
        "ip.events.register('pre_run_cell', began)\n"
        "ip.events.register('post_run_cell', watch.ended)\n"
        "@register_line_magic\n"
        "def double(line): return 2 * int(line)\n"
        "calls.clear()"
    )
    notebook.run(NEW)
    assert notebook.value("calls") == ["ended", "began", "ended", "began"]
    assert hear(notebook, notebook.start("%double 21"))[0].shown == ["42"]
    notebook.run(
        "ip.events.unregister('pre_run_cell', began)\nip.events.unregister('post_run_cell', watch.ended)"
    )


def test_settings_extensions_sources_and_the_search_path_come_along(notebook, tmp_path):
    (tmp_path / "planted_module.py").write_text("class Thing: value = 7\n")
    notebook.run(f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import planted_module")
    notebook.run("thing = planted_module.Thing()")
    notebook.run("def fails():\n    return 1 / 0  # here")
    notebook.run(
        "%load_ext autoreload\n%xmode Plain\n%config InteractiveShell.ast_node_interactivity = 'all'"
    )
    (heard,) = hear(notebook, notebook.start(f"{NEW}\n1\n2"))
    assert heard.shown == ["1", "2"]
    assert notebook.value("'IPython.extensions.autoreload' in get_ipython().extension_manager.loaded") is True
    assert notebook.value("get_ipython().InteractiveTB.mode") == "Plain"
    notebook.run("%xmode Context\n%config InteractiveShell.ast_node_interactivity = 'last_expr'")
    assert "# here" in notebook.run("fails()").traceback
    assert "# here" in notebook.value("__import__('inspect').getsource(fails)")
    assert notebook.value("(thing.value, isinstance(thing, planted_module.Thing))") == (7, True)


def test_a_module_that_is_a_part_of_another_comes_along(notebook, tmp_path):
    (tmp_path / "planted_whole").mkdir()
    (tmp_path / "planted_whole" / "__init__.py").touch()
    (tmp_path / "planted_whole" / "part.py").write_text("value = 7\n")
    notebook.run(f"import sys; sys.path.insert(0, {str(tmp_path)!r})\nimport planted_whole.part")
    assert hear(notebook, notebook.start(f"{NEW}\nplanted_whole.part.value"))[0].shown == ["7"]


def test_a_file_beside_the_notebook_stands_before_none_of_pythons(notebook, tmp_path):
    (tmp_path / "random.py").write_text("raise RuntimeError('not the one of Python')\n")
    notebook.run(f"before = os.getcwd(); os.chdir({str(tmp_path)!r})")
    (heard,) = hear(notebook, notebook.start(f"{NEW}\nimport random\nos.path.basename(random.__file__)"))
    assert heard.shown == ["'random.py'"], heard.error
    assert notebook.run("os.chdir(before)").status == "ok"


def test_an_interrupt_and_a_restart_work_afterwards(notebook):
    notebook.run(NEW)
    cell = notebook.start("time.sleep(60)")
    time.sleep(0.5)
    notebook.manager.interrupt_kernel()
    assert "KeyboardInterrupt" in notebook.wait(cell).error
    cell = notebook.start(f"{NEW}\nprint('sleeping')\ntime.sleep(60)")
    while "sleeping" not in notebook.client.get_iopub_msg(timeout=60)["content"].get("text", ""):
        pass
    notebook.manager.interrupt_kernel()
    assert "KeyboardInterrupt" in notebook.wait(cell).error
    interrupt = notebook.client.session.msg("interrupt_request", {})
    cell = notebook.start("time.sleep(60)")
    time.sleep(0.5)
    notebook.client.control_channel.send(interrupt)
    assert "KeyboardInterrupt" in notebook.wait(cell).error
    notebook.manager.restart_kernel()
    notebook.client.wait_for_ready(timeout=60)
    assert notebook.value("'relaunch' in globals()") is False
    assert notebook.run(RELAUNCH).status == "ok"
    assert notebook.run(f"{NEW}").status == "ok"
