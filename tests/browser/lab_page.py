"""What the browser tests do with a notebook: run its cells, look at its panel, and ask its kernel."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SETUP = """
%load_ext gaudi_lab
import torch
from transformers import BertConfig, BertModel
import gaudi_lab

torch.set_grad_enabled(False)
config = BertConfig(vocab_size=50, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
                    intermediate_size=32, max_position_embeddings=32)
bert = BertModel(config).eval().to("hpu")
ids = torch.arange(12).reshape(2, 6).to("hpu")
"""

CELLS = (SETUP.strip(), "%gaudi_panel", "gaudi_lab.panel(bert)")

NOTEBOOK = json.dumps(
    {
        "cells": [
            {
                "cell_type": "code",
                "execution_count": None,
                "id": f"cell{n}",
                "metadata": {},
                "outputs": [],
                "source": s,
            }
            for n, s in enumerate(CELLS)
        ],
        "metadata": {
            "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
)


class Kernel:
    """The notebook's kernel, from the side: a second client beside the browser.

    Parameters
    ----------
    runtime
        Where the server keeps its connection files.
    """

    def __init__(self, runtime: Path) -> None:
        from jupyter_client import BlockingKernelClient

        (connection,) = runtime.glob("kernel-*.json")
        self._client = BlockingKernelClient(connection_file=str(connection))

    def __enter__(self) -> Kernel:
        self._client.load_connection_file()
        self._client.start_channels()
        self._client.wait_for_ready(timeout=60)
        return self

    def __exit__(self, *_: object) -> None:
        self._client.stop_channels()

    def run(self, code: str) -> None:
        """Run a cell to its end."""
        reply = self._client.execute(code, store_history=False, reply=True, timeout=120)
        if reply["content"]["status"] != "ok":
            raise RuntimeError("\n".join(reply["content"]["traceback"]))

    def start(self, code: str) -> str:
        """Send a cell off and do not wait for it."""
        return str(self._client.execute(code, store_history=False))

    def wait(self) -> None:
        """Wait until everything sent has been done."""
        self.value("None")

    def value(self, expression: str) -> Any:
        """Return the value of an expression that JSON can hold."""
        asked = {"value": f"__import__('json').dumps({expression})"}
        while True:
            sent = self._client.execute("", silent=True, user_expressions=asked)
            reply = self._reply_to(sent)
            told = reply["content"]["user_expressions"]["value"]
            if told["status"] != "ok":
                raise RuntimeError("\n".join(told["traceback"]))
            return json.loads(eval(told["data"]["text/plain"]))

    def becomes(self, expression: str, wanted: Any, seconds: float = 15) -> None:
        """Assert that an expression has a value, or comes to have it soon."""
        end = time.monotonic() + seconds
        while (found := self.value(expression)) != wanted and time.monotonic() < end:
            time.sleep(0.1)
        assert found == wanted, expression

    def _reply_to(self, sent: str) -> Any:
        while True:
            reply = self._client.get_shell_msg(timeout=120)
            if reply["parent_header"].get("msg_id") == sent:
                return reply


class Notebook:
    """The notebook in the browser."""

    kernel: Kernel

    def __init__(self, page: Any) -> None:
        self.page = page

    @property
    def panel(self) -> Any:
        """The first panel on the page."""
        return self.panels.first

    @property
    def panels(self) -> Any:
        """All panels on the page."""
        return self.page.locator(".gl-panel")

    def start(self) -> None:
        """Wait for JupyterLab and run all cells."""
        self.page.wait_for_selector(".jp-Notebook .jp-CodeCell", timeout=60_000)
        self.page.wait_for_function(
            "window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'",
            timeout=60_000,
        )
        self.command("notebook:run-all-cells")
        try:
            self.page.wait_for_function(
                "document.querySelectorAll('.gl-panel .gl-model').length === 2", timeout=60_000
            )
        except Exception as error:
            shown = self.page.locator(".jp-Notebook").inner_text()
            raise RuntimeError(f"The notebook shows no panel, but this:\n{shown}") from error

    def command(self, name: str, **arguments: Any) -> None:
        """Execute one of JupyterLab's commands."""
        self.page.evaluate(
            "async ([name, args]) => { await jupyterapp.restored; await jupyterapp.commands.execute(name, args) }",
            [name, arguments],
        )

    def theme(self, name: str) -> None:
        """Change over to JupyterLab's light or dark theme."""
        self.command("apputils:change-theme", theme=f"JupyterLab {name}")
        self.page.wait_for_selector(
            f'body[data-jp-theme-light="{str(name == "Light").lower()}"]', state="attached"
        )

    def switch(self, name: str) -> Any:
        """One of the panel's switches."""
        return self.panel.get_by_role("switch", name=name)

    def radio(self, name: str) -> Any:
        """One of the panel's modes."""
        return self.panel.get_by_role("radio", name=name, exact=True)

    def focus_by_keyboard(self, wanted: Any) -> None:
        """Tab forward from the start of the panel until `wanted` has the focus."""
        self.tab(lambda: wanted.evaluate("element => element === document.activeElement"))

    def tab(self, there: Callable[[], bool]) -> None:
        """Press Tab until `there`, starting before the panel."""
        self.panel.evaluate("element => { element.tabIndex = -1; element.focus() }")
        for _ in range(40):
            self.page.keyboard.press("Tab")
            if there():
                return
        raise AssertionError("The keyboard does not get there.")
