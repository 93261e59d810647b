"""What an evaluation cost, as metrics: compiling apart from steady work, and both with the device finished."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from gaudi_lab import bridge
from gaudi_lab.measure.timeline import Iteration, Timeline

# optimum-habana's names (its spelling, too) -> ours, after the prefix.
_ALIASES = {
    "graph_compliation_duration": "warmup_runtime",
    "graph_compilation_duration": "warmup_runtime",
    "throughput": "steady_samples_per_second",
}
_GIB = 1 << 30


class Metrics(dict[str, Any]):
    """Metrics that answer to optimum-habana's names as well, without listing them.

    Parameters
    ----------
    values
        Under their own names.
    prefix
        What their names begin with, such as "eval".
    memory
        Device memory, for optimum-habana's names of it.
    """

    def __init__(self, values: dict[str, Any], prefix: str, memory: bridge.Memory | None = None) -> None:
        super().__init__(values)
        self._aliases = {f"{prefix}_{theirs}": f"{prefix}_{ours}" for theirs, ours in _ALIASES.items()}
        self._memory = _name_memory(memory)

    def __missing__(self, name: str) -> Any:
        if name in self._memory:
            return self._memory[name]
        if name in self._aliases:
            return self[self._aliases[name]]
        raise KeyError(name)

    def __contains__(self, name: object) -> bool:
        return (
            super().__contains__(name) or name in self._memory or self._aliases.get(str(name)) in self.keys()
        )

    def get(self, name: str, default: Any = None) -> Any:
        """Return the metric of that name or alias, or `default`."""
        try:
            return self[name]
        except KeyError:
            return default


def summarize(
    timeline: Timeline, sizes: Sequence[int], counted: bridge.Counters, *, warmup_steps: int
) -> dict[str, Any]:
    """Return the metrics of one evaluation, without a prefix.

    Parameters
    ----------
    timeline
        One iteration a batch.
    sizes
        How many samples each batch had.
    counted
        What the bridge counted in the whole evaluation, between batches as well.
    warmup_steps
        First batches that the steady throughput leaves out, beside those that were not steady.

    Returns
    -------
    dict
        warmup_runtime (s) of the batches that do not count as steady; graph_compilations and
        graph_compilation_time (s); steady_samples_per_second, None if no batch was steady; cpu_fallbacks.
        Where all steady batches are among the first `warmup_steps`, all of them count.
    """
    warm = {i.number for i in timeline.iterations if not i.steady}
    left_out = warm | set(range(1, warmup_steps + 1))
    steady = list(_leave_out(timeline, sizes, left_out)) or list(_leave_out(timeline, sizes, warm))
    warmup = sum(i.wall_time for i in timeline.iterations) - sum(i.wall_time for i, _ in steady)
    seconds = sum(iteration.wall_time for iteration, _ in steady)
    samples = sum(size for _, size in steady)
    return {
        "warmup_runtime": round(warmup, 4),
        "graph_compilations": counted.compilations,
        "graph_compilation_time": round(counted.compile_time, 4),
        "steady_samples_per_second": round(samples / seconds, 3) if seconds > 0 else None,
        "cpu_fallbacks": counted.cpu_fallbacks,
    }


def _leave_out(
    timeline: Timeline, sizes: Sequence[int], left_out: set[int]
) -> Iterator[tuple[Iteration, int]]:
    for iteration, size in zip(timeline.iterations, sizes, strict=False):
        if iteration.number not in left_out:
            yield iteration, size


def _name_memory(memory: bridge.Memory | None) -> dict[str, float]:
    if memory is None:
        return {}
    return {
        "memory_allocated (GB)": round(memory.in_use / _GIB, 2),
        "max_memory_allocated (GB)": round(memory.peak / _GIB, 2),
        "total_memory_available (GB)": round(memory.limit / _GIB, 2),
    }
