"""A real kernel to talk to, as a notebook does."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from jupyter_client.blocking import BlockingKernelClient
from jupyter_client.manager import KernelManager, start_new_kernel

PATIENCE = 120
"""Seconds to wait for the kernel: importing torch on a busy machine takes its time."""


@dataclass
class Reply:
    """What a cell came back with.

    Attributes
    ----------
    status
        "ok", "error" or "aborted".
    printed
        Its output streams.
    shown
        Rich outputs, each as a mapping of MIME type to content, as they were at first.
    updated
        What replaced one of them, in the order that it came.
    error
        Name and text of the error, if there was one.
    traceback
        What the notebook shows of it.
    """

    status: str = ""
    printed: str = ""
    shown: list[dict[str, Any]] = field(default_factory=list)
    updated: list[dict[str, Any]] = field(default_factory=list)
    error: str = ""
    traceback: str = ""


class Notebook:
    """Runs cells in a kernel."""

    def __init__(self, manager: KernelManager, client: BlockingKernelClient) -> None:
        self.manager = manager
        self.client = client

    def run(self, code: str) -> Reply:
        return self.wait(self.start(code))

    def start(self, code: str) -> str:
        return self.client.execute(code)

    def wait(self, cell: str) -> Reply:
        """Wait for a cell to end; what belongs to other cells is left out."""
        reply = Reply()
        while True:
            message = self.client.get_iopub_msg(timeout=PATIENCE)
            content, kind = message["content"], message["msg_type"]
            if message["parent_header"].get("msg_id") != cell:
                continue
            if kind == "stream":
                reply.printed += content["text"]
            elif kind in ("execute_result", "display_data"):
                reply.shown.append(content["data"])
            elif kind == "update_display_data":
                reply.updated.append(content["data"])
            elif kind == "error":
                reply.error = f"{content['ename']}: {content['evalue']}"
                reply.traceback = "\n".join(content["traceback"])
            elif kind == "status" and content["execution_state"] == "idle":
                break
        reply.status = self.answer(cell)["status"]
        return reply

    def answer(self, request: str) -> dict[str, Any]:
        """Return the content of the reply to a request."""
        while True:
            message = self.client.get_shell_msg(timeout=PATIENCE)
            if message["parent_header"].get("msg_id") == request:
                return message["content"]

    def complete(self, code: str) -> list[str]:
        return self.answer(self.client.complete(code))["matches"]

    def inspect(self, code: str) -> str:
        return self.answer(self.client.inspect(code))["data"].get("text/plain", "")

    def value(self, expression: str) -> Any:
        """Return the value of an expression that Python can write down and read again."""
        import ast

        reply = self.run(f"print(repr({expression}))")
        assert reply.status == "ok", reply.error
        return ast.literal_eval(reply.printed)


SETUP = """
import torch
from torch import nn
net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)).eval().requires_grad_(False).to("hpu")
x = torch.randn(3, 4).to("hpu")
"""


@contextmanager
def start_kernel(**variables: str) -> Iterator[Notebook]:
    """Start a kernel with these variables beside those of the tests, and end it."""
    small = {"GAUDI_LAB_COMPILER": "replay", "OMP_NUM_THREADS": "1", "NO_COLOR": "1"}
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PT_HPU")}
    manager, client = start_new_kernel(
        kernel_name="python3", env=environment | small | variables, startup_timeout=PATIENCE
    )
    try:
        yield Notebook(manager, client)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


@pytest.fixture(scope="module")
def kernel() -> Iterator[Notebook]:
    """A kernel for the tests of one file."""
    with start_kernel() as notebook:
        yield notebook


@pytest.fixture
def notebook(kernel: Notebook) -> Iterator[Notebook]:
    """The kernel with Gaudi Lab loaded and a small model `net` on the device, in eager mode."""
    loaded = kernel.run("%load_ext gaudi_lab\n" + SETUP)
    assert loaded.status == "ok", loaded.error
    yield kernel
    kernel.run("%gaudi_mode eager\n%unload_ext gaudi_lab\n%reset -f")
