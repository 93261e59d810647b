"""Which operators may fall back to the host: ``PT_HPU_PLACE_ON_CPU``, a list with commas, read at the first fallback.

An empty list allows every operator, and ``none`` in it allows no one; otherwise those that it names may. A name is
taken with and without its namespace and its overload, ``aten::nonzero`` or ``nonzero``. What the device has a kernel
for does not fall back there, whatever the list says; `device.device_operators` knows it.
"""

from __future__ import annotations

import functools
from typing import Any

from gaudi_lab.emulator.device.device_operators import has_kernel
from gaudi_lab.emulator.process import flags


def check(func: Any) -> None:
    """Raise the bridge's RuntimeError if the operator would run on the host and may not."""
    allowed = _allowed_names()
    if allowed is not None and not allowed & _names(func) and not has_kernel(func):
        raise RuntimeError(f"{func.name()} is not yet supported on HPU.")


@functools.cache
def _allowed_names() -> frozenset[str] | None:
    listed = flags.get("PT_HPU_PLACE_ON_CPU")
    if not listed:
        return None
    names = frozenset(name.strip() for name in listed.split(","))
    return frozenset() if "none" in names else names


def _names(func: Any) -> set[str]:
    full = func.name()
    bare = full.partition(".")[0]
    return {full, bare, full.partition("::")[2], bare.partition("::")[2]}
