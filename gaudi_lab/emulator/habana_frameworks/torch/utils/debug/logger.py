"""The bridge's logger for Python code. Here it writes to Python's own logger of the same name."""

from __future__ import annotations

import logging
from enum import Enum
from typing import Any


class LogLevel(Enum):
    """How urgent a message is."""

    TRACE = 5
    DEBUG = logging.DEBUG
    INFO = logging.INFO
    WARN = logging.WARNING
    ERROR = logging.ERROR
    CRITICAL = logging.CRITICAL


class Logger:
    """A logger of the name `type`.

    Attributes
    ----------
    store_data, data
        Whether messages are kept, and those that were.
    """

    def __init__(self, type: str) -> None:
        self.type = type
        self.store_data = False
        self.data: list[str] = []

    def set_store_data(self, enable: bool) -> None:
        """Keep messages from here on, or no longer; those kept before are dropped."""
        self.store_data, self.data = enable, []

    @staticmethod
    def is_enabled_for(level: LogLevel) -> bool:
        """Return True if messages of `level` are written."""
        return logging.getLogger().isEnabledFor(level.value)

    def log(self, level: LogLevel, args: Any) -> None:
        """Write the message that `args` make: a format with ``{}`` or ``%`` and its values, or values."""
        message = f"[{self.type}] {_format(args)}"
        logging.getLogger(self.type).log(level.value, "%s", message)
        if self.store_data:
            self.data.append(message)

    def trace(self, *args: Any) -> None:
        """Write a message of level TRACE."""
        self.log(LogLevel.TRACE, args)

    def debug(self, *args: Any) -> None:
        """Write a message of level DEBUG."""
        self.log(LogLevel.DEBUG, args)

    def info(self, *args: Any) -> None:
        """Write a message of level INFO."""
        self.log(LogLevel.INFO, args)

    def warn(self, *args: Any) -> None:
        """Write a message of level WARN."""
        self.log(LogLevel.WARN, args)

    def error(self, *args: Any) -> None:
        """Write a message of level ERROR."""
        self.log(LogLevel.ERROR, args)

    def critical(self, *args: Any) -> None:
        """Write a message of level CRITICAL."""
        self.log(LogLevel.CRITICAL, args)


def enable_logging(logger_name: str, logger_level: str) -> None:
    """Write messages of the logger `logger_name` from `logger_level` on, such as ``"debug"``."""
    logging.getLogger(logger_name).setLevel(LogLevel[logger_level.upper()].value)


def _format(args: Any) -> str:
    first, *values = args or ("",)
    if isinstance(first, str) and values and "{}" in first:
        return first.format(*values)
    if isinstance(first, str) and values and "%" in first:
        return first % tuple(values)
    return ", ".join(map(str, args))
