"""Says after a cell that set a variable of the bridge's that this came too late, and which line has it in time."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from gaudi_lab import bridge
from gaudi_lab.emulator.process.mode import LAZY_VARIABLE
from gaudi_lab.instruments.handle import Handle
from gaudi_lab.settings import Mode

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

_OF_THE_BRIDGE = "PT_"


def follow(shell: InteractiveShell) -> Handle:
    """Look after each cell whether it has set what the bridge does not read any more."""
    before = _variables() if bridge.loaded() else None
    if before is not None and not bridge.mode_set_here():
        _say(_told_of_mode(before))

    def after_cell(result: Any = None) -> None:
        nonlocal before
        if bridge.loaded():
            now = _variables()
            if before is not None:
                # What a library has set for itself, as diffusers does, is not the user's to change.
                cell = getattr(getattr(result, "info", None), "raw_cell", None) or ""
                for told in _told(before, {name: value for name, value in now.items() if name in cell}):
                    _say(told)
            before = now

    shell.events.register("post_run_cell", after_cell)
    return Handle(lambda: shell.events.unregister("post_run_cell", after_cell))


def _variables() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith(_OF_THE_BRIDGE)}


def _told(before: Mapping[str, str], now: Mapping[str, str]) -> Iterator[str]:
    for name in sorted(name for name in now if now[name] != before.get(name)):
        if name == LAZY_VARIABLE:
            yield _told_of_mode(now)
        else:
            setting = shlex.quote(f"{name}={now[name]}")
            # `is_cached` in the bridge's backend/synapse_helpers/env_flags_impl.h
            yield (
                f"{name} was set after the bridge had loaded, which reads a variable once and keeps it: it may have no "
                f"effect. A fresh process has it: %gaudi_relaunch --env {setting}"
            )


def _told_of_mode(now: Mapping[str, str]) -> str:
    """Return what is to be said of the variable of the mode; nothing if it says what is so."""
    asked = now.get(LAZY_VARIABLE)
    if asked is None or (asked != "0") == bridge.is_lazy():
        return ""
    lazy = asked != "0"
    return (
        f"{LAZY_VARIABLE}={asked} comes too late: the bridge is loaded, in {Mode.of_process(not lazy)} mode. "
        f"Run: %gaudi_mode {Mode.of_process(lazy)}"
    )


def _say(told: str) -> None:
    if told:
        print(told)  # noqa: T201 - below the cell
