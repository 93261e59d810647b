"""What models were called with, under which switches, and what steady calls took."""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Hashable, Iterable, Sequence
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from gaudi_lab.measure.causes.seen import ShapedCall
from gaudi_lab.shapes import Shapes

MOST_SIZES = 256
"""So many sizes, and so many calls, of a model are remembered, the latest."""

LATEST_TIMES = 100
"""So many times of each size are kept."""

_Times = dict[tuple[str, Shapes], deque[float]]


class SignedCall(Protocol):
    """A call of a model that is followed."""

    @property
    def module(self) -> Any: ...  # noqa: D102
    @property
    def signature(self) -> Any: ...  # noqa: D102


class MetCalls:
    """Which calls were made of each model under which switches. Keeps no model alive."""

    def __init__(self) -> None:
        self._met: WeakKeyDictionary[Any, dict[tuple[Hashable, Any], None]] = WeakKeyDictionary()
        self._moved: WeakKeyDictionary[Any, list[tuple[int, Hashable]]] = WeakKeyDictionary()

    def note(self, call: SignedCall, switches: Hashable, compiled: int) -> None:
        """Take note of a call, and of how many compiles there were before it in all."""
        module = call.module
        if module is None:
            return
        moved = self._moved.setdefault(module, [])
        if not moved or moved[-1][1] != switches:
            moved.append((compiled, switches))
            del moved[:-MOST_SIZES]
        met = self._met.setdefault(module, {})
        met[switches, call.signature] = None
        if len(met) > MOST_SIZES:
            del met[next(iter(met))]

    def signatures(self, module: Any, switches: Hashable) -> list[Any]:
        """Return the different calls of a model under these switches."""
        return [signature for under, signature in self._met.get(module, {}) if under == switches]

    def compiled_under(self, module: Any, switches: Hashable, compiled: int) -> bool:
        """Return whether the latest call of a model before so many compiles in all was under these switches."""
        under = [switches for first, switches in self._moved.get(module, []) if first <= compiled]
        return bool(under) and under[-1] == switches


class SteadyTimes:
    """Seconds of iterations that were steady and made one call of one model. Keeps no model alive."""

    def __init__(self) -> None:
        self._times: WeakKeyDictionary[Any, _Times] = WeakKeyDictionary()

    def note(self, calls: Iterable[ShapedCall], settings: str, seconds: float) -> None:
        """Take note of a steady iteration; of one with more calls than one, or none, nothing.

        Parameters
        ----------
        calls
            What was called meanwhile.
        settings
            The switches meanwhile.
        seconds
            How long it took, the device finished at its end.
        """
        made = list(calls)
        if len(made) != 1 or made[0].module is None:
            return
        times = self._times.setdefault(made[0].module, {})
        times.setdefault((settings, made[0].shapes), deque(maxlen=LATEST_TIMES)).append(seconds)
        if len(times) > MOST_SIZES:
            del times[next(iter(times))]

    def medians(self, module: Any, settings: str) -> list[tuple[Shapes, float]]:
        """Return the sizes that a model was called with under these switches, with the median of each."""
        times = self._times.get(module, {})
        return [(shapes, statistics.median(x)) for (under, shapes), x in times.items() if under == settings]


def seconds_per_element(medians: Sequence[tuple[int, float]]) -> float | None:
    """Return what one element more takes, by least squares over sizes.

    Parameters
    ----------
    medians
        Number of elements and seconds, one pair a size.

    Returns
    -------
    float or None
        The slope of a line; 0 if larger was not slower. Of one size, its seconds by its elements: more than an
        element takes, because all that does not depend on the size is in it. None without a size.
    """
    found = [(elements, seconds) for elements, seconds in medians if elements]
    if not found:
        return None
    sizes, times = zip(*found, strict=True)
    if len(set(sizes)) == 1:
        return statistics.mean(times) / sizes[0]
    return max(statistics.linear_regression(sizes, times).slope, 0.0)


met_calls = MetCalls()
"""Those of this process."""

steady_times = SteadyTimes()
"""Those of this process."""
