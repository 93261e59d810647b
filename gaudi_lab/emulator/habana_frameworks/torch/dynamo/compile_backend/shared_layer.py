"""Which operators of a compiled graph fall back to eager mode, as lines of a log: `logger.set_store_data(True)`."""

from __future__ import annotations

from ...utils.debug.logger import Logger

logger = Logger("PT_COMPILE")

# None falls back by name here.
hpu_fallback_op_list: set[str] = set()
