"""What all open panels share: one log, one view of the workbench, one place where their requests are done."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Protocol
from weakref import WeakSet

from gaudi_lab import api, bridge
from gaudi_lab.errors import LabError
from gaudi_lab.instruments.handle import Handle, together
from gaudi_lab.notebook.panel import choices, snapshot
from gaudi_lab.notebook.panel.between_cells import BetweenCells, Ticker
from gaudi_lab.notebook.panel.call_log import CallLog
from gaudi_lab.notebook.panel.question import Question, ask
from gaudi_lab.report import Change
from gaudi_lab.settings import OPERATORS, SWITCHES, Mode, Settings
from gaudi_lab.workbench.lab import Lab

Data = dict[str, Any]


class Shown(Protocol):
    """A panel, as the controller sees it.

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


class Controller:
    """Follows the workbench while at least one panel is open.

    Parameters
    ----------
    workbench
        The workbench.

    Attributes
    ----------
    log
        The calls of the attached models.
    previous
        For each model, the settings before its last change.
    """

    _controllers: dict[int, Controller] = {}  # noqa: RUF012 - one for each workbench

    def __init__(self, workbench: Lab) -> None:
        self.log = CallLog()
        self.workbench = workbench
        self._panels: WeakSet[Shown] = WeakSet()
        self.previous: dict[str, Settings] = {}
        self._trials: dict[str, Data] = {}
        self._question: Question | None = None
        self._said = ""
        self._trying = False
        self._cells = BetweenCells(None, lambda: None, lambda: None)
        self._ticker = Ticker(self.refresh)
        self._following: Handle | None = None
        # Panels are told from the main thread and from the ticker.
        self._telling = threading.RLock()

    @classmethod
    def of(cls, workbench: Lab) -> Controller:
        """Return the controller of a workbench."""
        return cls._controllers.setdefault(id(workbench), cls(workbench))

    @classmethod
    def forget(cls) -> None:
        """Begin anew: a controller, and its log, outlives its panels. Those that are open do nothing more."""
        while cls._controllers:
            cls._controllers.popitem()[1].close_all()

    @property
    def busy(self) -> bool:
        """Whether a cell is running."""
        return self._cells.busy

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

    def close_all(self) -> None:
        """Forget all panels."""
        for panel in list(self._panels):
            self.close(panel)

    def request(self, panel: Shown, content: Data) -> None:
        """Do what a panel asks for, between two cells."""
        if panel not in self._panels:
            panel.show_outcome(
                content.get("id"), "Gaudi Lab was unloaded, and this panel with it. Run: %load_ext gaudi_lab"
            )
            return
        self._cells.do(lambda: self._do(panel, content))
        if self.busy:
            self.refresh()

    def settings(self, names: tuple[str, ...] | None) -> Data:
        """Return what a panel shows of the switches."""
        data = snapshot.settings(self.workbench, names)
        for model in data["models"]:
            model["trial"] = self._trials.get(model["name"])
            model["previous"] = str(self.previous.get(model["name"], ""))
        question = None if self._question is None else asdict(self._question)
        return data | {"badge": snapshot.badge(), "said": self._said, "question": question}

    def live(self, names: tuple[str, ...] | None) -> Data:
        """Return what a panel shows of a running model."""
        running = self.log.running()
        return snapshot.live(self.workbench, names) | {
            "busy": self.busy,
            "waiting": self._cells.waiting,
            "total": self.log.total,
            "running": None
            if running is None
            else {"model": running[0], "shapes": running[1], "seconds": running[2]},
        }

    def start_cell(self) -> None:
        """Take note that a cell begins."""
        self._ticker.start()
        self.refresh()

    def end_cell(self) -> None:
        """Take note that a cell has ended, and show what it came to."""
        self._ticker.stop()
        self.log.close()
        self._tell(lambda panel: panel.show_settings(self.settings(panel.names)))
        self.refresh()
        self._tell(lambda panel: panel.show_all_calls())

    def refresh(self) -> None:
        """Show what changes while models run."""
        self._tell(lambda panel: panel.show_live(self.live(panel.names)))
        self._tell(lambda panel: panel.show_new_calls())

    def _follow(self) -> None:
        self._cells = BetweenCells(_shell(), self.start_cell, self.end_cell)
        self.log.follow(self.workbench.models)
        self._following = together(
            [
                Handle(lambda: self.log.follow({})),
                self._cells.follow(),
                self.workbench.subscribe(self._changed),
                Handle(self._ticker.stop),
            ]
        )
        if self.busy:
            self._ticker.start()

    def _changed(self, change: Change) -> None:
        if self._trying:
            return
        self.log.close()
        for model in change.models:
            if model.before is not None and model.after is not None:
                self.previous[model.name] = model.before
            else:
                self.previous.pop(model.name, None)
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
        except KeyboardInterrupt:
            trouble = "Interrupted."
        except Exception as error:
            # Whatever it is, the user must see it.
            trouble = f"{type(error).__name__}: {error}"
        panel.show_outcome(content.get("id"), trouble)
        self._tell(lambda other: other.show_settings(self.settings(other.names)))
        self.refresh()

    def _act(self, content: Data) -> None:
        name, value, what = content.get("model", ""), content.get("value"), content.get("do")
        models = [name] if name else None
        switches = {switch.name: switch for switch in SWITCHES}
        if what == "mode":
            self._change_mode(Mode.parse(str(value)))
        elif what == "go" and self._question is not None:
            question, self._question = self._question, None
            api.mode(question.mode, drop=question.drop)
        elif what in ("go", "stay"):
            self._question = None
        elif what == "free":
            self.workbench.get(name).free_graphs()
        elif what == "try":
            self._try(name)
        elif str(what).partition("-")[0] == OPERATORS.name:
            self.workbench.change(models, **OPERATORS.turn_one(str(what).partition("-")[2], bool(value)))
        elif what in switches:
            self.workbench.switch(switches[what], bool(value), models)
        elif what in {option.field for switch in SWITCHES for option in switch.options}:
            self.workbench.change(models, **{what: choices.read_option(what, str(value))})
        else:
            raise LabError(f"This panel asks for {what!r}, which this kernel does not know. Show it again.")

    def _change_mode(self, mode: Mode) -> None:
        """Change it, or ask first where that takes a fresh process."""
        self._question = None
        if bridge.needs_fresh_process(mode.is_lazy):
            self._question = ask(self.workbench.mode, mode)
        else:
            self.workbench.change(mode=mode)

    def _try(self, name: str) -> None:
        from gaudi_lab.notebook.panel import trial

        self._trying = self.log.paused = True
        try:
            attached, seconds = self.workbench.get(name), self.log.seconds.get(name, {})
            result = trial.run(self.workbench, attached, seconds, self.previous.get(name))
        finally:
            self._trying = self.log.paused = False
        self._trials[name] = snapshot.trial(result)


def _shell() -> Any:
    try:
        from IPython.core.getipython import get_ipython
    except ImportError:
        return None
    return get_ipython()
