"""The result of comparing: a row a setting, the first of which is what the others are measured by."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gaudi_lab.comparison import noise
from gaudi_lab.comparison.row import Row
from gaudi_lab.errors import LabError
from gaudi_lab.measure.frames import Framed
from gaudi_lab.rendered import Plotted

NO_DIFFERENCE, FASTER, SLOWER = "no difference", "faster", "slower"


@dataclass(frozen=True, repr=False)
class Comparison(Framed, Plotted):
    """Several settings side by side.

    Attributes
    ----------
    name
        What was compared.
    rows
        One a setting, in the order they were asked for. The first is the baseline.
    fingerprint
        Where it was measured: versions, device, threads, machine.
    emulated
        Whether the device was emulated on the CPU: its times are then not a Gaudi's.
    interrupted
        Whether it was stopped before its end.
    stopped
        What limit stopped it; empty if none did.
    seconds
        What it took in all.
    disk
        The most bytes that were on disk meanwhile, what was compiled and kept included.
    notes
        What else is worth knowing.
    path
        The file of records that it was written to; None if it was to none.
    source
        What was run, as code of the notebook; empty if that is not known.
    setup
        The code that it needs before, from the notebook's cells; empty if that is not known.
    kind
        What was compared: "model", "trainer", "pipeline" or "function".
    models
        What the attached models are called whose switches were moved for a function.
    inputs
        What went in, for people, by name.
    """

    name: str
    rows: tuple[Row, ...] = ()
    fingerprint: dict[str, str] = field(default_factory=dict)
    emulated: bool = False
    interrupted: bool = False
    stopped: str = ""
    seconds: float = 0.0
    disk: int = 0
    notes: tuple[str, ...] = ()
    path: Path | None = None
    source: str = ""
    setup: str = ""
    kind: str = "function"
    models: tuple[str, ...] = ()
    inputs: dict[str, str] = field(default_factory=dict)

    @property
    def baseline(self) -> Row | None:
        """The first row, by which the others are measured; None if it has no times that count."""
        return self.rows[0] if self.rows and self.rows[0].median is not None else None

    def row(self, settings: Any) -> Row:
        """Return the row of some settings, given as such or as they show themselves.

        Raises
        ------
        LabError
            If there is none.
        """
        for row in self.rows:
            if str(settings) == str(row.candidate) or settings == row.candidate.settings:
                return row
        there_are = "; ".join(str(row.candidate) for row in self.rows)
        raise LabError(f"{settings} was not compared; there are {there_are}.")

    def cost(self, row: Row) -> float | None:
        """Return the seconds a steady call of the baseline's size takes; None if that is not known.

        Batches of another size are brought to that of the baseline's calls.
        """
        if row.median is None:
            return None
        return row.median * self._scale(row)

    def ratio(self, row: Row) -> float | None:
        """Return how many times as fast as the baseline a row is; None if it, or the baseline, was not timed."""
        cost, other = self.cost(row), self.cost(self.rows[0])
        return other / cost if cost and other else None

    def verdict(self, row: Row) -> str | None:
        """Return whether a row is "faster" or "slower" than the baseline, or "no difference".

        None for the baseline itself, and where that cannot be told.
        """
        return None if row is self.rows[0] else self.between(self.rows[0], row)

    def between(self, some: Row, other: Row) -> str | None:
        """Return whether `other` is "faster" or "slower" than `some`, or "no difference"; None if nobody can tell."""
        if some.median is None or other.median is None:
            return None
        left, right = self._scale(some), self._scale(other)
        turns = dict(other.rounds)
        pairs = [(left * one, right * turns[number]) for number, one in some.rounds if number in turns]
        if some.method != other.method or not some.method or some.cold:
            pairs = []  # only what was measured in turn in one process has the machine's moods in common
        return noise.verdict([left * x for x in some.times], [right * x for x in other.times], pairs)

    def total(self, row: Row, calls: float) -> float | None:
        """Return the seconds that so many calls take, warm-up included; None if that is not known.

        Calls are of the baseline's size. The calls of the warm-up are among them.
        """
        cost, warmup = self.cost(row), row.warmup
        if cost is None or warmup is None:
            return None
        return warmup + max(calls - row.warmup_calls / self._scale(row), 0) * cost

    def break_even(self, row: Row) -> float | None:
        """Return after how many calls a row has taken less time than the baseline in all.

        Returns
        -------
        float or None
            0 if it does so from the first call on, infinity if never; None if that is not known. A row that is not
            told from the baseline by the noise pays never.
        """
        base = self.baseline
        if base is None or row is base or row.median is None:
            return None
        if (told := self.verdict(row)) is None:
            return None
        if told != FASTER:
            return math.inf
        return self._overtakes(row, base)

    def best(self, calls: int | None = None) -> Row:
        """Return the row that wins.

        Parameters
        ----------
        calls
            For so many calls in all, warm-up included; None for the steady state. Of rows that the noise does not tell
            from the quickest, the one with the shortest warm-up is taken. For a number of calls it is the first row,
            unless another is told to take less by its calls or by its warm-up.

        Raises
        ------
        LabError
            If no row has times that count.
        """
        return self.winners(calls)[0]

    def winners(self, calls: int | None = None) -> tuple[Row, ...]:
        """Return the row that wins, as `best`, and those that the noise does not tell from the quickest.

        If the quickest is told from the first, only those are among them that are too. For a number of calls it is one.
        """
        timed = [row for row in self.rows if row.median is not None]
        if not timed:
            raise LabError("Nothing wins: no setting ran to its end with the same results.")
        if calls is None:
            quickest = min(timed, key=lambda row: self.cost(row) or math.inf)
            tied = [
                row for row in timed if row is quickest or self.between(quickest, row) not in (SLOWER, FASTER)
            ]
            if self.verdict(quickest) == FASTER:
                # A row that is not even told from the first is no match for one that is.
                tied = [row for row in tied if row is quickest or self.verdict(row) == FASTER]
            return tuple(sorted(tied, key=lambda row: row.warmup if row.warmup is not None else math.inf))
        return (min(timed, key=lambda row: self._told_total(row, calls)),)

    def beside(self, other: Comparison, this: str = "here", that: str = "there") -> Beside:
        """Lay another comparison beside this one, such as one of another release or machine.

        Parameters
        ----------
        other
            The other.
        this, that
            What to call the two.
        """
        return Beside(self, other, this, that)

    def to_records(self) -> list[dict[str, Any]]:
        """Return plain values, a dict a row."""
        return [self._record(row) for row in self.rows]

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write it to a file of JSON lines, which `gaudi_lab.comparison.folding.open_comparison` reads.

        Raises
        ------
        LabError
            There is such a file, and it is not to be overwritten.
        """
        from gaudi_lab.comparison import folding

        return folding.save(self, Path(path), overwrite=overwrite)

    def of_source(self, source: str, setup: str) -> Comparison:
        """Return a copy that knows its code."""
        return replace(self, source=source, setup=setup)

    def to_code(self, form: str = "gaudi_lab", *, setup: str = "", calls: int | None = None) -> str:
        """Return a script that runs what was compared with the settings that win.

        Parameters
        ----------
        form
            "gaudi_lab", "habana_frameworks" for the plain bridge, or "optimum-habana".
        setup
            The lines that make what was compared, by the names it has; those of the notebook if it knows them.
        calls
            As in `best`.

        Raises
        ------
        LabError
            If it is not known what the script has to run, or the form has no words for the settings.
        """
        from gaudi_lab.comparison.script import write

        return write(self, self.best(calls), form, setup)

    def _scale(self, row: Row) -> float:
        """Return what to multiply the times of a row by, to have those of calls of the baseline's size."""
        samples = self.rows[0].samples
        return samples / row.samples if samples and row.samples else 1.0

    def _told_total(self, row: Row, calls: float) -> float:
        """Return `total`, as far as it is told from the baseline's; infinity if it is not, or not known."""
        base = self.baseline
        told = None if base is None else self.verdict(row)
        total = self.total(row, calls)
        if base is None or row is base or told == FASTER:
            return math.inf if total is None else total
        sooner, total_of_base = self._head_start(row, base), self.total(base, calls)
        if told is None or sooner is None or total is None or total_of_base is None:
            return math.inf
        if sooner <= 2 * max(_spread_of_warmup(base), _spread_of_warmup(row)):
            return math.inf
        # Its calls are not told from the baseline's: its warm-up makes all the difference.
        return total_of_base - sooner if told == NO_DIFFERENCE else total

    def _overtakes(self, row: Row, base: Row) -> float | None:
        """Return the calls after which `row`, which is quicker, has taken less time in all."""
        first, second, sooner = self.cost(base), self.cost(row), self._head_start(row, base)
        if first is None or second is None or sooner is None:
            return None
        return max(-sooner / (first - second), 0.0)

    def _head_start(self, row: Row, base: Row) -> float | None:
        """Return how many seconds less the warm-up of `row` takes than that of `base`, its steady calls apart."""
        first, second, before, after = self.cost(base), self.cost(row), base.warmup, row.warmup
        if first is None or second is None or before is None or after is None:
            return None
        ahead = before - base.warmup_calls * first
        behind = after - row.warmup_calls / self._scale(row) * second
        return ahead - behind

    def _record(self, row: Row) -> dict[str, Any]:
        pays = self.break_even(row)
        ran, difference = row.ran, row.difference
        return {
            "settings": str(row.candidate),
            **row.candidate.values,
            "method": row.method,
            "warmup": row.warmup,
            "warmup_calls": row.warmup_calls,
            "compiles": row.compiles,
            "captures": row.captures,
            "median": row.median,
            "iqr": row.iqr,
            "n": len(row.times),
            "throughput": row.throughput,
            "ratio": self.ratio(row),
            "verdict": self.verdict(row),
            "break_even": pays,
            "peak_memory": row.peak_memory,
            "absolute_difference": None if difference is None or difference.why_not else difference.absolute,
            "relative_difference": None if difference is None or difference.why_not else difference.relative,
            "unequal": None if difference is None or difference.why_not else difference.unequal,
            "same_results": None if difference is None else not row.differs,
            "mode": None if ran is None else ran.mode,
            "graphs": None if ran is None else ran.graphs,
            "attention": None if ran is None else ran.attention,
            "fallbacks": None if ran is None else sum(count for _, count in ran.fallbacks),
            "error": row.error or None,
            "invalid": row.invalid or None,
        }


@dataclass(frozen=True, repr=False)
class Beside(Plotted):
    """Two comparisons side by side, joined by their settings.

    Attributes
    ----------
    this, that
        The two.
    names
        What they are called.
    """

    this: Comparison
    that: Comparison
    this_name: str = "here"
    that_name: str = "there"

    @property
    def pairs(self) -> tuple[tuple[str, Row | None, Row | None], ...]:
        """Each setting, with its row in both; None where one has none."""
        left = {str(row.candidate): row for row in self.this.rows}
        right = {str(row.candidate): row for row in self.that.rows}
        return tuple((name, left.get(name), right.get(name)) for name in {**left, **right})

    @property
    def changed(self) -> tuple[tuple[str, str, str], ...]:
        """What is not the same of where they were measured: name, here, there."""
        here, there = self.this.fingerprint, self.that.fingerprint
        names = sorted({**here, **there})
        return tuple((n, here.get(n, "–"), there.get(n, "–")) for n in names if here.get(n) != there.get(n))

    def verdict(self, some: Row | None, other: Row | None) -> str | None:
        """Return whether a row there is "faster" or "slower" than here, or "no difference"; None if nobody can tell."""
        if some is None or other is None or some.median is None or other.median is None:
            return None
        if some.samples != other.samples:
            return None  # nor what a call of the one would take of the other's size
        return noise.verdict(some.times, other.times)


def _spread_of_warmup(row: Row) -> float:
    """Return how far a warm-up may lie from what was measured: each of its calls is as unsteady as those after it."""
    measured = noise.middle(row.warmups) if len(row.warmups) > 1 else 0.0
    return max(measured, row.warmup_calls * (row.iqr or 0.0))


def crossings(comparison: Comparison, rows: Sequence[Row]) -> list[tuple[Row, float]]:
    """Return the rows that overtake the baseline after the first call, each with the calls after which they have."""
    found = [(row, comparison.break_even(row)) for row in rows]
    return [(row, pays) for row, pays in found if pays is not None and 1 < pays < math.inf]
