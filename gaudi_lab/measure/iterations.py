"""From what was counted and watched during one iteration to its entry in a timeline."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gaudi_lab.bridge import Counters
from gaudi_lab.measure.causes.cause import Cause
from gaudi_lab.measure.causes.history import Compile
from gaudi_lab.measure.causes.seen import SeenShapes, ShapedCall
from gaudi_lab.measure.steady import steady_times
from gaudi_lab.measure.timeline import Iteration


def make_iteration(
    number: int,
    wall_time: float,
    cost: Counters,
    replays: tuple[list[int], list[int]],
    *,
    calls: Iterable[ShapedCall],
    settings: str,
    seen: SeenShapes,
    compiles: Sequence[Compile] = (),
    likely: Sequence[Cause] = (),
) -> Iteration:
    """Return one iteration with what was new in it, and take note of what it took if it was steady.

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
    compiles
        What was compiled meanwhile, with its causes, as far as anybody tells.
    likely
        What is new in the calls.
    """
    calls = list(calls)
    before, after = replays
    captures = max(len(after) - len(before), 0)
    new_shapes, found = seen.find_new(calls, settings)
    compiled = [x for x in compiles if x.layer != "HPU graph"]
    causes = all_causes(
        found,
        compiles,
        likely,
        compilations=cost.compilations,
        captures=captures,
        first_replays=sum(map(bool, after)) - sum(map(bool, before)),
        fallbacks=cost.fallback_operators,
        miscompiled=cost.miscompiled,
    )
    iteration = Iteration(
        number,
        wall_time,
        cost.compilations,
        cost.compile_time,
        captures,
        new_shapes,
        causes,
        sum(x.seconds for x in compiled if x.cause.again) if compiles else None,
        # What a backend compiles while Dynamo waits for it is in the seconds of both.
        max(sum(x.seconds for x in compiled if x.layer == "Dynamo") - cost.compile_time, 0.0),
    )
    if iteration.steady:
        steady_times.note(calls, settings, wall_time)
    return iteration


def all_causes(
    found: Iterable[Cause],
    compiles: Sequence[Compile] = (),
    likely: Sequence[Cause] = (),
    *,
    compilations: int,
    captures: int,
    first_replays: int,
    fallbacks: Iterable[str],
    miscompiled: Iterable[str] = (),
) -> tuple[Cause, ...]:
    """Return why an iteration was not steady, each cause once, what is established first.

    Parameters
    ----------
    found
        What is new in the sizes and switches.
    compiles
        What was compiled and why, as far as anybody tells.
    likely
        What is new in the calls: told where nobody tells why something was compiled.
    compilations, captures
        Graphs compiled and HPU graphs captured meanwhile.
    first_replays
        HPU graphs replayed for the first time: copying inputs into a graph is compiled apart from it.
    fallbacks
        Operators that ran on the host.
    miscompiled
        Graphs that turned out to be compiled wrongly, as sentences.
    """
    causes = list({x.cause.alike: x.cause for x in compiles}.values())
    if not causes:
        causes = list(likely) if compilations and likely else list(found)
        # That a graph was captured already says that the switches are new.
        causes = [cause for cause in causes if not (captures and cause.kind == "switch")]
    if captures and not any(x.layer == "HPU graph" for x in compiles):
        text = f"captured {captures} HPU graphs" if captures > 1 else "captured an HPU graph"
        causes.append(Cause("graph", text))
    if names := ", ".join(sorted(fallbacks)):
        causes.append(Cause("fallback", f"ran on the host: {names}"))
    causes += [Cause("compiler", text) for text in miscompiled]
    if compilations and first_replays > 0 and not compiles:
        causes.append(Cause("graph", "first replay"))
    if compilations and not causes:
        causes.append(Cause("unknown", "other operators or values", established=False))
    return tuple(causes)
