"""Runs something repeatedly, or watches it run, and writes down what each iteration cost and why."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gaudi_lab import bridge
from gaudi_lab.instruments.handle import Handle
from gaudi_lab.measure.causes.cause import Cause
from gaudi_lab.measure.causes.history import Compile
from gaudi_lab.measure.causes.seen import NotedCall, SeenShapes, ShapedCall
from gaudi_lab.measure.iterations import make_iteration
from gaudi_lab.measure.timeline import Iteration, Timeline
from gaudi_lab.shapes import Shapes

if TYPE_CHECKING:
    from gaudi_lab.measure.causes.watching import Watching

STEADY_AFTER = 3
"""Steady iterations in a row after which `until_steady` stops."""

MOST_ITERATIONS = 100
"""Where `until_steady` gives up."""


@dataclass(frozen=True)
class Watch:
    """What a recorder watches, given by whoever holds the models.

    Attributes
    ----------
    modules
        The models to observe, by name; their calls tell the shapes.
    settings
        The switches, as text.
    graphs
        For each HPU graph captured so far, how often it has been replayed.
    seen
        What has been seen before this recording.
    """

    modules: Mapping[str, Any] = field(default_factory=dict)
    settings: str = ""
    graphs: Callable[[], list[int]] = list
    seen: SeenShapes = field(default_factory=SeenShapes)


class Recorder:
    """Measures iterations one at a time, whoever drives them.

    Watches its models from entering until leaving its `with` block; nothing of it stays on them.

    Parameters
    ----------
    watch
        What to watch; nothing but the bridge's counters if not given.
    on_iteration
        Called with each iteration as it ends, to show progress.
    clock
        Seconds, as `time.perf_counter` gives them.

    Examples
    --------
    >>> with Recorder(watch) as recorder:
    ...     for batch in batches:
    ...         with recorder.iteration():
    ...             model(**batch)
    >>> recorder.timeline
    """

    def __init__(
        self,
        watch: Watch | None = None,
        *,
        on_iteration: Callable[[Iteration], None] | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._watch = watch or Watch()
        self._on_iteration = on_iteration
        self._clock = clock
        self._iterations: list[Iteration] = []
        self._calls: list[ShapedCall] = []
        self._compiled = 0
        self._watches: list[Handle] = []
        self._interrupted = False

    def __enter__(self) -> Recorder:
        if self._watch.modules:
            for name, module in self._watch.modules.items():
                self._watches.append(_watching().follow(name, module, self._calls.append))
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: Any) -> None:
        while self._watches:
            self._watches.pop().remove()
        self._interrupted = kind is not None

    @contextmanager
    def iteration(self) -> Iterator[None]:
        """Measure what happens inside as one iteration.

        The device is made to finish what came before, and what happens inside. An iteration that raises is
        not recorded.
        """
        self._calls.clear()
        bridge.settle()
        watching = _watching_there_is()
        self._compiled = watching.history.number if watching is not None else 0
        counted, graphs, started = bridge.counters(), self._watch.graphs(), self._clock()
        yield
        bridge.settle()
        wall_time = self._clock() - started
        cost = bridge.counters().since(counted)
        self._finish(wall_time, cost, graphs)

    def saw(self, name: str, shapes: Shapes) -> bool:
        """Note one call that no watch sees, and return whether it is new under these switches.

        Parameters
        ----------
        name
            What was called in the running iteration; empty where there is only one such thing.
        shapes
            The sizes it was called with.
        """
        seen = self._watch.seen
        # What has no model to belong to belongs to the record itself.
        call = NotedCall(name, seen, shapes)
        self._calls.append(call)
        return seen.is_new(call, self._watch.settings)

    @property
    def timeline(self) -> Timeline:
        """All iterations so far."""
        return Timeline(
            tuple(self._iterations),
            settings=self._watch.settings,
            emulated=bridge.identity().emulated,
            interrupted=self._interrupted,
        )

    @property
    def steady_in_a_row(self) -> int:
        """How many of the latest iterations were steady."""
        count = 0
        for iteration in reversed(self._iterations):
            if not iteration.steady:
                break
            count += 1
        return count

    def _finish(self, wall_time: float, cost: bridge.Counters, graphs: list[int]) -> None:
        iteration = make_iteration(
            len(self._iterations) + 1,
            wall_time,
            cost,
            (graphs, self._watch.graphs()),
            calls=self._calls,
            settings=self._watch.settings,
            seen=self._watch.seen,
            compiles=self._compiles(),
            likely=self._likely(),
        )
        self._iterations.append(iteration)
        if self._on_iteration is not None:
            self._on_iteration(iteration)

    def _compiles(self) -> list[Compile]:
        watching = _watching_there_is()
        return watching.history.since(self._compiled) if watching is not None else []

    def _likely(self) -> tuple[Cause, ...]:
        return _watching().likely(self._calls) if self._watches else ()


def _watching_there_is() -> Watching | None:
    """Return the watch over compilers, if anybody has begun one: then it is imported."""
    module = sys.modules.get("gaudi_lab.measure.causes.watching")
    return None if module is None else module.watching


def _watching() -> Watching:
    # Imported when a model is there: watching needs torch, and a recorder without models does not.
    from gaudi_lab.measure.causes.watching import watching

    return watching


def run(
    function: Callable[..., Any],
    recorder: Recorder,
    *,
    n: int,
    until_steady: bool = False,
    over: Iterable[Any] | None = None,
) -> Timeline:
    """Call `function` repeatedly under `recorder`.

    Parameters
    ----------
    function
        What to measure; called without arguments, or with each item of `over`.
    recorder
        Entered and left here.
    n
        How many times; with `until_steady` at least so many; with `over` how many times through it.
    until_steady
        Go on until nothing was compiled, captured or new three times in a row.
    over
        Inputs to call `function` with, one an iteration.

    Returns
    -------
    Timeline
        Complete. If `function` raises, `recorder.timeline` has the iterations before.
    """
    inputs = [()] if over is None else [(item,) for item in over]
    with recorder:
        done = 0
        while done < n or (until_steady and _unsettled(recorder, done, len(inputs))):
            for arguments in inputs:
                with recorder.iteration():
                    function(*arguments)
            done += 1
    return recorder.timeline


def _unsettled(recorder: Recorder, rounds: int, a_round: int) -> bool:
    return recorder.steady_in_a_row < STEADY_AFTER * a_round and rounds < MOST_ITERATIONS
