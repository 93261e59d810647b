"""What a warm-up was made of, as plain values. Every time is in seconds."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from gaudi_lab.measure.causes.cause import Cause
from gaudi_lab.rendered import Rendered
from gaudi_lab.shapes import Shape


def spread(times: Sequence[float]) -> float:
    """Return half the width of the middle half of two times or more."""
    lower, _, upper = statistics.quantiles(times, n=4, method="inclusive")
    return (upper - lower) / 2


@dataclass(frozen=True, repr=False)
class Iteration(Rendered):
    """One run of what was measured, with the device finished at its end.

    Attributes
    ----------
    number
        1 for the first.
    wall_time
        Seconds from start to the device having finished.
    compilations, compile_time
        Graphs compiled meanwhile, and the seconds it took. With several compile threads these seconds can
        overlap.
    tracing
        Seconds that `torch.compile` took besides: Dynamo's, and the backend's for what is no graph yet. Captures are
        in neither: they run the model.
    compiling_again
        Seconds, tracing included and captures not, for what was compiled before in another form; None if nobody tells.
    captures
        HPU graphs captured meanwhile.
    new_shapes
        Input shapes that no attached model had been called with before.
    causes
        Why it was not steady, and what ran on the host, which is no reason: it does so in every run.
    """

    number: int
    wall_time: float
    compilations: int = 0
    compile_time: float = 0.0
    captures: int = 0
    new_shapes: tuple[Shape, ...] = ()
    causes: tuple[Cause, ...] = ()
    compiling_again: float | None = None
    tracing: float = 0.0

    @property
    def compiling(self) -> float:
        """Seconds spent compiling, tracing included."""
        return self.compile_time + self.tracing

    @property
    def steady(self) -> bool:
        """Whether nothing was compiled, captured or met for the first time."""
        new = any(cause.kind != "fallback" for cause in self.causes)
        return not (self.compilations or self.captures or new)


@dataclass(frozen=True, repr=False)
class Timeline(Rendered):
    """Iterations in the order they ran.

    Attributes
    ----------
    iterations
        One entry for each.
    settings
        The switches meanwhile, such as "lazy + HPU graphs".
    emulated
        Whether the device was emulated on the CPU: its times are then not a Gaudi's.
    interrupted
        Whether it was stopped before its end.
    """

    iterations: tuple[Iteration, ...] = ()
    settings: str = ""
    emulated: bool = False
    interrupted: bool = False

    @property
    def steady(self) -> tuple[Iteration, ...]:
        """The iterations in which nothing was compiled, captured or new."""
        return tuple(iteration for iteration in self.iterations if iteration.steady)

    @property
    def warmup_time(self) -> float:
        """Seconds spent in iterations that were not steady."""
        return sum(iteration.wall_time for iteration in self.iterations if not iteration.steady)

    @property
    def compilations(self) -> int:
        """Graphs compiled in all iterations."""
        return sum(iteration.compilations for iteration in self.iterations)

    @property
    def compile_time(self) -> float:
        """Seconds for which graphs were compiled in all iterations."""
        return sum(iteration.compile_time for iteration in self.iterations)

    @property
    def tracing(self) -> float:
        """Seconds that `torch.compile` took besides in all iterations."""
        return sum(iteration.tracing for iteration in self.iterations)

    @property
    def compiling(self) -> float:
        """Seconds spent compiling in all iterations, tracing included."""
        return self.compile_time + self.tracing

    @property
    def compiling_share(self) -> float | None:
        """Which part of the wall time was compiling, tracing included, between 0 and 1; None if nothing ran."""
        wall_time = sum(iteration.wall_time for iteration in self.iterations)
        return min(self.compiling / wall_time, 1.0) if wall_time else None

    @property
    def compiling_again(self) -> float | None:
        """Seconds for what was compiled before in another form; None if nobody tells."""
        times = [iteration.compiling_again for iteration in self.iterations]
        known = [time for time in times if time is not None]
        return sum(known) if known else None

    @property
    def iterations_to_steady(self) -> int | None:
        """How many iterations passed until all that followed were steady; None if the last one was not."""
        last = max((i.number for i in self.iterations if not i.steady), default=0)
        return last if last < len(self.iterations) else None

    @property
    def steady_median(self) -> float | None:
        """Median wall time of the steady iterations; None without any."""
        times = [iteration.wall_time for iteration in self.steady]
        return statistics.median(times) if times else None

    @property
    def steady_spread(self) -> float | None:
        """Half the width of the middle half of the steady wall times; None for fewer than two."""
        times = [iteration.wall_time for iteration in self.steady]
        return spread(times) if len(times) > 1 else None
