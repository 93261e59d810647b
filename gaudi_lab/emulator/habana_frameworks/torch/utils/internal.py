"""What the bridge asks itself: which mode the process is in."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable
from typing import Any

import torch

from gaudi_lab.emulator.process.mode import is_lazy as is_lazy

_logger = logging.getLogger(__name__)
_warned: set[str] = set()


class Timer:
    """Measures the time inside a `with`, in seconds, as `elapsed`."""

    def __enter__(self) -> None:
        """Start."""
        self.start_t = time.perf_counter()

    def __exit__(self, *exc: object) -> None:
        """Stop."""
        self.end_t = time.perf_counter()

    @property
    def elapsed(self) -> float:
        """The seconds between start and stop."""
        return self.end_t - self.start_t


def lazy_only(func: Callable[..., Any]) -> Callable[..., None]:
    """Return `func`, without its result, in lazy mode; a no-op that warns once in eager mode."""

    @functools.wraps(func)
    def wrapper(*args: Any, **kwargs: Any) -> None:
        if is_lazy():
            func(*args, **kwargs)
        # A warning would break the graph that it is called in.
        elif func.__name__ not in _warned and not torch.compiler.is_compiling():
            _warned.add(func.__name__)
            _logger.warning(
                "Calling %s function does not have any effect. It's lazy mode only functionality. "
                "(warning logged once)",
                func.__name__,
            )

    return wrapper
