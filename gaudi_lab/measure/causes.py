"""Why an iteration compiled: what was new in it, compared with all that was seen before."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from gaudi_lab import shapes
from gaudi_lab.bridge import Counters
from gaudi_lab.measure.timeline import Cause, Iteration
from gaudi_lab.shapes import Shape, Shapes


@dataclass(frozen=True)
class Call:
    """One observed call of a model.

    Attributes
    ----------
    name
        The model's name.
    module
        The model itself; only its identity matters.
    shapes
        The sizes it was called with.
    """

    name: str
    module: Any
    shapes: Shapes


class SeenShapes:
    """Remembers which shapes each model has met, and under which switches. Keeps no model alive."""

    def __init__(self) -> None:
        self._met: WeakKeyDictionary[Any, dict[Shapes, set[str]]] = WeakKeyDictionary()

    def is_new(self, call: Call, settings: str) -> bool:
        """Return whether `call` has not been noted yet under these switches."""
        return settings not in self._met.get(call.module, {}).get(call.shapes, ())

    def find_new(self, calls: Iterable[Call], settings: str) -> tuple[tuple[Shape, ...], tuple[Cause, ...]]:
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
            if call.shapes not in met:
                known = {shape for sizes in met for shape in sizes}
                fresh = [shape for shape in call.shapes if shape not in known]
                new.update(dict.fromkeys(fresh))
                causes[_new_shape(call)] = None
            elif settings not in met[call.shapes]:
                causes[Cause("switch", f"first time with {settings}")] = None
            met.setdefault(call.shapes, set()).add(settings)
        return tuple(new), tuple(causes)


def iteration(
    number: int,
    wall_time: float,
    cost: Counters,
    replays: tuple[list[int], list[int]],
    *,
    calls: Iterable[Call],
    settings: str,
    seen: SeenShapes,
) -> Iteration:
    """Return one iteration with what was new in it.

    Parameters
    ----------
    number, wall_time
        Its number from 1, and its seconds.
    cost
        What the bridge counted meanwhile.
    replays
        For each captured HPU graph how often it had been replayed, before and after.
    calls, settings
        Which models were called meanwhile, and under which switches.
    seen
        What has been seen before; takes note of the calls.
    """
    before, after = replays
    captures = max(len(after) - len(before), 0)
    new_shapes, found = seen.find_new(calls, settings)
    causes = all_causes(
        found,
        compilations=cost.compilations,
        captures=captures,
        first_replays=sum(map(bool, after)) - sum(map(bool, before)),
        fallbacks=cost.fallback_operators,
        miscompiled=cost.miscompiled,
    )
    return Iteration(number, wall_time, cost.compilations, cost.compile_time, captures, new_shapes, causes)


def all_causes(
    found: Iterable[Cause],
    *,
    compilations: int,
    captures: int,
    first_replays: int,
    fallbacks: Iterable[str],
    miscompiled: Iterable[str] = (),
) -> tuple[Cause, ...]:
    """Return the causes already found and those that can be told from what was counted, each said once.

    Parameters
    ----------
    found
        Causes from `SeenShapes.find_new`.
    compilations, captures
        Graphs compiled and HPU graphs captured meanwhile.
    first_replays
        HPU graphs replayed for the first time: copying inputs into a graph is compiled apart from it.
    fallbacks
        Operators that ran on the host.
    miscompiled
        Graphs that turned out to be compiled wrongly, as sentences.
    """
    # That a graph was captured already says that the switches are new.
    causes = [cause for cause in found if not (captures and cause.kind == "switch")]
    if captures:
        causes.append(
            Cause("graph", f"captured {captures} HPU graphs" if captures > 1 else "captured an HPU graph")
        )
    if names := ", ".join(sorted(fallbacks)):
        causes.append(Cause("fallback", f"ran on the host: {names}"))
    causes += [Cause("compiler", text) for text in miscompiled]
    if compilations and first_replays > 0:
        causes.append(Cause("graph", "first replay"))
    if compilations and not causes:
        causes.append(Cause("unknown", "other operators or values"))
    return tuple(causes)


def _new_shape(call: Call) -> Cause:
    where = f" for {call.name}" if call.name else ""
    return Cause("shape", f"new shape {shapes.text(call.shapes)}{where}")
