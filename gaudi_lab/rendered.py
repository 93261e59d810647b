"""What a result inherits to show itself: one line as `str`, a table in a terminal, HTML in a notebook."""

from __future__ import annotations

from typing import Any


class Rendered:
    """A result that shows itself as text and as HTML.

    The layouts are imported when they are first needed, so that the data classes depend on nothing.
    """

    def __str__(self) -> str:
        from gaudi_lab import render

        return render.line(self)

    def __repr__(self) -> str:
        from gaudi_lab import render

        return render.text(self)

    def _repr_html_(self) -> str:
        from gaudi_lab import render

        return render.html(self)

    def _repr_mimebundle_(
        self,
        include: Any = None,  # noqa: ARG002 - IPython's protocol
        exclude: Any = None,  # noqa: ARG002
    ) -> dict[str, str]:
        return {"text/plain": repr(self), "text/html": self._repr_html_()}


class Plotted(Rendered):
    """A result that can be drawn too."""

    def plot(self) -> Any:
        """Return a picture of it, a matplotlib `Figure`.

        Raises
        ------
        LabError
            matplotlib is not installed, or there is nothing to draw.
        """
        from gaudi_lab import render

        return render.plot(self)
