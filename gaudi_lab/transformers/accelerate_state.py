"""accelerate's process state: one for all trainers, and it remembers the device of the arguments made last.

A trainer on the CPU and one on the Gaudi in the same notebook would otherwise take each other's device.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from accelerate.state import AcceleratorState, GradientState, PartialState

if TYPE_CHECKING:
    from transformers import TrainingArguments

_SINGLETONS = (PartialState, AcceleratorState, GradientState)


class ProcessState:
    """The process state that one trainer was made with."""

    def __init__(self) -> None:
        self._values = _read()

    @contextmanager
    def use(self) -> Iterator[None]:
        """Put this state in force, and put back what was there before."""
        before = _read()
        _write(self._values)
        try:
            yield
        finally:
            self._values = _read()
            _write(before)


def prepare(args: TrainingArguments) -> None:
    """Make the process state that of `args`, for an `Accelerator` made next."""
    # The arguments made last reset it; those of this trainer may have been made before.
    current = PartialState._shared_state.get("device")  # noqa: SLF001 - accelerate has no public reset
    if current is None or current.type != args.device.type:
        vars(args).pop("_setup_devices", None)
        _ = args.device
    AcceleratorState._reset_state()  # noqa: SLF001


def see_hpu() -> None:
    """Let transformers and accelerate find `hpu`, should they have looked before the bridge was loaded."""
    from accelerate.utils import imports
    from transformers.utils import import_utils

    for look in (import_utils.is_torch_hpu_available, imports.is_hpu_available):
        if not look():
            # They remember the answer for good.
            look.cache_clear()
            look()


def _read() -> list[dict[str, Any]]:
    return [dict(singleton._shared_state) for singleton in _SINGLETONS]  # noqa: SLF001


def _write(values: list[dict[str, Any]]) -> None:
    for singleton, saved in zip(_SINGLETONS, values, strict=True):
        # In place: every instance has this very dictionary as its attributes.
        singleton._shared_state.clear()  # noqa: SLF001
        singleton._shared_state.update(saved)  # noqa: SLF001
