"""Which tensors of some batches change in length, and how much there is of a length."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from gaudi_lab.shapes import Shapes


def find(shapes: Sequence[Shapes]) -> tuple[tuple[str, ...], str]:
    """Return the tensors whose second dimension changes, all alike; or none and why they cannot be padded."""
    forms = {tuple([(shape.name, len(shape.dims)) for shape in x]) for x in shapes}
    if len(forms) != 1:
        return (), "no buckets: not every batch has the same tensors" if forms else ""
    columns: dict[tuple[str, int], list[int]] = {}
    for batch in shapes:
        for shape in batch:
            for dim, size in enumerate(shape.dims[1:], 1):
                columns.setdefault((shape.name, dim), []).append(size)
    changing = {key: sizes for key, sizes in columns.items() if len(set(sizes)) > 1}
    if not changing:
        return (), ""
    for name, dim in changing:
        if dim != 1:
            return (
                (),
                f"no buckets: {name} changes in dimension {dim}, and only a length in dimension 1 is padded",
            )
    if len(set(map(tuple, changing.values()))) > 1:
        names = ", ".join(name for name, _ in changing)
        return (), f"no buckets: {names} change in length each for itself"
    return tuple(sorted((name for name, _ in changing), key=lambda name: name != "input_ids")), ""


def rows_and_length(shapes: Shapes, lengths: Sequence[str]) -> tuple[int, int] | None:
    """Return rows and length of a call; None if it has none of these tensors."""
    found = next((x.dims for name in lengths for x in shapes if x.name == name and len(x.dims) > 1), None)
    return (found[0], found[1]) if found is not None else None


def elements(shapes: Shapes, lengths: Sequence[str]) -> int:
    """Return how many elements of these lengths a call has, such as tokens; 0 if it has none of these tensors."""
    found = rows_and_length(shapes, lengths)
    return found[0] * found[1] if found is not None else 0


def parameters(forward: Callable[..., Any]) -> frozenset[str] | None:
    """Return the names that a forward takes; None if it takes any."""
    try:
        parameters = inspect.signature(forward).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(x.kind is x.VAR_KEYWORD for x in parameters):
        return None
    return frozenset([x.name for x in parameters])


def accepted(shapes: Shapes, names: frozenset[str] | None) -> Shapes:
    """Return the shapes of the arguments that a model takes; all if it takes none of them."""
    return tuple([x for x in shapes if names is None or x.name.partition(".")[0] in names]) or shapes
