"""A companion as the workbench has them: it takes its edits off, and puts them on again on the other side."""

from __future__ import annotations

import threading
import time
import types
from collections.abc import Collection
from typing import Any

calls: list[str] = []


class Planted:
    """Carries one object of the notebook, which it marks."""

    name = "the planted companion"
    unpack = "planted_companion:unpack"

    def __init__(self, thing: Any, slow: float = 0.0) -> None:
        self.thing = thing
        self.slow = slow
        thing.mark = "on"

    def trusted(self) -> dict[str, Any]:
        return {"thing": self.thing}

    def pack(self, given_up: Collection[Any]) -> dict[str, Any]:
        calls.append("pack")
        if self.slow:
            print("packing", flush=True)
        time.sleep(self.slow)
        del self.thing.mark
        return {} if any(self.thing is each for each in given_up) else {"thing": self.thing}

    def stay(self) -> None:
        calls.append("stay")
        self.thing.mark = "on"


def unpack(packed: dict[str, Any]) -> list[str]:
    calls.append("unpack")
    if not packed:
        return ["there is nothing to mark"]
    packed["thing"].mark = "on again"
    return ["the mark is on again"]


def with_a_lock() -> Any:
    """Something that cannot travel."""
    return types.SimpleNamespace(lock=threading.Lock())


def broken(*_: Any) -> None:
    """What nobody has thought of."""
    raise ValueError("planted")


def no_memory(*_: Any) -> None:
    """What a system says that has no room for a process."""
    raise OSError(12, "Cannot allocate memory")
