"""The sizes a model was called with, as plain values."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Shape:
    """The size of one tensor argument.

    Attributes
    ----------
    name
        The argument it was passed as, such as "input_ids".
    dims
        Its size, outermost dimension first.
    """

    name: str
    dims: tuple[int, ...]

    def __str__(self) -> str:
        return "×".join(map(str, self.dims)) if self.dims else "scalar"


Shapes = tuple[Shape, ...]


def text(shapes: Shapes) -> str:
    """Return shapes in one line: one size if all agree, named sizes otherwise."""
    if not shapes:
        return "no tensors"
    if len({shape.dims for shape in shapes}) == 1:
        return str(shapes[0])
    return ", ".join(f"{shape.name} {shape}" for shape in shapes)
