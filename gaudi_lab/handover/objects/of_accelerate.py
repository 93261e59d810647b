"""The states of accelerate: all objects of such a class share one dictionary, which the class keeps."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

_CLASSES = ("PartialState", "AcceleratorState", "GradientState")


def reducer_for(kind: type) -> Callable[[Any, Any], Any] | None:
    """Return how an object of `kind` is reduced, if it is one of the shared states."""
    state = sys.modules.get("accelerate.state")
    known = tuple(getattr(state, name) for name in _CLASSES if hasattr(state, name))
    return _reduce_state if issubclass(kind, known) and hasattr(kind, "_shared_state") else None


def _reduce_state(state: Any, carrier: Any) -> Any:
    return make_state, (type(state),), state._shared_state, None, None, set_state


def make_state(kind: Any) -> Any:
    """Return an object that shares what its class keeps."""
    state = object.__new__(kind)
    state.__dict__ = kind._shared_state
    return state


def set_state(state: Any, shared: dict[str, Any]) -> None:
    """Fill what the class keeps, for every object of it."""
    type(state)._shared_state.update(shared)
