"""A capture that fails, is interrupted or is killed leaves the next cell clean, and says so."""

from __future__ import annotations

import os
import re
import signal
import time
from contextlib import contextmanager

import pytest
from conftest import PATIENCE, SETUP, Notebook
from jupyter_client.manager import start_new_kernel

pytestmark = pytest.mark.kernel

CAPTURING = "__import__('habana_frameworks.torch', fromlist=['hpu']).hpu.is_current_stream_capturing()"
ENDS = """
class Ends(nn.Module):
    how = None
    def forward(self, x):
        y = x * 2
        if self.how == "fails":
            raise ValueError("the model's own error")
        if self.how == "waits":
            import time
            time.sleep(60)
        return y + 1
ends = Ends().to("hpu")
"""
GRAPHS = "from gaudi_lab.instruments.graphs import hpu_graphs\nhandle = hpu_graphs(ends)"


def clean(notebook):
    """Nothing is captured, and the same model captures and replays in the next cell."""
    assert notebook.value(CAPTURING) is False
    assert notebook.run("ends.how = None").status == "ok"
    assert notebook.value("[ends(x).tolist() == (x * 2 + 1).tolist() for _ in range(2)]") == [True, True]
    assert notebook.value("[g.replays for g in handle.graphs]") == [1]


SAID = "The unfinished graph was discarded and the capture is closed"


def shown(reply):
    """Return what the cell shows of its error, without colours and on one line."""
    return " ".join(re.sub(r"\x1b\[[0-9;]*m", "", reply.traceback).split())


def prepare(notebook):
    for cell in ("%gaudi_mode lazy", ENDS, GRAPHS):
        reply = notebook.run(cell)
        assert reply.status == "ok", reply.error


def test_a_forward_that_raises(notebook):
    prepare(notebook)
    reply = notebook.run("ends.how = 'fails'\nends(x)")
    assert reply.error == "ValueError: the model's own error"
    assert SAID in shown(reply)
    clean(notebook)
    later = notebook.run("raise ValueError('of something else')")
    assert SAID not in shown(later), "said of the capture, and only then"


def test_an_interrupt(notebook):
    prepare(notebook)
    cell = notebook.start("ends.how = 'waits'\nends(x)")
    time.sleep(2)
    notebook.manager.interrupt_kernel()
    reply = notebook.wait(cell)
    assert reply.error.startswith("KeyboardInterrupt")
    assert SAID in shown(reply)
    clean(notebook)


@contextmanager
def a_kernel_alone(folder):
    """A kernel that has the device for itself, and its manager."""
    alone = {"GAUDI_LAB_EXCLUSIVE": "1", "TMPDIR": str(folder), "GAUDI_LAB_COMPILER": "replay"}
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PT_HPU")}
    manager, client = start_new_kernel(
        kernel_name="python3", env=environment | alone, startup_timeout=PATIENCE
    )
    try:
        yield Notebook(manager, client)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


BEGIN = "%load_ext gaudi_lab\n%gaudi_mode lazy\n" + SETUP


def test_a_killed_kernel_frees_the_device(tmp_path):
    with a_kernel_alone(tmp_path) as notebook:
        assert notebook.run(BEGIN).status == "ok"
        prepare(notebook)
        process = notebook.value("__import__('os').getpid()")
        notebook.start("ends.how = 'waits'\nends(x)")
        time.sleep(2)
        os.kill(process, signal.SIGKILL)
        notebook.manager.restart_kernel(now=True)
        notebook.client.wait_for_ready(timeout=PATIENCE)
        assert notebook.run(BEGIN).status == "ok", "the device was acquired anew"
        assert notebook.value("torch.hpu.is_initialized()") is True
        prepare(notebook)
        clean(notebook)


def test_a_second_kernel_is_told_which_process_holds_the_device(tmp_path):
    with a_kernel_alone(tmp_path) as first, a_kernel_alone(tmp_path) as second:
        assert first.run(BEGIN).status == "ok"
        process = first.value("__import__('os').getpid()")
        reply = second.run(BEGIN)
        assert reply.error == "RuntimeError: synStatus=20 [Device already acquired] Device acquire failed."
        assert f"It is process {process}, a notebook's kernel, started " in reply.printed
