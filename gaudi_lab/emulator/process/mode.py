"""The execution mode of this process: lazy or eager, decided when the bridge loads."""

from __future__ import annotations

import os

from gaudi_lab.emulator.process.release import default_mode

LAZY_VARIABLE = "PT_HPU_LAZY_MODE"
"""The variable that the bridge reads its mode from when it loads."""

_lazy: bool | None = None
_forced = False


def is_lazy() -> bool:
    """Return True in lazy mode. The first call decides, from ``PT_HPU_LAZY_MODE``, and the answer then stays."""
    if _lazy is None:
        return _keep(from_environment())
    return _lazy


def _keep(lazy: bool) -> bool:
    global _lazy
    _lazy = vars(is_lazy)["_is_lazy"] = lazy  # there too, where the bridge keeps it
    return lazy


vars(is_lazy)["_is_lazy"] = None


def from_environment() -> bool:
    """Return what ``PT_HPU_LAZY_MODE`` asks for now; unset means the release's default."""
    return os.environ.get(LAZY_VARIABLE, default_mode()) != "0"


def force(lazy: bool) -> None:
    """Set the mode, whatever the environment says. No bridge on hardware can do this."""
    global _forced
    _keep(lazy)
    _forced = True


def keeps() -> bool:
    """Return True if the mode stays until the process ends, as on hardware: ``GAUDI_LAB_RELAUNCH=always``."""
    return os.environ.get("GAUDI_LAB_RELAUNCH") == "always"


def is_forced() -> bool:
    """Return True if `force` has set the mode: the environment then says nothing about it."""
    return _forced
