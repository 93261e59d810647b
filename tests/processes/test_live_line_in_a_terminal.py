"""The line that says what compiles long, in a terminal and where there is none."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import textwrap
from pathlib import Path

PROGRAM = """
    import time, torch
    import gaudi_lab
    from gaudi_lab.emulator.lazy.compile import CompiledProgram
    gaudi_lab.mode("lazy")
    net = torch.nn.Linear(4, 4).to("hpu")
    gaudi_lab.attach(net, "net")
    plain = CompiledProgram._replay
    def slow(self):
        time.sleep(SECONDS)
        return plain(self)
    CompiledProgram._replay = slow
    net(torch.ones(2, 4).to("hpu")).cpu()
    net(torch.ones(3, 4).to("hpu")).cpu()
"""


def run_program(folder, seconds, **options):
    file = Path(folder) / "program.py"
    file.write_text(textwrap.dedent(PROGRAM).replace("SECONDS", str(seconds)), encoding="utf-8")
    return subprocess.Popen([sys.executable, str(file)], **options)


def in_a_terminal(folder, seconds):
    """Return what a program's standard error shows in a terminal."""
    ours, theirs = pty.openpty()
    program = run_program(folder, seconds, stderr=theirs, env=os.environ | {"COLUMNS": "200"})
    os.close(theirs)
    shown = b""
    while program.poll() is None or select.select([ours], [], [], 0)[0]:
        if select.select([ours], [], [], 0.1)[0]:
            try:
                shown += os.read(ours, 4096)
            except OSError:  # closed at the other end
                break
    os.close(ours)
    assert program.wait() == 0
    return shown.decode()


def test_in_a_terminal(tmp_path):
    shown = in_a_terminal(tmp_path, 1.4)
    assert "compiling a graph for net: input 2×4 → 3×4 · 1." in shown
    assert "program.py:14 · emulated on CPU" in shown
    assert "\n" not in shown
    assert shown.endswith("\r")


def test_a_short_run_in_a_terminal_shows_nothing(tmp_path):
    assert in_a_terminal(tmp_path, 0.0) == ""


def test_where_there_is_no_terminal_nothing_is_shown(tmp_path):
    program = run_program(tmp_path, 1.2, stderr=subprocess.PIPE)
    assert program.communicate()[1] == b""
