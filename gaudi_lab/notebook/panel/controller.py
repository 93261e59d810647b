"""What all open panels share: one log, one view of the workbench, one place where their requests are done."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Protocol
from weakref import WeakSet

from gaudi_lab.errors import LabError
from gaudi_lab.instruments.handle import Handle, together
from gaudi_lab.notebook.panel import snapshot
from gaudi_lab.notebook.panel.between_cells import Turns
from gaudi_lab.notebook.panel.call_log import CallLog
from gaudi_lab.notebook.panel.pulse import Pulse
from gaudi_lab.report import Change
from gaudi_lab.settings import Mode, Settings
from gaudi_lab.workbench.lab import Lab

Data = dict[str, Any]


class Shown(Protocol):
    """A panel, as the desk sees it.

    Attributes
    ----------
    names
        The models that it shows; None for all.
    """

    names: tuple[str, ...] | None

    def show_settings(self, data: Data) -> None:
        """Show the switches."""

    def show_live(self, data: Data) -> None:
        """Show counters, memory and graphs."""

    def show_all_calls(self) -> None:
        """Show the latest calls."""

    def show_new_calls(self) -> None:
        """Show the calls that came in since the last time."""

    def show_outcome(self, request: Any, trouble: str) -> None:
        """Say what came of a request; `trouble` is empty if it was done."""


class Desk:
    """Follows the workbench while at least one panel is open.

    Parameters
    ----------
    workbench
        The workbench.

    Attributes
    ----------
    log
        The calls of the attached models.
    """

    _desks: dict[int, Desk] = {}  # noqa: RUF012 - one for each workbench

    def __init__(self, workbench: Lab) -> None:
        self.log = CallLog()
        self.workbench = workbench
        self._panels: WeakSet[Shown] = WeakSet()
        self._previous: dict[str, Settings] = {}
        self._trials: dict[str, Data] = {}
        self._said = ""
        self._trying = False
        self._turns = Turns(None, lambda: None, lambda: None)
        self._pulse = Pulse(self._beat)
        self._following: Handle | None = None
        # Panels are told from the main thread and from the pulse.
        self._telling = threading.RLock()

    @classmethod
    def of(cls, workbench: Lab) -> Desk:
        """Return the desk of a workbench."""
        return cls._desks.setdefault(id(workbench), cls(workbench))

    @property
    def busy(self) -> bool:
        """Whether a cell is running."""
        return self._turns.busy

    def open(self, panel: Shown) -> None:
        """Keep `panel` up to date from now on."""
        if self._following is None:
            self._follow()
        self._panels.add(panel)
        panel.show_settings(self.settings(panel.names))
        panel.show_live(self.live(panel.names))
        panel.show_all_calls()

    def close(self, panel: Shown) -> None:
        """Forget `panel`; after the last one, leave no trace on models and shell."""
        self._panels.discard(panel)
        if not self._panels and self._following is not None:
            self._following.remove()
            self._following = None

    def request(self, panel: Shown, content: Data) -> None:
        """Do what a panel asks for, when it is its turn."""
        self._turns.take(lambda: self._do(panel, content))
        if self.busy:
            self._beat()

    def settings(self, names: tuple[str, ...] | None) -> Data:
        """Return what a panel shows of the switches."""
        data = snapshot.settings(self.workbench, names)
        for model in data["models"]:
            model["trial"] = self._trials.get(model["name"])
            model["previous"] = str(self._previous.get(model["name"], ""))
        return data | {"badge": snapshot.badge(), "said": self._said}

    def live(self, names: tuple[str, ...] | None) -> Data:
        """Return what a panel shows of a running model."""
        running = self.log.running()
        return snapshot.live(self.workbench, names) | {
            "busy": self.busy,
            "waiting": self._turns.waiting,
            "total": self.log.total,
            "running": None
            if running is None
            else {"model": running[0], "shapes": running[1], "seconds": running[2]},
        }

    def _follow(self) -> None:
        self._turns = Turns(_shell(), self._cell_started, self._cell_ended)
        self.log.follow(self.workbench.models)
        self._following = together(
            [
                Handle(lambda: self.log.follow({})),
                self._turns.follow(),
                self.workbench.subscribe(self._changed),
                Handle(self._pulse.stop),
            ]
        )
        if self.busy:
            self._pulse.start()

    def _cell_started(self) -> None:
        self._pulse.start()
        self._beat()

    def _cell_ended(self) -> None:
        self._pulse.stop()
        self.log.close()
        self._tell(lambda panel: panel.show_settings(self.settings(panel.names)))
        self._beat()
        self._tell(lambda panel: panel.show_all_calls())

    def _beat(self) -> None:
        self._tell(lambda panel: panel.show_live(self.live(panel.names)))
        self._tell(lambda panel: panel.show_new_calls())

    def _changed(self, change: Change) -> None:
        if self._trying:
            return
        self.log.close()
        for model in change.models:
            if model.before is not None and model.after is not None:
                self._previous[model.name] = model.before
            else:
                self._previous.pop(model.name, None)
            self._trials.pop(model.name, None)
        self._said = str(change)
        self.log.follow(self.workbench.models)
        self._tell(lambda panel: panel.show_settings(self.settings(panel.names)))

    def _tell(self, tell: Callable[[Shown], None]) -> None:
        with self._telling:
            for panel in list(self._panels):
                tell(panel)

    def _do(self, panel: Shown, content: Data) -> None:
        trouble = ""
        try:
            self._act(content)
        except LabError as problem:
            trouble = problem.for_notebook()
        except Exception as error:
            # Whatever it is, the user must see it.
            trouble = f"{type(error).__name__}: {error}"
        panel.show_outcome(content.get("id"), trouble)
        self._tell(lambda other: other.show_settings(self.settings(other.names)))
        self._beat()

    def _act(self, content: Data) -> None:
        name, value = content.get("model", ""), content.get("value")
        models = [name] if name else None
        change = self.workbench.change
        actions: dict[Any, Callable[[], object]] = {
            "mode": lambda: change(mode=Mode.parse(str(value))),
            "hpu_graphs": lambda: change(models, hpu_graphs=bool(value)),
            "fused_sdpa": lambda: change(models, fused_sdpa=bool(value)),
            "compile": lambda: change(models, mode=Mode.COMPILE if value else Mode.EAGER),
            "recompute": lambda: change(models, recompute={"": None, "on": True, "off": False}[str(value)]),
            "softmax": lambda: change(models, softmax=value or None),
            "free": lambda: self.workbench.get(name).free_graphs(),
            "try": lambda: self._try(name),
        }
        wanted = content.get("do")
        if wanted not in actions:
            raise LabError(f"This panel asks for {wanted!r}, which this kernel does not know. Show it again.")
        actions[wanted]()

    def _try(self, name: str) -> None:
        from gaudi_lab.notebook.panel import trial

        self._trying = self.log.paused = True
        try:
            seen = dict(self.log.last_inputs.get(name, {}))
            result = trial.run(self.workbench, self.workbench.get(name), seen, self._previous.get(name))
        finally:
            self._trying = self.log.paused = False
        self._trials[name] = snapshot.trial(result)


def _shell() -> Any:
    try:
        from IPython.core.getipython import get_ipython
    except ImportError:
        return None
    return get_ipython()
