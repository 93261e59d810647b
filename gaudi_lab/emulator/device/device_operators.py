"""Which of PyTorch's operators a Gaudi has a kernel for: `device_operators.txt`, from the bridge's source."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from gaudi_lab.emulator.device.schema import is_view


@functools.cache
def has_kernel(func: Any) -> bool:
    """Return True if the device runs `func`: it has a kernel for it or another form of it, or it only makes a view."""
    if func.namespace != "aten":
        return func.namespace in ("hpu", "quantized_decomposed")
    if func._schema.name in _COPIES:
        return True
    full, bare = [name.partition("::")[2] for name in (func.name(), func._schema.name)]
    return full in _listed() or bare in _listed() or bare in _bare() or is_view(func)


# What only moves or makes memory needs no kernel, and so is in no table of them.
_COPIES = frozenset(
    f"aten::{name}"
    for name in ("_to_copy", "clone", "copy", "copy_", "empty", "empty_like", "lift_fresh_copy", "new_empty")
)


@functools.cache
def _listed() -> frozenset[str]:
    lines = Path(__file__).with_name("device_operators.txt").read_text().splitlines()
    return frozenset(line for line in lines if not line.startswith("#"))


@functools.cache
def _bare() -> frozenset[str]:
    return frozenset(name.partition(".")[0] for name in _listed())
