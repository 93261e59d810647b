"""Why something was compiled, as plain values."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Place:
    """A line of the user's own source.

    Attributes
    ----------
    file
        The name of the file; empty for a notebook's cell.
    line
        Its number, from 1.
    cell
        The number of the notebook's cell, as its prompt has it; None for a file.
    source
        The text of the line; empty if it is not to be had.
    """

    file: str
    line: int
    cell: int | None = None
    source: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.cell is None else f"cell {self.cell}, line {self.line}"


@dataclass(frozen=True)
class Difference:
    """One thing that is not as it was.

    Attributes
    ----------
    what
        What it is about: an argument, an attribute, an operator, a mode.
    kind
        "shape", "dtype", "strides", "scalar", "optional", "attribute", "global", "mode", "object", "operator",
        "results", "gradient", "passing" or "guard".
    before, now
        How it was and how it is, for people; empty where there is nothing to say.
    """

    what: str
    kind: str
    before: str = ""
    now: str = ""

    @property
    def dims(self) -> tuple[int, ...]:
        """Which dims of a size have changed, from 0; a batch that became smaller is told apart by -1."""
        parts = self.before.split("×"), self.now.split("×")
        if self.kind != "shape" or not all(x.isdigit() for sizes in parts for x in sizes):
            return ()
        before, now = ([int(x) for x in sizes] for sizes in parts)
        changed = tuple([dim for dim, (a, b) in enumerate(zip(before, now, strict=False)) if a != b])
        return (-1,) if changed == (0,) and now[0] < before[0] else changed

    def __str__(self) -> str:
        if self.before and self.now:
            return f"{self.what} {self.before} → {self.now}"
        return " ".join(filter(None, (self.what, self.before or self.now)))


@dataclass(frozen=True)
class Cause:
    """Why something was compiled, captured, or otherwise not steady.

    Attributes
    ----------
    kind
        "shape", "switch", "graph", "fallback", "compiler", "constants", "first", "trial", "unknown", or the kind of its
        first difference.
    text
        The same for people, such as "input_ids 4×7 → 4×8".
    differences
        All that is not as in the closest earlier call or graph.
    established
        Whether all of it was determined. What was not stands behind a "likely" in the text.
    model
        Which model it belongs to; empty if none.
    module
        Which module of that; empty for the model itself, or if it is not known.
    source
        The line of source where it shows.
    call
        The line that made the call.
    remedy
        A line to run or to change; empty if there is none.
    """

    kind: str
    text: str
    differences: tuple[Difference, ...] = ()
    established: bool = True
    model: str = ""
    module: str = ""
    source: Place | None = None
    call: Place | None = None
    remedy: str = ""

    def __str__(self) -> str:
        return self.text

    @property
    def again(self) -> bool:
        """Whether something of the kind was there already: then it need not have been compiled."""
        return bool(self.differences) or self.kind in ("constants", "forgotten", "limit", "unknown")

    @property
    def alike(self) -> tuple[object, ...]:
        """What causes have in common that make one row of a table: everything but the values of this one time."""
        about = tuple([(x.what, x.kind, x.dims) for x in self.differences])
        return (self.kind, about or self.text, self.model, self.module, self.source, self.call)
