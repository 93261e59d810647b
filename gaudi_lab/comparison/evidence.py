"""Whether two settings compute the same: their outputs, taken apart and laid side by side."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy
import torch

from gaudi_lab.comparison.row import OutputDifference

Outputs = dict[str, Any]
"""What came out: tensors on the host, pictures and plain values, each by where it was found."""

_PLAIN = (bool, int, float, str, type(None))


@dataclasses.dataclass(frozen=True)
class Picture:
    """What came out as a picture of PIL: it is the same one within some steps of its colours."""

    pixels: torch.Tensor


def take_apart(result: Any) -> Outputs:
    """Return copies of all that `result` holds, on the host: a later replay of a graph would overwrite it."""
    found: Outputs = {}
    _collect("", result, found)
    return found


def is_coarse(outputs: Outputs) -> bool:
    """Return whether any number of some outputs has 16 bits or fewer."""
    tensors = [value for value in outputs.values() if isinstance(value, torch.Tensor)]
    return any(tensor.is_floating_point() and tensor.itemsize <= 2 for tensor in tensors)


def compare(reference: Outputs, outputs: Outputs, *, first_rows: bool = False) -> OutputDifference:
    """Return how far `outputs` lie from `reference`.

    Parameters
    ----------
    reference, outputs
        From `take_apart`.
    first_rows
        Batches have different sizes: compare the samples that both have.
    """
    if reference.keys() != outputs.keys():
        names = sorted(reference.keys() ^ outputs.keys())
        return OutputDifference(why_not=f"only one of them has {', '.join(names[:3]) or 'an output'}")
    if not outputs:
        return OutputDifference(why_not="nothing comes out that could be compared")
    found = OutputDifference()
    for name, expected in reference.items():
        one = _compare_one(name, expected, outputs[name], first_rows)
        if one.why_not:
            return one
        found = _join(found, one)
    return found


def _compare_one(name: str, expected: Any, got: Any, first_rows: bool) -> OutputDifference:
    if isinstance(expected, Picture) and isinstance(got, Picture):
        return _compare_pixels(name, expected.pixels, got.pixels)
    if not (isinstance(expected, torch.Tensor) and isinstance(got, torch.Tensor)):
        if isinstance(expected, float) and isinstance(got, float):
            return _compare_one(
                name, torch.tensor(expected, dtype=torch.double), torch.tensor(got, dtype=torch.double), False
            )
        return OutputDifference(unequal=int(expected != got), total=1)
    rows = None
    if first_rows and expected.dim() and got.dim() and expected.shape[1:] == got.shape[1:]:
        fewest = min(len(expected), len(got))
        rows = fewest if len(expected) != len(got) else None
        expected, got = expected[:fewest], got[:fewest]
    if expected.shape != got.shape:
        return _of_other_sizes(name, expected, got)
    if not (expected.is_floating_point() or expected.is_complex()):
        return OutputDifference(unequal=int((expected != got).sum()), total=expected.numel(), rows=rows)
    if not expected.numel():
        return OutputDifference(rows=rows)
    wide = torch.complex128 if expected.is_complex() else torch.double
    expected, got = expected.to(wide), got.to(wide)
    distance = (expected - got).abs()
    same = (expected == got) | (expected.isnan() & got.isnan())  # two equal infinities differ by nan
    distance = torch.where(same, torch.zeros_like(distance), distance)
    absolute = float(torch.nan_to_num(distance, nan=float("inf")).max())
    finite = expected[expected.isfinite()].abs()
    largest = float(finite.max()) if finite.numel() else 0.0
    relative = 0.0 if not absolute else absolute / largest if largest else float("inf")
    return OutputDifference(absolute, relative, rows=rows)


def _compare_pixels(name: str, expected: torch.Tensor, got: torch.Tensor) -> OutputDifference:
    if expected.shape != got.shape:
        return _of_other_sizes(name, expected, got)
    steps = (expected.int() - got.int()).abs()
    return OutputDifference(pixels=int(steps.max()) if steps.numel() else 0)


def _of_other_sizes(name: str, expected: torch.Tensor, got: torch.Tensor) -> OutputDifference:
    place = f"{name} is" if name else "they are"
    return OutputDifference(why_not=f"{place} {tuple(expected.shape)} and {tuple(got.shape)}")


def _join(some: OutputDifference, other: OutputDifference) -> OutputDifference:
    def most(a: int | None, b: int | None) -> int | None:
        return max((x for x in (a, b) if x is not None), default=None)

    return OutputDifference(
        max(some.absolute, other.absolute),
        max(some.relative, other.relative),
        some.unequal + other.unequal,
        some.total + other.total,
        most(some.pixels, other.pixels),
        most(some.rows, other.rows),
    )


def _collect(place: str, value: Any, found: Outputs) -> None:
    if isinstance(value, torch.Tensor):
        found[place] = value.detach().to("cpu", copy=True)
    elif isinstance(value, numpy.generic):
        _collect(place, value.item(), found)
    elif isinstance(value, numpy.ndarray) and value.dtype.kind in "biufc":
        found[place] = torch.from_numpy(numpy.array(value))
    elif isinstance(value, _PLAIN):
        found[place] = value
    elif hasattr(value, "getbands"):  # a picture of PIL, which need not be installed
        pixels = torch.from_numpy(numpy.array(value))
        found[place] = Picture(pixels) if pixels.dtype is torch.uint8 else pixels
    else:
        for name, item in _items(value):
            _collect(f"{place}.{name}" if place else str(name), item, found)


def _items(value: Any) -> list[tuple[Any, Any]]:
    if isinstance(value, Mapping):
        return list(value.items())
    if isinstance(value, (list, tuple)):
        return list(enumerate(value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [(field.name, getattr(value, field.name)) for field in dataclasses.fields(value)]
    return []
