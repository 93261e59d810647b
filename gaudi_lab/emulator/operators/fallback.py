"""Which operators may fall back to the host: ``PT_HPU_PLACE_ON_CPU``, a list with commas, read at the first fallback.

An empty list allows every operator, and ``none`` in it allows no one; otherwise those that it names may. A name is
taken with and without its namespace and its overload, ``aten::nonzero`` or ``nonzero``. What the device has a kernel
for does not fall back there, whatever the list says; `device_operators.txt` has these, from the bridge's source.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from gaudi_lab.emulator.process import flags


def check(func: Any) -> None:
    """Raise the bridge's RuntimeError if the operator would run on the host and may not."""
    allowed = _allowed_names()
    if allowed is not None and not allowed & _names(func) and not on_device(func):
        raise RuntimeError(f"{func.name()} is not yet supported on HPU.")


def on_device(func: Any) -> bool:
    """Return True if the device has a kernel for `func`, a form of it or what it is made of included."""
    if func.namespace != "aten":
        return func.namespace == "hpu"
    name = func.name().partition("::")[2]
    return name in _device_operators() or func._schema.name.partition("::")[2] in _device_operators()


@functools.cache
def _device_operators() -> frozenset[str]:
    lines = Path(__file__).with_name("device_operators.txt").read_text().splitlines()
    return frozenset(line for line in lines if not line.startswith("#"))


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
