"""From records to the result: the same for what is just being measured and for what is read from a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gaudi_lab.comparison import records
from gaudi_lab.comparison.candidates import Candidate
from gaudi_lab.comparison.records import Record
from gaudi_lab.comparison.result import Comparison
from gaudi_lab.comparison.row import OutputDifference, Row
from gaudi_lab.comparison.subject import WhatRan
from gaudi_lab.errors import LabError


def fold(found: list[Record], path: Path | None = None) -> Comparison:
    """Return the result that records amount to.

    Parameters
    ----------
    found
        The first says what was compared; if it was gone on with for other settings, a later one does.
    path
        The file that they are in.
    """
    head = [record for record in found if record["kind"] == "comparison"][-1]
    ends = [record for record in found if record["kind"] == "end"]
    rows = []
    for values in head["candidates"]:
        candidate = records.to_candidate(values)
        own = [record for record in found if record.get("candidate") == str(candidate)]
        rows.append(_row(candidate, own))
    return Comparison(
        name=head["name"],
        rows=tuple(rows),
        fingerprint=head["fingerprint"],
        emulated=head["emulated"],
        interrupted=bool(ends and ends[-1]["interrupted"]) or not ends,
        stopped=ends[-1].get("stopped", "") if ends else "",
        seconds=sum(end["seconds"] for end in ends),
        disk=max((end.get("disk", 0) for end in ends), default=0),
        notes=tuple(head["notes"]),
        path=path,
        source=head.get("source", ""),
        setup=head.get("setup", ""),
        kind=head.get("what", "function"),
        models=tuple(head.get("models", ())),
        inputs=head.get("inputs", {}),
    )


def open_comparison(path: str | Path) -> Comparison:
    """Return the comparison that a file has.

    Raises
    ------
    LabError
        It is no such file.
    """
    return fold(records.read(path), Path(path))


def save(comparison: Comparison, path: Path, *, overwrite: bool = False) -> Path:
    """Write a comparison to a file.

    Raises
    ------
    LabError
        There is such a file, and it is not to be overwritten.
    """
    if path.exists() and not overwrite:
        raise LabError(
            f"{path} is there already.",
            python=f'comparison.save("{path}", overwrite=True)  # or another name',
        )
    path.write_text("".join(records.to_line(record) for record in unfold(comparison)), encoding="utf-8")
    return path


def unfold(comparison: Comparison) -> list[Record]:
    """Return records that amount to a comparison."""
    found: list[Record] = [
        {
            "kind": "comparison",
            "format": records.FORMAT,
            "name": comparison.name,
            "what": comparison.kind,
            "candidates": [records.from_candidate(row.candidate) for row in comparison.rows],
            "fingerprint": comparison.fingerprint,
            "emulated": comparison.emulated,
            "notes": list(comparison.notes),
            "source": comparison.source,
            "setup": comparison.setup,
            "models": list(comparison.models),
            "inputs": comparison.inputs,
        }
    ]
    for row in comparison.rows:
        found += _records_of(row)
    found.append(
        {
            "kind": "end",
            "interrupted": comparison.interrupted,
            "stopped": comparison.stopped,
            "seconds": comparison.seconds,
            "disk": comparison.disk,
        }
    )
    return found


def _row(candidate: Candidate, own: list[Record]) -> Row:
    warmups = [record for record in own if record["kind"] == "warmup" and record["first"]]
    timed = [record for record in own if record["kind"] == "timed"]
    evidence = [record for record in own if record["kind"] == "evidence"]
    errors = [record for record in own if record["kind"] == "error"]
    moved = next((record["moved"] for record in timed if record["moved"]), "")
    latest: dict[str, Any] = next((r["ran"] for r in reversed(timed or warmups) if r.get("ran")), {})
    peaks = [record["peak"] for record in timed if record.get("peak") is not None]
    calls = sorted(record["calls"] for record in warmups)
    return Row(
        candidate=candidate,
        method=next((record["method"] for record in own if record.get("method")), ""),
        warmups=tuple(record["seconds"] for record in warmups),
        warmup_calls=calls[len(calls) // 2] if calls else 0,
        compiles=warmups[0]["compiles"] if warmups else 0,
        captures=warmups[0]["captures"] if warmups else 0,
        turns=tuple((record["turn"], tuple(record["times"])) for record in timed),
        samples=next((record["samples"] for record in own if record.get("samples")), None),
        peak_memory=max(peaks, default=None),
        difference=_worst(
            [OutputDifference(**r["difference"]) for r in evidence if r["difference"] is not None]
        ),
        differs=any(record["differs"] for record in evidence),
        ran=WhatRan(**{**latest, "fallbacks": tuple(map(tuple, latest["fallbacks"]))}) if latest else None,
        error=errors[0]["error"] if errors else "",
        invalid=moved,
    )


def _records_of(row: Row) -> list[Record]:
    common = {"candidate": str(row.candidate), "method": row.method, "samples": row.samples}
    ran = None if row.ran is None else vars(row.ran)
    counts = {
        "compiles": row.compiles,
        "captures": row.captures,
        "calls": row.warmup_calls,
        "call": row.median,
    }
    found: list[Record] = [
        {"kind": "warmup", "turn": turn, "seconds": seconds, "first": True, "ran": ran, **counts, **common}
        for turn, seconds in enumerate(row.warmups)
    ]
    if row.turns or row.difference is not None or row.differs:
        difference = None if row.difference is None else vars(row.difference)
        found.append({"kind": "evidence", "difference": difference, "differs": row.differs, **common})
    for number, times in row.turns:
        last = number == row.turns[-1][0]
        timed = {"turn": number, "times": times, "moved": row.invalid if last else ""}
        found.append({"kind": "timed", "peak": row.peak_memory, "ran": ran, **timed, **common})
    if row.error:
        found.append({"kind": "error", "error": row.error, **common})
    return found


def _worst(differences: list[OutputDifference]) -> OutputDifference | None:
    def badness(difference: OutputDifference) -> tuple[bool, int, int, float]:
        return (
            bool(difference.why_not),
            difference.unequal,
            difference.pixels or 0,
            difference.relative,
        )

    return max(differences, key=badness, default=None)
