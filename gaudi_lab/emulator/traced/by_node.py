"""A traced graph run node by node: a node whose dtype the host's kernel does not know computes in a wider one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import fx

from gaudi_lab.emulator.device import wider


class TracedRun:
    """Runs a traced graph on host tensors.

    The first run goes node by node, to see which nodes need a wider dtype. If none does, later runs do not.
    """

    def __init__(self, traced: fx.GraphModule) -> None:
        self.traced = traced
        self._needs_wider: bool | None = None

    def __call__(self, *inputs: Any) -> Sequence[Any]:
        """Run the graph."""
        if self._needs_wider is False:
            return self.traced(*inputs)
        run = _Nodes(self.traced)
        out = run.run(*inputs)
        self._needs_wider = bool(self._needs_wider) or run.needs_wider
        return out


class _Nodes(fx.Interpreter):
    """Runs nodes.

    Attributes
    ----------
    needs_wider
        Whether one of them has run in a wider dtype.
    """

    needs_wider = False

    def run_node(self, n: fx.Node) -> Any:
        try:
            return super().run_node(n)
        except RuntimeError as error:
            if wider.missing(error) is None:
                raise
        self.needs_wider = True
        with wider.everywhere():
            return super().run_node(n)
