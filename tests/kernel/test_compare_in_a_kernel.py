"""`%gaudi_compare` and `%gaudi_export` in a real kernel, as they are typed."""

from __future__ import annotations

import re

import pytest

pytestmark = pytest.mark.kernel


def test_a_model_is_compared_and_its_script_is_written_once(notebook, tmp_path):
    compared = notebook.run('%gaudi_compare --rounds 2 --settings "eager; lazy + HPU graphs" net(x)')
    assert compared.status == "ok", compared.error
    progress, shown = compared.shown
    assert progress["text/plain"].startswith("comparing 2 settings in 2 rounds · turn 1 of 6")
    over = compared.updated[-1]["text/plain"]
    assert re.fullmatch(r"compared 2 settings in 2 rounds · took \d+ s · emulated on CPU", over)
    assert "2 of 2 settings timed" in shown["text/plain"]
    assert "<table>" in shown["text/html"]
    path = tmp_path / "winner.py"
    assert notebook.run(f"%gaudi_export {path}").status == "ok"
    code = path.read_text()
    compile(code, "winner.py", "exec")
    assert "net = nn.Sequential" in code
    assert "%" not in code
    again = notebook.run(f"%gaudi_export {path}")
    assert "is there already" in again.printed
    assert path.read_text() == code


def test_a_model_on_the_host_is_compared_and_its_script_moves_it(notebook, tmp_path):
    import os
    import subprocess
    import sys

    notebook.run("mine = nn.Linear(4, 2).eval()\nbatch = {'input': torch.ones(3, 4)}")
    compared = notebook.run('%gaudi_compare --rounds 1 --settings "eager; lazy" mine(**batch)')
    assert compared.status == "ok", compared.error
    assert "mine was on the host, and was moved to hpu where it was tried" in compared.shown[-1]["text/plain"]
    path = tmp_path / "winner.py"
    assert notebook.run(f"%gaudi_export {path}").status == "ok"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PT_HPU")}
    done = subprocess.run(
        [sys.executable, path], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "device='hpu:0'" in done.stdout


def test_an_interrupt_keeps_what_is_there(notebook):
    import time

    notebook.run("import time\ndef slow(pause):\n    time.sleep(pause)\n    return net(x)")
    cell = notebook.start('%gaudi_compare --settings "eager; lazy" --rounds 50 --over pause=[0.02] slow')
    time.sleep(5)
    notebook.manager.interrupt_kernel()
    reply = notebook.wait(cell)
    assert reply.status == "ok", reply.error
    assert any(
        "interrupted; gaudi_lab.compare(..., resume=)" in shown.get("text/plain", "") for shown in reply.shown
    )
    again = '%gaudi_compare --resume found --settings "eager; lazy" --rounds 1 --over pause=[0.02] slow'
    resumed = notebook.run(f"found = _\n{again}")
    assert resumed.status == "ok", resumed.error
    assert any("2 of 2 settings timed" in shown.get("text/plain", "") for shown in resumed.shown)


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("%gaudi_compare", "nothing to compare"),
        ("%gaudi_compare net(x", "no expression"),
        ("%gaudi_compare net(y + x)", "This notebook has no y"),
        ("%gaudi_compare --settings eager; lazy net(x)", "need quotes"),
        ("%gaudi_compare --limit soon net(x)", "cannot be read"),
        ("%gaudi_compare x", "no model, Trainer, pipeline or function"),
        ("%gaudi_compare --settings fast net(x)", "not an execution mode"),
        ("%gaudi_compare --over speed=[1] net(x)", "cannot be varied"),
        ("%gaudi_compare --over batch_size net(x)", "gives no values"),
        ("%gaudi_compare --method magic net(x)", "invalid choice"),
    ],
)
def test_the_wrong_thing_is_answered_with_the_line_to_run(notebook, line, text):
    reply = notebook.run(line)
    assert reply.printed.startswith("UsageError")
    assert text in reply.printed
    assert "Run: " in reply.printed
