"""Name the smaller last batch where it is what compiled, and the ways out."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from gaudi_lab.measure.timeline import Cause, Iteration, Timeline


def explained(timeline: Timeline, sizes: Sequence[int]) -> Timeline:
    """Return `timeline` with a smaller last batch named as the cause of what it compiled.

    Parameters
    ----------
    timeline
        One iteration a batch.
    sizes
        How many samples each batch had.
    """
    if len(sizes) != len(timeline.iterations) or len(sizes) < 2:
        return timeline
    full, rest = max(sizes), sizes[-1]
    last = timeline.iterations[-1]
    if rest == full or not (last.compilations or last.captures):
        return timeline
    # A shape that was met before, with other switches, is captured or compiled anew with these.
    first = next((c for c in last.causes if c.kind == "shape"), last.causes[0] if last.causes else None)
    named = tuple(_named(cause, rest, full) if cause is first else cause for cause in last.causes)
    iteration: Iteration = dataclasses.replace(last, causes=named)
    return dataclasses.replace(timeline, iterations=(*timeline.iterations[:-1], iteration))


def _named(cause: Cause, rest: int, full: int) -> Cause:
    return Cause(
        "last batch",
        f"{cause.text}, for the last batch with {rest} of {full} samples (dataloader_drop_last=True drops {rest}, "
        "pad_last_batch=True fills it up)",
    )
