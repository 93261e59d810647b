"""The panel as the notebook shows it: a widget where there is a kernel, a table or text elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anywidget
import traitlets

from gaudi_lab import render
from gaudi_lab.handover.kernel import kernel_versions, live_widgets
from gaudi_lab.notebook.panel import snapshot
from gaudi_lab.notebook.panel.controller import Controller
from gaudi_lab.workbench import lab

_HERE = Path(__file__).parent

SHOWN = 240
"""How many calls the timeline shows."""


class Panel(anywidget.AnyWidget):
    """A live panel. It shows what the workbench is like, and asks the controller for changes.

    Nothing is set from the front end: it sends requests, and sees what came of them.

    Parameters
    ----------
    controller
        Shared with the other panels.
    names
        The models to show; None for all.
    **connection
        What ipywidgets takes: `comm`, for a panel that is on screen already.
    """

    _esm = _HERE / "panel.js"
    _css = _HERE / "panel.css"

    settings = traitlets.Dict().tag(sync=True)
    live = traitlets.Dict().tag(sync=True)
    calls = traitlets.List().tag(sync=True)
    outcome = traitlets.Dict().tag(sync=True)
    own_id = traitlets.Unicode().tag(sync=True)
    # Nothing reads it while the kernel is there. A notebook that is saved, or run without a browser, has it among the
    # widgets' states: so a page made of that shows the panel as it was last.
    last_html = traitlets.Unicode().tag(sync=True)

    def __init__(
        self, controller: Controller, names: tuple[str, ...] | None = None, **connection: Any
    ) -> None:
        super().__init__(**connection)
        self.names = names
        # A view cannot tell its own model's name, and needs it to ask whether the kernel is there.
        self.own_id = self.model_id
        self.controller = controller
        self._sent = 0
        self.on_msg(self.receive)
        controller.open(self)

    def __reduce__(self) -> tuple[Any, ...]:
        """Come along into another process, under the same id on screen. What it shows is made anew there."""
        return reopen, (self.model_id, kernel_versions.route_of(self.comm), self.names)

    def show_settings(self, data: dict[str, Any]) -> None:
        """Show the switches."""
        self.settings = data

    def show_live(self, data: dict[str, Any]) -> None:
        """Show counters, memory and graphs."""
        self.live = data

    def show_all_calls(self) -> None:
        """Show the latest calls, for views that open later too."""
        self.calls = self._rows(max(self.controller.log.total - SHOWN, 0))
        self._sent = self.controller.log.total
        self.last_html = self._html()

    def show_new_calls(self) -> None:
        """Show the calls that came in since the last time, and only those: there may be many a second."""
        rows = self._rows(max(self._sent, self.controller.log.total - SHOWN))
        if rows:
            self._sent = rows[-1]["n"]
            self.send({"kind": "calls", "rows": rows})

    def show_outcome(self, request: Any, trouble: str) -> None:
        """Say what came of a request; `trouble` is empty if it was done."""
        self.outcome = {"id": request, "trouble": trouble}
        self.last_html = self._html()

    def close(self) -> None:
        """Take the panel off the controller and off the screen."""
        self.controller.close(self)
        super().close()

    def __repr__(self) -> str:
        timeline = self.controller.log.timeline(self.names)
        return "\n".join([repr(self._status()), *([repr(timeline)] if timeline.iterations else [])])

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        data, metadata = super()._repr_mimebundle_(**kwargs) or ({}, {})
        return data | {"text/plain": repr(self), "text/html": self._html()}, metadata

    def _html(self) -> str:
        timeline = self.controller.log.timeline(self.names)
        return render.html(self._status()) + (render.html(timeline) if timeline.iterations else "")

    def _status(self) -> Any:
        return snapshot.status(self.controller.workbench, self.names)

    def _rows(self, after: int) -> list[dict[str, Any]]:
        return [
            snapshot.call(call)
            for call in self.controller.log.since(after)
            if self.names is None or call.model.partition(".")[0] in self.names
        ]

    def receive(self, _: Any, content: dict[str, Any], __: Any) -> None:
        """Take a message of the front end's."""
        self.controller.request(self, content)


def reopen(model_id: str, route: dict[str, Any], names: tuple[str, ...] | None) -> Panel:
    """Return a panel that is on screen already."""
    return Panel(Controller.of(lab.current()), names, comm=live_widgets.connect(model_id, route))
