"""Which sizes each model has met, and under which switches."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol
from weakref import WeakKeyDictionary

from gaudi_lab import shapes
from gaudi_lab.measure.causes.cause import Cause
from gaudi_lab.shapes import Shape, Shapes


class ShapedCall(Protocol):
    """One call of a model: what it is called, the model itself, and the sizes it was called with."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def module(self) -> Any: ...  # noqa: D102
    @property
    def shapes(self) -> Shapes: ...  # noqa: D102


class NotedCall(NamedTuple):
    """A `ShapedCall` that nobody watched."""

    name: str
    module: Any
    shapes: Shapes


class SeenShapes:
    """Remembers which shapes each model has met, and under which switches. Keeps no model alive."""

    def __init__(self) -> None:
        self._met: WeakKeyDictionary[Any, dict[Shapes, set[str]]] = WeakKeyDictionary()

    def is_new(self, call: ShapedCall, settings: str) -> bool:
        """Return whether `call` has not been noted yet under these switches."""
        return settings not in self._met.get(call.module, {}).get(call.shapes, ())

    def find_new(
        self, calls: Iterable[ShapedCall], settings: str
    ) -> tuple[tuple[Shape, ...], tuple[Cause, ...]]:
        """Take note of `calls` and return what was new in them.

        Parameters
        ----------
        calls
            In the order they happened.
        settings
            The switches meanwhile.

        Returns
        -------
        tuple of Shape
            Sizes that the model had never been called with.
        tuple of Cause
            One for each new combination of sizes and switches.
        """
        new: dict[Shape, None] = {}
        causes: dict[Cause, None] = {}
        for call in calls:
            met = self._met.setdefault(call.module, {})
            if call.shapes not in met and _known(call):
                met[call.shapes] = {settings}
            if call.shapes not in met:
                known = {shape for sizes in met for shape in sizes}
                fresh = [shape for shape in call.shapes if shape not in known]
                new.update(dict.fromkeys(fresh))
                causes[_new_shape(call)] = None
            elif settings not in met[call.shapes]:
                causes[Cause("switch", f"first time with {settings}")] = None
            met.setdefault(call.shapes, set()).add(settings)
        return tuple(new), tuple(causes)


def _known(call: ShapedCall) -> bool:
    """Return whether the model was called like this since it is followed, though nobody has noted the sizes here."""
    return getattr(call, "differences", None) == ()


def _new_shape(call: ShapedCall) -> Cause:
    where = f" for {call.name}" if call.name else ""
    return Cause("shape", f"new shape {shapes.text(call.shapes)}{where}")
