"""Which release of the bridge is emulated: releases differ in defaults, signatures and errors."""

from __future__ import annotations

import functools
import os

DEFAULT = "1.23.0"
OLDEST, NEWEST = (1, 17), (1, 24)


@functools.cache
def version() -> str:
    """Return the emulated release, e.g. ``"1.23.0"``, from ``GAUDI_LAB_BRIDGE_VERSION``.

    Raises
    ------
    ValueError
        The variable is not a release between 1.17 and 1.24.
    """
    asked = os.environ.get("GAUDI_LAB_BRIDGE_VERSION", DEFAULT)
    parts = asked.split(".")
    if len(parts) < 2 or not all(part.isdigit() for part in parts):
        raise ValueError(f"GAUDI_LAB_BRIDGE_VERSION={asked!r} is not a release such as 1.23 or 1.23.0")
    if not OLDEST <= (int(parts[0]), int(parts[1])) <= NEWEST:
        raise ValueError(f"GAUDI_LAB_BRIDGE_VERSION={asked!r}: releases 1.17 to 1.24 are emulated")
    return asked if len(parts) > 2 else f"{asked}.0"


def release() -> tuple[int, int]:
    """Return the emulated release as (major, minor)."""
    major, minor = version().split(".")[:2]
    return int(major), int(minor)


def default_mode(of: tuple[int, int] | None = None) -> str:
    """Return what ``PT_HPU_LAZY_MODE`` means where it is not set: "1" (lazy) up to 1.20, "0" (eager) since 1.21.

    Parameters
    ----------
    of
        A release as (major, minor); the emulated one if not given.
    """
    return "0" if (of or release()) >= (1, 21) else "1"
