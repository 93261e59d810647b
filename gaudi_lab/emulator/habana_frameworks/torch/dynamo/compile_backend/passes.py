"""What the compiler makes of a graph, as lines of a log that a program can keep: `logger.set_store_data(True)`.

The bridge's passes themselves are its own; here the lines say of which of PyTorch's operators a compiled graph
consists.
"""

from __future__ import annotations

from collections.abc import Sequence

from gaudi_lab.emulator.traced import graph_log

from ...utils.debug.logger import Logger
from . import shared_layer

logger = Logger("PT_COMPILE")


class GraphLines:
    """Writes the lines of both loggers of the compiler."""

    def wants(self) -> bool:
        """Return True while one of the loggers keeps its lines."""
        return logger.store_data or shared_layer.logger.store_data

    def hear(self, operators: Sequence[tuple[str, bool]]) -> None:
        """Write a graph of `operators`: their names, and whether the device has each."""
        logger.debug(
            "####PyTorch-generated JIT IR of this graph:####\n%s",
            "\n".join(f"aten::{x}()" for x, _ in operators),
        )
        for name, on_device in operators:
            shared_layer.logger.debug("Node: %s requires fallback: %s", name, not on_device)


graph_log.listen(GraphLines())
