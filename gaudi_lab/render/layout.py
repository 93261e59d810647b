"""How results are laid out: as one line, as text, and as HTML by a template. Each kind registers its own."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from importlib import resources
from typing import Any

import jinja2
from markupsafe import Markup

from gaudi_lab.errors import LabError
from gaudi_lab.render import units

EMULATED = "emulated on CPU"
NO_GAUDI_TIMES = "emulated on CPU, these are not Gaudi times"

_SEPARATOR = " · "


@functools.singledispatch
def line(result: Any) -> str:
    """Return a result as one line."""
    raise TypeError(f"There is no line for a {type(result).__name__}.")


@functools.singledispatch
def text(result: Any) -> str:
    """Return a result as text of as many lines as it needs."""
    return line(result)


@functools.singledispatch
def html(result: Any) -> str:
    """Return a result as HTML that reads without JavaScript, and as a plain table without CSS."""
    return rendered("line.html.j2", line=line(result))


@functools.singledispatch
def plot(result: Any) -> Any:
    """Return a result as a picture, a matplotlib `Figure`."""
    raise TypeError(f"There is no picture of a {type(result).__name__}.")


def draw_on(width: float, height: float) -> tuple[Any, Any]:
    """Return an empty figure, in inches, and its axes.

    Raises
    ------
    LabError
        matplotlib is not installed.
    """
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise LabError(
            "A picture needs matplotlib.", python="pip install matplotlib", magic="%pip install matplotlib"
        ) from error
    figure, axes = pyplot.subplots(figsize=(width, height), layout="constrained")
    pyplot.close(figure)  # whoever gets it shows it: a notebook would otherwise do so twice
    return figure, axes


def join(*phrases: str) -> str:
    """Return phrases as one line, empty ones left out."""
    return _SEPARATOR.join(filter(None, phrases))


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], left: set[int]) -> list[str]:
    """Return the lines of a table in text; the columns in `left` are flush left, the others right."""
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if column in left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (heads, *rows)
    ]


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("gaudi_lab.render"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["seconds"] = units.seconds
    environment.filters["thousands"] = "{:,}".format
    environment.globals["style"] = Markup(
        resources.files("gaudi_lab.render").joinpath("style.css").read_text(encoding="utf-8")
    )
    environment.globals["emulated_badge"] = EMULATED
    return environment


def rendered(template: str, **values: Any) -> str:
    """Return a template of `templates/`, filled in."""
    return _environment().get_template(template).render(**values)
