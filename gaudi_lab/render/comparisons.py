"""How comparisons are laid out: the table of settings, and the picture of total times."""

from __future__ import annotations

import math
from typing import Any

from gaudi_lab.comparison import noise
from gaudi_lab.comparison.limits import say_bytes, say_seconds
from gaudi_lab.comparison.plan import Estimate
from gaudi_lab.comparison.result import FASTER, NO_DIFFERENCE, Beside, Comparison, crossings
from gaudi_lab.comparison.row import FRESH, RAY, RESIDENT, OutputDifference, Row
from gaudi_lab.comparison.subject import WhatRan
from gaudi_lab.errors import LabError
from gaudi_lab.render import layout, units

_HEADS = (
    "settings",
    "warm-up",
    "compiles",
    "steady (IQR, n)",
    "a second",
    "ratio",
    "pays",
    "peak",
    "difference",
)


@layout.line.register
def _(estimate: Estimate) -> str:
    fresh = f"{estimate.fresh} of them in fresh processes" if 0 < estimate.fresh < estimate.candidates else ""
    if estimate.fresh == estimate.candidates:
        fresh = "in fresh processes"
    return layout.join(
        f"comparing {units.count(estimate.candidates, 'setting')} in {units.count(estimate.rounds, 'round')}",
        f"{fresh} on {estimate.where}" if estimate.where else fresh,
        f"about {units.seconds(estimate.seconds)} and what compiles" if estimate.seconds is not None else "",
        _limited(estimate),
        f"{units.size(estimate.disk)} on disk meanwhile" if estimate.disk else "",
    )


def _limited(estimate: Estimate) -> str:
    limits = estimate.limits
    turn = f"{say_seconds(limits.turn)} a turn" if limits.turn is not None else ""
    if limits.seconds is None and limits.disk is None:
        most = "" if estimate.most is None else f"at most {units.seconds(estimate.most)}"
        return f"{most} by {turn}" if most else ""
    bounds = [
        say_seconds(limits.seconds) if limits.seconds is not None else "",
        f"{say_bytes(limits.disk)} on disk" if limits.disk is not None else "",
        turn,
    ]
    text = ", ".join(filter(None, bounds))
    if limits.seconds is not None and (estimate.seconds or 0) > limits.seconds:
        return f"more than its limit of {text}, where it stops"
    return f"at most {text}"


@layout.line.register
def _(row: Row) -> str:
    if row.error:
        return layout.join(str(row.candidate), row.error)
    median = row.median
    timed = "not timed" if median is None else f"{_steady(row)} a call"
    return layout.join(
        str(row.candidate),
        f"warm-up {units.seconds(row.warmup)}" if row.warmup is not None else "",
        row.invalid or timed,
        _difference(row),
    )


@layout.line.register
def _(comparison: Comparison) -> str:
    return layout.join(*_summary(comparison), layout.NO_GAUDI_TIMES if comparison.emulated else "")


@layout.text.register
def _(comparison: Comparison) -> str:
    table = layout.table(_HEADS, [_cells(comparison, row) for row in comparison.rows], left={0, 8})
    lines = [table[0]]
    for line, row in zip(table[1:], comparison.rows, strict=True):
        lines += [line, *(f"    {remark}" for remark in _remarks(row))]
    return "\n".join([*lines, *(f"note: {note}" for note in _notes(comparison)), str(comparison)])


@layout.html.register
def _(comparison: Comparison) -> str:
    winner = _find_winner(comparison)
    return layout.rendered(
        "comparison.html.j2",
        title="Comparison",
        name=comparison.name,
        emulated=comparison.emulated,
        heads=_HEADS,
        rows=[
            {"cells": _cells(comparison, row), "best": row is winner, "remarks": _remarks(row)}
            for row in comparison.rows
        ],
        summary=layout.join(*_summary(comparison)),
        notes=_notes(comparison),
    )


@layout.line.register
def _(beside: Beside) -> str:
    told = [beside.verdict(here, there) for _, here, there in beside.pairs]
    both = f"{beside.that_name} beside {beside.this_name}"
    counts = [f"{told.count(word)} {word}" for word in ("faster", "slower", NO_DIFFERENCE) if word in told]
    unknown = told.count(None)
    return layout.join(both, ", ".join(counts), f"{unknown} cannot be told" if unknown else "")


@layout.text.register
def _(beside: Beside) -> str:
    lines = layout.table(_beside_heads(beside), _beside_rows(beside), left={0, 4})
    return "\n".join([*lines, *_beside_notes(beside), str(beside)])


@layout.html.register
def _(beside: Beside) -> str:
    rows = [{"cells": cells, "best": False, "remarks": []} for cells in _beside_rows(beside)]
    return layout.rendered(
        "comparison.html.j2",
        title="Two comparisons",
        name=beside.this.name,
        emulated=beside.this.emulated or beside.that.emulated,
        heads=_beside_heads(beside),
        rows=rows,
        summary=str(beside),
        notes=_beside_notes(beside),
    )


@layout.plot.register
def _(comparison: Comparison) -> Any:
    rows = [row for row in comparison.rows if row.median is not None]
    if not rows:
        raise LabError("There is nothing to draw: no setting has times that count.")
    figure, axes = layout.draw_on(8, 4.5)
    marked = crossings(comparison, rows)
    last = max([1000.0, *(10 * pays for _, pays in marked)])
    counts = [last ** (step / 200) for step in range(201)]
    for row in rows:
        axes.plot(counts, [comparison.total(row, n) for n in counts], label=str(row.candidate))
    said = -math.inf
    for row, pays in sorted(marked, key=lambda pair: pair[1]):
        total = comparison.total(row, pays)
        axes.plot([pays], [total], "o", color="black", markersize=4)
        if math.log10(pays) - said < 0.2:  # its words would lie on those of the one before
            continue
        said = math.log10(pays)
        axes.annotate(
            units.count(math.ceil(pays), "call"),
            (pays, total),
            textcoords="offset points",
            xytext=(5, -10),
            fontsize=8,
        )
    axes.set(xscale="log", yscale="log", xlabel="calls", ylabel="seconds in all, warm-up included")
    if comparison.emulated:
        axes.set_title(layout.NO_GAUDI_TIMES, fontsize=9, loc="right")
    axes.legend(frameon=False, fontsize=8)
    return figure


def _summary(comparison: Comparison) -> list[str]:
    timed = [row for row in comparison.rows if row.median is not None]
    failed = sum(bool(row.error) for row in comparison.rows)
    differing = sum(row.differs for row in comparison.rows)
    phrases = [f"{comparison.name}: {len(timed)} of {units.count(len(comparison.rows), 'setting')} timed"]
    if comparison.interrupted:
        how = f"stopped by its limit: {comparison.stopped}" if comparison.stopped else "interrupted"
        phrases.append(f"{how}; gaudi_lab.compare(..., resume=), or %gaudi_compare --resume, goes on")
    if failed:
        phrases.append(f"{failed} failed")
    if differing:
        phrases.append(f"{differing} with other results")
    if timed and (winning := _winning(comparison)):
        phrases.append(winning)
    return phrases


def _winning(comparison: Comparison) -> str:
    """Say who wins, as far as that is known; nothing where only one has times."""
    timed = sum(row.median is not None for row in comparison.rows)
    if timed == 1:
        return ""
    best, *tied = comparison.winners()
    so_far = "so far " if any(row.counts and not row.times for row in comparison.rows) else ""
    if _find_winner(comparison) is best:
        ratio = comparison.ratio(best)
        faster = f", {ratio:.2f}× the first" if comparison.verdict(best) == FASTER else ""
        others = ", ".join(str(row.candidate) for row in tied)
        shortest = f", not told from {others}, and has the shortest warm-up of them" if tied else ""
        return f"{so_far}{best.candidate} wins{faster}{shortest}"
    if any(comparison.between(best, row) is None for row in tied):
        return f"nothing is said to win: that takes {noise.FEWEST} timed calls of each"
    if tied and len(tied) + 1 == timed:
        return f"{so_far}no difference between them, and {best.candidate} has the shortest warm-up"
    shorter = f"{best.candidate} has the shortest warm-up of those that are not told from it"
    return f"{so_far}none is known to be quicker than the first, and {shorter}"


def _find_winner(comparison: Comparison) -> Row | None:
    """Return the row that wins; None if only one has times, or nobody can tell it from all or from the first."""
    timed = [row for row in comparison.rows if row.median is not None]
    if len(timed) < 2:
        return None
    best, *tied = comparison.winners()
    if any(comparison.between(best, row) is None for row in tied):
        return None
    return None if len(tied) + 1 == len(timed) or comparison.rows[0] in tied else best


def _cells(comparison: Comparison, row: Row) -> tuple[str, ...]:
    rate = row.throughput
    return (
        str(row.candidate),
        _warmup(row),
        str(row.compiles) if row.warmups else "–",
        _steady(row),
        f"{units.number(rate)} samples" if rate is not None else "–",
        _ratio(comparison, row),
        _pays(comparison, row),
        units.size(row.peak_memory) if row.peak_memory is not None else "–",
        _difference(row) or "–",
    )


def _warmup(row: Row) -> str:
    # What others had compiled in the same process was there: a fresh process may take longer.
    return units.seconds(row.warmup) + ("" if row.cold or row.warmup is None else "*")


def _steady(row: Row) -> str:
    if row.median is None:
        return "–"
    width = (
        f" ({units.seconds(row.iqr)}, {len(row.times)})" if row.iqr is not None else f" ({len(row.times)})"
    )
    return units.seconds(row.median) + width


def _ratio(comparison: Comparison, row: Row) -> str:
    if row is comparison.rows[0]:
        return "1" if row.median is not None else "–"
    told = comparison.verdict(row)
    ratio = comparison.ratio(row)
    if told is None or ratio is None:
        return "–"
    return NO_DIFFERENCE if told == NO_DIFFERENCE else f"{ratio:.2f}×"


def _pays(comparison: Comparison, row: Row) -> str:
    pays = comparison.break_even(row)
    if pays is None:
        return "–"
    if math.isinf(pays):
        return "never"
    return "from the first call" if pays <= 1 else f"after {units.count(math.ceil(pays), 'call')}"


def _difference(row: Row) -> str:
    difference = row.difference
    if difference is None:
        return ""
    return f"OTHER RESULTS: {_told(difference)}" if row.differs else _told(difference)


def _told(difference: OutputDifference) -> str:
    if difference.why_not:
        return difference.why_not
    phrases = []
    if difference.absolute:
        phrases.append(f"{difference.absolute:.1e} ({difference.relative:.1e} of the largest)")
    if difference.unequal:
        phrases.append(f"{difference.unequal} of {difference.total} unequal")
    if difference.pixels:
        phrases.append(f"pixels by {difference.pixels}/255")
    text = ", ".join(phrases) or "none"
    return f"{text}, in the first {difference.rows}" if difference.rows else text


def _remarks(row: Row) -> list[str]:
    found = [row.error, f"not valid: {row.invalid}" if row.invalid else ""]
    if row.ran is not None:
        found.append(_ran(row.ran, row))
    if row.differs:
        found.append("not timed; where this is expected, tolerance= allows it")
    return [remark for remark in found if remark]


def _ran(ran: WhatRan, row: Row) -> str:
    """Say what ran where that is not what the settings say."""
    asked = row.candidate.settings
    found = []
    if ran.mode != str(asked.mode):
        found.append(f"ran in {ran.mode} mode")
    if asked.hpu_graphs and not ran.replays:
        found.append("no HPU graph was replayed")
    if ran.fallbacks:
        found.append("on the host in each call: " + ", ".join(f"{name} {n}×" for name, n in ran.fallbacks))
    return "; ".join(found)


def _notes(comparison: Comparison) -> list[str]:
    notes = list(comparison.notes)
    methods = dict.fromkeys(row.method for row in comparison.rows if row.method)
    if RESIDENT in methods:
        notes.append("settings in turn in this process (resident); * what others had compiled was there")
    if FRESH in methods:
        notes.append("a fresh process for each setting and round: warm-ups are cold")
    if RAY in methods:
        notes.append("a worker of Ray for each setting and round: warm-ups are cold")
    return notes


def _beside_heads(beside: Beside) -> tuple[str, ...]:
    return ("settings", beside.this_name, beside.that_name, "ratio", "")


def _beside_rows(beside: Beside) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for name, here, there in beside.pairs:
        one, other = (row.median if row is not None else None for row in (here, there))
        told = beside.verdict(here, there)
        ratio = f"{one / other:.2f}×" if one and other and told not in (None, NO_DIFFERENCE) else "–"
        rows.append((name, units.seconds(one), units.seconds(other), ratio, told or "cannot be told"))
    return rows


def _beside_notes(beside: Beside) -> list[str]:
    return [f"{name}: {here}, there {there}" for name, here, there in beside.changed]
