"""What was measured, as it was measured: one JSON line each, in a file from which all can be read again."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Iterator
from numbers import Integral
from pathlib import Path
from typing import Any

from gaudi_lab.comparison.candidates import Candidate
from gaudi_lab.errors import LabError
from gaudi_lab.settings import Mode, Settings

FORMAT = 2
"""To be raised with every change of what is written."""

Record = dict[str, Any]
"""One line. `kind` says which: "comparison" at the beginning, then "warmup", "evidence", "timed", "error", "end"."""


class Journal:
    """The records so far, on disk too as they come.

    Parameters
    ----------
    path
        The file to add lines to; None for none.
    records
        What is in it already.

    Attributes
    ----------
    told
        Called with each new record, to show progress; and with one of kind "turn", which is not kept, when a candidate
        has its turn.
    """

    def __init__(
        self,
        path: Path | None = None,
        records: list[Record] | None = None,
    ) -> None:
        self.path = path
        self.records = records or []
        self.told: Callable[[Record], None] = lambda _: None

    def add(self, kind: str, **values: Any) -> None:
        """Add a record, and have it on disk when this returns."""
        self.put({"kind": kind, **values})

    def put(self, record: Record) -> None:
        """Add a record that another process has made."""
        self.records.append(record)
        if self.path is not None:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(to_line(record))
        self.told(record)

    def begin(self, candidate: Candidate) -> None:
        """Tell whose turn it is."""
        self.told({"kind": "turn", "candidate": str(candidate)})

    def of(self, candidate: Candidate, *kinds: str) -> Iterator[Record]:
        """Yield the records of some kinds that a candidate has."""
        name = str(candidate)
        return (r for r in self.records if r["kind"] in kinds and r.get("candidate") == name)

    def has(self, candidate: Candidate, *kinds: str, turn: int | None = None) -> bool:
        """Whether a candidate has a record of one of these kinds, in a turn if that is given."""
        return any(turn is None or record.get("turn") == turn for record in self.of(candidate, *kinds))

    def out(self, candidate: Candidate) -> bool:
        """Whether a candidate is out: it failed, gave other results, or compiled while it was timed."""
        return (
            self.has(candidate, "error")
            or any(record["differs"] for record in self.of(candidate, "evidence"))
            or any(record["moved"] for record in self.of(candidate, "timed"))
        )


def to_line(record: Record) -> str:
    """Return a record as a line of JSON."""
    return json.dumps(record, ensure_ascii=False, default=str) + "\n"


def read(path: str | Path) -> list[Record]:
    """Return the records of a file. A last line that was cut off is left out.

    Raises
    ------
    LabError
        It is no such file, or of another format.
    """
    try:
        lines = _lines(Path(path))
    except OSError as error:
        raise LabError(f"The comparison {path} cannot be read: {error.strerror}.") from error
    records = []
    for number, line in enumerate(lines):
        try:
            record = json.loads(line)
        except ValueError:
            if number == len(lines) - 1:
                break
            raise LabError(f"{path} is no comparison: its line {number + 1} is no JSON.") from None
        records.append(record)
    if not records or not isinstance(records[0], dict) or records[0].get("kind") != "comparison":
        raise LabError(f"{path} is no comparison: its first line does not say so.")
    if records[0].get("format") != FORMAT:
        raise LabError(f"{path} has format {records[0].get('format')}, and this version reads {FORMAT}.")
    return records


def cut_back(path: Path) -> None:
    """Have a file of records end with its last whole line, so that others can be added."""
    lines = _lines(path)
    try:
        json.loads(lines[-1])
    except ValueError:
        lines.pop()
    with path.open("r+b") as file:
        file.truncate(sum(map(len, lines)))
        if not lines[-1].endswith(b"\n"):
            file.seek(0, os.SEEK_END)
            file.write(b"\n")


def from_candidate(candidate: Candidate) -> dict[str, Any]:
    """Return a candidate as plain values."""
    settings = {name: value for name, value in candidate.settings.switches.items() if value not in (None, ())}
    return {
        "settings": {**settings, "mode": str(candidate.settings.mode)},
        "varied": [[name, _plain(value)] for name, value in candidate.varied],
        "environment": [list(pair) for pair in candidate.environment],
    }


def to_candidate(values: dict[str, Any]) -> Candidate:
    """Return the candidate that `from_candidate` has made plain."""
    known = {field.name for field in dataclasses.fields(Settings)}
    switches: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value  # JSON has no tuples
        for name, value in values["settings"].items()
        if name in known
    }
    settings = Settings(**{**switches, "mode": Mode.parse(switches["mode"])})
    return Candidate(
        settings,
        tuple((name, _from_json(value)) for name, value in values["varied"]),
        tuple((name, value) for name, value in values["environment"]),
    )


def _lines(path: Path) -> list[bytes]:
    # Text has more that ends a line than a file of JSON lines has.
    return path.read_bytes().splitlines(keepends=True)


def _plain(value: Any) -> Any:
    """Return a value as JSON has it; as text, if what is read from that would show itself in other words."""
    kept = json.loads(json.dumps(_for_json(value)))
    return kept if str(_from_json(kept)) == str(value) else _text(value)


def _for_json(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        items = [_for_json(item) for item in value]
        return items if isinstance(value, list) else {"tuple": items}
    if isinstance(value, (bool, int, float, str, type(None))):
        return value
    return int(value) if isinstance(value, Integral) else _text(value)  # NumPy's


def _from_json(value: Any) -> Any:
    if isinstance(value, dict):
        return tuple([_from_json(item) for item in value["tuple"]])
    return [_from_json(item) for item in value] if isinstance(value, list) else value


def _text(value: Any) -> str:
    return str(value).removeprefix("torch.")
