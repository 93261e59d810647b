"""What a result inherits to show itself: one line as `str`, a table in a terminal, HTML in a notebook."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol


class Views(Protocol):
    """Lays out results of every class."""

    def line(self, result: Any, /) -> str:
        """Return a result as one line."""

    def text(self, result: Any, /) -> str:
        """Return a result as text of as many lines as it needs."""

    def html(self, result: Any, /) -> str:
        """Return a result as HTML."""


class Rendered:
    """A result that shows itself as text and as HTML.

    The layouts are given from above and looked up when they are first needed, so that the data classes depend
    on nothing.
    """

    def __str__(self) -> str:
        return _views().line(self)

    def __repr__(self) -> str:
        return _views().text(self)

    def _repr_html_(self) -> str:
        return _views().html(self)

    def _repr_mimebundle_(
        self,
        include: Any = None,  # noqa: ARG002 - IPython's protocol
        exclude: Any = None,  # noqa: ARG002
    ) -> dict[str, str]:
        return {"text/plain": repr(self), "text/html": self._repr_html_()}


_views: Callable[[], Views]


def show_by(views: Callable[[], Views]) -> None:
    """Lay every result out by what `views` returns, which is asked when the first of them is shown."""
    global _views
    _views = views
