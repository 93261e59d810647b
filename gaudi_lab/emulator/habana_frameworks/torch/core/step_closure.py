"""Where a step ends, and what is to be done then."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from gaudi_lab.emulator.device.events import EventId, publish
from gaudi_lab.emulator.lazy.record import tape

from ..utils.internal import is_lazy, lazy_only

_closures: list[tuple[Callable[..., Any], tuple[Any, ...]]] = []


@lazy_only
def mark_step(device_str: str = "", sync: bool = False) -> None:
    """Run what was recorded since the last step."""
    tape.flush()
    publish(EventId.MARK_STEP)
    closures, _closures[:] = list(_closures), []
    for closure, args in closures:
        closure(*args)


@lazy_only
def iter_mark_step(device_str: str = "") -> None:
    """Mark the end of an iteration."""
    mark_step(device_str)


@lazy_only
def add_step_closure(closure: Callable[..., Any], args: Sequence[Any] = ()) -> None:
    """Call `closure(*args)` after the next step has run."""
    _closures.append((closure, tuple(args)))


def _mark_step_if_lazy(device_str: str = "") -> None:
    """Mark a step where a mode has steps. DeepSpeed's optimizers call it by this name."""
    if is_lazy():
        mark_step(device_str)
