"""What `generate` gives under every combination of switches: a table by model, cache and switches.

Greedy tokens have to equal the CPU's; sampled ones those of plain eager `hpu` with the same seed.

python tests/conformance/runner/generate_rows.py
"""

from __future__ import annotations

import functools
import os
import sys
import warnings
from pathlib import Path

os.environ.setdefault("GAUDI_LAB_COMPILER", "replay")
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "unit" / "workbench"))

from conformance_table import Row
from generating import CACHES, MODELS, TOKENS, expect, generate

from gaudi_lab.settings import Mode, Settings, combinations

HEADERS = ("model", "cache", "switches", "greedy", "sampled", "under HPU graphs")


def rows() -> tuple[list[Row], str]:
    """Generate under everything; return a line for each mode, and the table. Takes some minutes."""
    found = [
        _line(model, cache, settings) for model in MODELS for cache in CACHES for settings in combinations()
    ]
    counts = [
        Row(
            "generate",
            str(mode),
            sum(cells[3:5].count("equal") for settings, cells in found if settings.mode is mode),
            sum(2 for settings, _ in found if settings.mode is mode),
        )
        for mode in Mode
    ]
    lines = [HEADERS, *[cells for _, cells in found]]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADERS))]
    table = [
        "  ".join([cell.ljust(width) for cell, width in zip(line, widths, strict=True)]).rstrip()
        for line in lines
    ]
    return counts, "\n".join(table)


_expected = functools.cache(expect)


def _line(model: str, cache: str, settings: Settings) -> tuple[Settings, tuple[str, ...]]:
    print(f"generating: {model}, {cache} cache, {settings} ...", file=sys.stderr, flush=True)
    greedy, sampled = _expected(model, cache, TOKENS[settings.mode])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = generate(model, cache, settings)
    return settings, (
        model,
        cache,
        str(settings),
        "equal" if found.greedy == greedy else "OTHERS",
        "equal" if found.sampled == sampled else "OTHERS",
        _of_graphs(settings, found.replays, [refusal.code for refusal in found.refusals]),
    )


def _of_graphs(settings: Settings, replays: tuple[int, ...], refused: list[str]) -> str:
    if not settings.hpu_graphs:
        return "–"
    return f"no: {', '.join(refused)}" if refused else f"{sum(replays)} replays"


if __name__ == "__main__":
    counted, shown = rows()
    print(shown)
    print(f"\n{sum(row.passed for row in counted)} of {sum(row.total for row in counted)} equal")
    sys.exit(any(row.passed < row.total for row in counted))
