"""What can be asked of the process half without a kernel: its command, its connections, its bystanders, its report."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from gaudi_lab.errors import LabError
from gaudi_lab.handover.account import Account
from gaudi_lab.handover.kernel import bystanders, connections, leaving
from gaudi_lab.handover.kernel.kernel_versions import running_kernel


@pytest.mark.parametrize(
    ("command", "options", "arguments"),
    [
        ("-m ipykernel_launcher -f kernel.json", "", ""),
        ("-Xfrozen_modules=off -m ipykernel_launcher -f k.json --debug", "-Xfrozen_modules=off", "--debug"),
        ("-X dev -W error -mipykernel -f=k.json", "-X dev -W error", ""),
        ("-O /usr/lib/ipykernel_launcher.py --HistoryManager.enabled=0", "-O", "--HistoryManager.enabled=0"),
        ("-X dev -c import_and_call --Session.session=x --quiet", "-X dev", "--quiet"),
    ],
)
def test_the_options_of_python_and_of_the_kernel_stay_but_for_the_connection(
    monkeypatch, command, options, arguments
):
    monkeypatch.setattr(sys, "orig_argv", [sys.executable, *command.split()])
    assert leaving.interpreter_options() == options.split()
    assert leaving.kernel_arguments() == arguments.split()


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="the system has no /proc/net/tcp")
def test_connections_are_those_that_were_made_to_a_port_with_what_is_unread():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert connections.connections([port]) == []
        with socket.create_connection(("127.0.0.1", port)) as client, server.accept()[0] as accepted:
            client.sendall(b"four")
            accepted.recv(1, socket.MSG_PEEK)
            assert connections.connections([port]) == [(port, 0, 4)]
            accepted.recv(4)
            assert connections.connections([port]) == [(port, 0, 0)]


def test_nothing_is_known_of_no_ports():
    assert connections.connections([]) is None


def test_every_descriptor_but_the_standard_ones_closes_when_the_process_is_replaced():
    program = (
        "import os\n"
        "from gaudi_lab.handover.kernel import connections\n"
        "held = os.open(os.devnull, os.O_RDONLY); os.set_inheritable(held, True)\n"
        "closed = os.open(os.devnull, os.O_RDONLY)\n"
        "assert connections.close_at_exec() == [held]\n"
        "assert not os.get_inheritable(held)\n"
        "assert all(os.get_inheritable(n) for n in (0, 1, 2))\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


def test_a_thread_of_somebodys_is_a_bystander_and_one_of_a_library_is_not():
    end = threading.Event()
    mine = threading.Thread(target=end.wait, name="mine", daemon=True)
    library = threading.Thread(target=end.wait, name="library", daemon=True)
    library._target = type("Target", (), {"__module__": "tqdm.std", "__call__": lambda _: end.wait()})()
    mine.start()
    library.start()
    try:
        names = {found.name for found in bystanders.running()}
        assert "thread mine" in names
        assert "thread library" not in names
    finally:
        end.set()
        mine.join()
        library.join()
    assert "thread mine" not in {found.name for found in bystanders.running()}


def test_a_task_of_somebodys_is_a_bystander_and_one_of_a_library_is_not():
    async def watch():
        await asyncio.sleep(60)

    async def look():
        tasks = [asyncio.create_task(watch()), asyncio.create_task(asyncio.sleep(60))]
        await asyncio.sleep(0)
        found = [each for each in bystanders.running() if each.name.startswith("task")]
        for task in tasks:
            task.cancel()
        return found

    assert asyncio.run(look()) == [("task watch", "the task watch is running")]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="the system has no /proc")
def test_a_process_is_a_bystander_until_it_ends():
    child = subprocess.Popen(["sleep", "60"])
    name = f"process {child.pid}"
    assert {found.name: found.why for found in bystanders.running()}[name].startswith("sleep 60 is a running")
    child.kill()
    child.wait()
    assert name not in {found.name for found in bystanders.running()}


def test_the_report_is_one_line_and_html():
    report = Account(
        "lazy → eager",
        1.42,
        kept=("a", "b"),
        rerun=("g",),
        dropped=("sock",),
        size=212 << 20,
        notes=("a <note>",),
    )
    line = "lazy → eager: fresh process in 1.4 s, kept 2 names, re-ran 1, dropped sock, 212 MiB · a <note>"
    assert str(report) == line
    assert "a &lt;note&gt;" in report._repr_html_()


def test_where_there_is_no_kernel_the_line_to_start_instead_is_told():
    with pytest.raises(LabError, match=r"no notebook kernel.*Run: A=1 jupyter lab"):
        running_kernel("A=1 jupyter lab")
