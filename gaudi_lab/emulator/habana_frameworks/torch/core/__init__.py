"""`habana_frameworks.torch.core`, known as `htcore`: step markers and inference helpers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from gaudi_lab.emulator.device.events import EventId, publish
from gaudi_lab.emulator.lazy.record import tape

from .. import hpu
from ..utils.internal import is_lazy, lazy_only
from . import module_names, overwrites, weight_sharing
from .inference import (
    hpu_inference_initialize,
    hpu_initialize,
    hpu_reset_env,
    hpu_set_env,
    hpu_set_inference_env,
    hpu_teardown_inference_env,
)

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


overwrites.install()
if is_lazy():
    module_names.install()
    if weight_sharing.asked_for():
        weight_sharing.install()
else:
    from ..dynamo import compile_backend

__all__ = [
    "add_step_closure",
    "hpu",
    "hpu_inference_initialize",
    "hpu_initialize",
    "hpu_reset_env",
    "hpu_set_env",
    "hpu_set_inference_env",
    "hpu_teardown_inference_env",
    "iter_mark_step",
    "mark_step",
]
