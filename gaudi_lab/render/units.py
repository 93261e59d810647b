"""Numbers as people read them."""

from __future__ import annotations

import math

_TIMES = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))
_SIZES = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))


def seconds(value: float | None) -> str:
    """Return a duration with three significant digits: "8.12 s", "41.3 ms", "0 s"."""
    if value is None or math.isnan(value):
        return "–"
    if value == 0:
        return "0 s"
    scale, unit = next(((s, u) for s, u in _TIMES if value >= s * 0.9995), _TIMES[-1])
    return f"{_digits(value / scale)} {unit}"


def spread(median: float, width: float) -> str:
    """Return "41.3 ms ± 0.6 ms": a median and half the width of the middle half of the values."""
    return f"{seconds(median)} ± {seconds(width)}"


def size(value: int) -> str:
    """Return a number of bytes: "86.7 MiB", "512 B"."""
    for scale, unit in _SIZES:
        if value >= scale:
            return f"{_digits(value / scale)} {unit}"
    return f"{value} B"


def count(number: int, noun: str, plural: str | None = None) -> str:
    """Return "1 graph", "2 graphs", "no graphs"."""
    word = noun if number == 1 else plural or f"{noun}s"
    return f"{number or 'no'} {word}"


def number(value: float) -> str:
    """Return a number with three significant digits: "1,610", "41.3", "0.071"."""
    if value >= 99.95:
        return f"{float(f'{value:.3g}'):,.0f}"
    return f"{value:.3g}"


def _digits(value: float) -> str:
    if value >= 99.95:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"
