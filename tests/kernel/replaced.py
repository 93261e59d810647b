"""What the tests of a replaced kernel process share: every message about some cells, and a small kernel."""

from __future__ import annotations

import contextlib
import os
import queue
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from conftest import PATIENCE, Notebook
from jupyter_client.manager import start_new_kernel

RELAUNCH = "from gaudi_lab.handover.relaunching import relaunch\nimport os, time\npid = os.getpid()"


@dataclass
class Heard:
    """Every message about one request, in order, and every reply to it."""

    published: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    replies: list[dict[str, Any]] = field(default_factory=list)

    @property
    def kinds(self) -> list[str]:
        """The kinds of what was published, a status with its state, output joined."""
        names = [c["execution_state"] if kind == "status" else kind for kind, c in self.published]
        return [name for i, name in enumerate(names) if not (name == "stream" and names[i - 1] == "stream")]

    @property
    def text(self) -> str:
        return "".join(content["text"] for kind, content in self.published if kind == "stream")

    @property
    def shown(self) -> list[str]:
        return [c["data"]["text/plain"] for kind, c in self.published if kind == "execute_result"]

    @property
    def error(self) -> str:
        return "".join(f"{c['ename']}: {c['evalue']}" for kind, c in self.published if kind == "error")

    @property
    def reply(self) -> dict[str, Any]:
        (reply,) = self.replies
        return reply


def hear(notebook: Notebook, *requests: str, lasting: float = 0.2) -> list[Heard]:
    """Return what is heard about requests until all are answered, and a moment longer."""
    heard = {request: Heard() for request in requests}
    deadline = time.monotonic() + PATIENCE
    end = None
    while end is None or time.monotonic() < end:
        assert time.monotonic() < deadline, {r: h.kinds for r, h in heard.items()}
        with contextlib.suppress(queue.Empty):
            message = notebook.client.get_iopub_msg(timeout=0.05)
            about = heard.get(message["parent_header"].get("msg_id"))
            if about is not None:
                about.published.append((message["msg_type"], message["content"]))
        with contextlib.suppress(queue.Empty):
            message = notebook.client.get_shell_msg(timeout=0.0)
            about = heard.get(message["parent_header"].get("msg_id"))
            if about is not None:
                about.replies.append(message["content"])
        if end is None and all(h.replies and "idle" in h.kinds for h in heard.values()):
            end = time.monotonic() + lasting
    return list(heard.values())


@contextlib.contextmanager
def small_kernel(**variables: str) -> Iterator[Notebook]:
    """A kernel of one's own, without torch, with `relaunch` in it."""
    # Where it finds itself in a test, ipykernel does not read what other programs print, as it does for people.
    left_out = ("PT_HPU", "PYTEST_CURRENT_TEST")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
    manager, client = start_new_kernel(
        kernel_name="python3",
        env=environment | {"OMP_NUM_THREADS": "1", "NO_COLOR": "1"} | variables,
        startup_timeout=PATIENCE,
    )
    notebook = Notebook(manager, client)
    try:
        assert notebook.run(RELAUNCH).status == "ok"
        yield notebook
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
