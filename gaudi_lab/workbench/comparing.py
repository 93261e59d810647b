"""From what a user asks to compare to the result: which settings, by which method, written where."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gaudi_lab import bridge
from gaudi_lab.comparison import folding, records
from gaudi_lab.comparison.bounds import Bounds, Stopped, caches
from gaudi_lab.comparison.candidates import ENVIRONMENT, Candidate, make_candidates, vary_options
from gaudi_lab.comparison.limits import parse_limits
from gaudi_lab.comparison.methods import fresh, on_ray, packing
from gaudi_lab.comparison.methods.packing import Packed
from gaudi_lab.comparison.methods.resident import compare_resident
from gaudi_lab.comparison.plan import FRESH_ROUNDS, ROUNDS, Estimate, Procedure, estimate
from gaudi_lab.comparison.records import Journal, Record
from gaudi_lab.comparison.result import Comparison
from gaudi_lab.comparison.row import FRESH, METHODS, RESIDENT
from gaudi_lab.comparison.whereabouts import take_fingerprint, variables
from gaudi_lab.comparison.written_settings import parse_settings
from gaudi_lab.errors import LabError, LabValueError
from gaudi_lab.measure.causes.watching import watching
from gaudi_lab.settings import Mode, Settings, combinations
from gaudi_lab.workbench import lab
from gaudi_lab.workbench.comparing_progress import ComparingProgress
from gaudi_lab.workbench.subjects import SwitchedSubject


def compare(
    subject: SwitchedSubject,
    settings: Iterable[Settings | str] | None,
    over: Mapping[str, Sequence[Any]],
    *,
    rounds: int | None,
    calls: int | None,
    tolerance: float | None,
    limit: str | float | None,
    method: str | None,
    path: str | Path | None,
    resume: str | Path | Comparison | None,
    quiet: bool,
) -> Comparison:
    """Compare settings; parameters as in `gaudi_lab.compare`."""
    chosen, notes = _choose(subject, settings)
    own = {name: values for name, values in over.items() if subject.call.has_argument(name)}
    chosen, others = vary_options(chosen, {name: x for name, x in over.items() if name not in own})
    others = {
        name: over[name] for name in over if name in own or name in others
    }  # in the order they were given
    candidates = tuple(make_candidates(chosen, others))
    notes += subject.on_the_host()
    subject.call.check({name: values for name, values in others.items() if name != ENVIRONMENT})
    chosen_method = _choose_method(candidates, method)
    if rounds is None:
        rounds = ROUNDS if chosen_method == RESIDENT else FRESH_ROUNDS
    if rounds < 1 or (calls is not None and calls < 1):
        raise LabValueError(
            "rounds and calls are 1 at least.",
            python="gaudi_lab.compare(model, rounds=5, calls=10)",
            magic="%gaudi_compare --rounds 5 model(**batch)",
        )
    limits = parse_limits(limit)
    plan = Procedure(candidates, rounds, calls, tolerance, limits.turn)
    bounds = Bounds(limits, caches(dict(one.environment) for one in candidates))
    with ExitStack() as opened:
        # All that may be refused comes before the first record is written.
        prepared = _prepare(subject, plan, chosen_method, bounds, opened)
        journal = _open_journal(_head(subject, plan, notes), path, resume)
        if journal.path is not None:
            bounds.count(journal.path.absolute())
        opened.enter_context(_progress(plan, chosen_method, journal, prepared, bounds, quiet=quiet))
        opened.enter_context(lab.current().compiles.no_live_line())
        # Nothing may be attached yet: what is compared is, while it is tried.
        opened.enter_context(watching.tried_by("compare"))
        _go(journal, bounds, lambda: prepared.carry_out(journal))
    subject.rewind()
    return folding.fold(journal.records, journal.path)


@dataclass(frozen=True)
class _Prepared:
    """What carries a plan out, writing to a journal; the bytes it has on disk meanwhile, and where it runs."""

    carry_out: Callable[[Journal], None]
    disk: int = 0
    where: str = ""


def _prepare(
    subject: SwitchedSubject, plan: Procedure, method: str, bounds: Bounds, opened: ExitStack
) -> _Prepared:
    if method == RESIDENT:
        return _Prepared(lambda journal: compare_resident(subject, plan.candidates, plan, journal, bounds))
    if method == FRESH:
        fresh.refuse_held_device(plan.candidates)
        what = _without_switches(subject)
        bounds.admit(what.size, Path(tempfile.gettempdir()))
        folder = opened.enter_context(fresh.packed(what))
        return _Prepared(
            lambda journal: fresh.compare_fresh(folder, plan.candidates, plan, journal, bounds), what.size
        )
    if bounds.limits.disk is not None:
        raise LabError(
            "How much disk a cluster's workers take is not known here, so it cannot be limited.",
            python='gaudi_lab.compare(..., method="ray", limit="20 min")',
            magic='%gaudi_compare --method ray --limit "20 min" ...',
        )
    what = _without_switches(subject)
    cluster = opened.enter_context(on_ray.cluster(bridge.device_count()))
    environments = [
        {**variables(), **bridge.environment_for(one.settings.mode.is_lazy), **dict(one.environment)}
        for one in plan.candidates
    ]

    def on_cluster(journal: Journal) -> None:
        on_ray.compare_on_ray(what, plan.candidates, plan, journal, environments, cluster.devices, bounds)

    return _Prepared(on_cluster, where=f"{cluster.where}, {cluster.devices} HPU{'s' * (cluster.devices > 1)}")


def _without_switches(subject: SwitchedSubject) -> Packed:
    """Return what travels to other processes, with nothing of the workbench on it."""
    workbench = lab.current()
    aside = workbench.set_aside()
    try:
        return packing.pack(subject)
    finally:
        workbench.take_up(aside)


def _choose(
    subject: SwitchedSubject, asked: Iterable[Settings | str] | None
) -> tuple[list[Settings], list[str]]:
    """Return the settings to try. Of all that there are, those that these models cannot have are left out, with why."""
    if asked is not None:
        asked = [asked] if isinstance(asked, (str, Settings)) else list(asked)
        return [parse_settings(one) if isinstance(one, str) else one for one in asked], []
    # Plain eager mode comes first: it is what others are measured by.
    every = sorted(combinations(), key=lambda settings: settings != Settings(Mode.EAGER))
    reasons = {settings: subject.why_not(settings) for settings in every}
    return [s for s in every if not reasons[s]], list(dict.fromkeys(filter(None, reasons.values())))


def _choose_method(candidates: Sequence[Candidate], asked: str | None) -> str:
    """Return how candidates are tried: in this process, unless something about them is decided by an import."""
    frozen = [candidate for candidate in candidates if _needs_fresh_process(candidate)]
    if asked is None:
        return FRESH if frozen else RESIDENT
    if asked not in METHODS:
        raise LabValueError(
            f"{asked!r} is no method; there are {', '.join(METHODS)}.",
            python='gaudi_lab.compare(model, method="fresh")',
        )
    if METHODS[asked] == RESIDENT and frozen:
        reach = Mode.of_process(bridge.is_lazy())
        instead = f"settings=gaudi_lab.settings.combinations(gaudi_lab.Mode.{reach.name})"
        if any(candidate.environment for candidate in frozen):
            instead = 'method="fresh"'
        raise LabError(
            f"{frozen[0]} cannot be tried in this process: its mode or its variables are read when the bridge loads.",
            python=f"gaudi_lab.compare(..., {instead})",
        )
    return METHODS[asked]


def _needs_fresh_process(candidate: Candidate) -> bool:
    return bool(candidate.environment) or bridge.needs_fresh_process(candidate.settings.mode.is_lazy)


def _head(subject: SwitchedSubject, plan: Procedure, notes: list[str]) -> Record:
    return {
        "kind": "comparison",
        "format": records.FORMAT,
        "name": subject.name,
        "what": subject.kind,
        "candidates": [records.from_candidate(candidate) for candidate in plan.candidates],
        "fingerprint": take_fingerprint(),
        "emulated": bridge.identity().emulated,
        "notes": notes,
        "source": subject.source,
        "setup": subject.setup,
        "models": list(subject.models) if subject.kind == "function" else [],
        "inputs": subject.call.inputs,
    }


def _open_journal(head: Record, path: str | Path | None, resume: str | Path | Comparison | None) -> Journal:
    """Return where records go; with what is there already, if that is to be gone on with."""
    if resume is None:
        journal = _new_journal(path)
        journal.put(head)
        return journal
    if isinstance(resume, Comparison):
        before = folding.unfold(resume) if resume.path is None else records.read(resume.path)
        where = resume.path
    else:
        before, where = records.read(resume), Path(resume)
    old = before[-1] if before[-1]["kind"] == "comparison" else before[0]
    _require_same(old, head)
    if path is None or (where is not None and where.absolute() == Path(path).absolute()):
        if where is not None:
            records.cut_back(where)
        journal = Journal(where, before)
    else:
        journal = _new_journal(path)
        for record in before:
            journal.put(record)
    if old["candidates"] != head["candidates"] or old is not before[0]:
        journal.put(head)
    return journal


def _require_same(old: Record, head: Record) -> None:
    """Raise if what was measured then, or where, is not what is to stand in one table with it."""
    if old["name"] != head["name"]:
        raise LabError(f"That comparison is of {old['name']}, and this one is of {head['name']}.")
    known = ("source",) if old["source"] and head["source"] else ()
    before, now = (
        {**{name: record[name] for name in ("what", *known)}, **record["inputs"], **record["fingerprint"]}
        for record in (old, head)
    )
    if other := sorted(name for name in {*before, *now} if before.get(name) != now.get(name)):
        told = "; ".join(f"{name} {before.get(name, '–')}, now {now.get(name, '–')}" for name in other)
        raise LabError(
            f"What was measured then cannot be gone on with here: {told}. Two comparisons can be laid side by side.",
            python="comparison.beside(earlier)",
        )


def _new_journal(path: str | Path | None) -> Journal:
    if path is not None and Path(path).exists():
        raise LabError(
            f"{path} is there already.",
            python=f'gaudi_lab.compare(..., resume="{path}")  # or another path',
        )
    return Journal(None if path is None else Path(path))


def _go(journal: Journal, bounds: Bounds, run: Callable[[], None]) -> None:
    """Run, and write down how it ended. An interrupt keeps what is there, and so does a limit."""
    started = time.perf_counter()
    interrupted, stopped = True, ""
    try:
        run()
        interrupted = False
    except KeyboardInterrupt:
        pass  # told by the record
    except Stopped as limit:
        stopped = str(limit)
    finally:
        bounds.measure()
        seconds = time.perf_counter() - started
        journal.add("end", interrupted=interrupted, stopped=stopped, seconds=seconds, disk=bounds.most)


def _progress(
    plan: Procedure, method: str, journal: Journal, prepared: _Prepared, bounds: Bounds, *, quiet: bool
) -> ComparingProgress:
    resident = method == RESIDENT
    fresh_ones = 0 if resident else len(plan.candidates)
    # One that runs in this process is warmed up and compared before the first turn.
    turns = len(plan.candidates) * (plan.rounds + resident)
    ends = ("evidence", "timed", "error") if resident else ("timed", "error")

    def better(call: float | None) -> Estimate:
        found = estimate(plan, fresh_ones, call, prepared.disk, plan.rounds, bounds.limits)
        return replace(found, where=prepared.where)

    return ComparingProgress(better(None), better, turns, ends, journal, quiet=quiet)
