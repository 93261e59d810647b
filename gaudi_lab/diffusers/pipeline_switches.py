"""The switches of a pipeline, which the workbench puts on while it generates."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from gaudi_lab import bridge
from gaudi_lab.diffusers import fingerprint
from gaudi_lab.measure.causes.seen import SeenShapes
from gaudi_lab.measure.recorder import Watch
from gaudi_lab.report import CapturedGraph
from gaudi_lab.settings import HPU_GRAPHS, Mode
from gaudi_lab.workbench import lab

logger = logging.getLogger(__name__)


class PipelineSwitches:
    """HPU graphs of one pipeline, and whatever else the workbench has switched on for it.

    Parameters
    ----------
    pipeline
        A diffusers pipeline, whole.
    """

    def __init__(self, pipeline: Any) -> None:
        self._entered = lab.current().entries.enter(pipeline)
        self._seen = SeenShapes()
        self._fingerprint: int | None = None

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Come along into another process."""
        self.__dict__.update(state)
        lab.current().entries.adopt(self._entered)

    @property
    def hpu_graphs(self) -> bool:
        """Whether HPU graphs are asked for; outside lazy mode they wait for it."""
        return self._entered.requested.hpu_graphs

    @hpu_graphs.setter
    def hpu_graphs(self, on: bool) -> None:
        if on != self.hpu_graphs:
            lab.current().entries.request(self._entered, HPU_GRAPHS, on)

    @contextmanager
    def on(self) -> Iterator[None]:
        """Have what is asked for on the modules as they are now: in between, anyone may have changed them.

        If it does not end well, what was captured by halves goes.
        """
        if self._fingerprint not in (None, fingerprint.of(self._entered.components)):
            self._entered.recapture()
        with lab.current().entries.on(self._entered):
            self._fingerprint = fingerprint.of(self._entered.components)
            yield

    def captured(self) -> tuple[CapturedGraph, ...]:
        """Return the captured HPU graphs."""
        return self._entered.captured()

    def watch(self) -> Watch:
        """Return what a recorder should watch while this pipeline generates."""
        entered = self._entered
        return Watch(
            modules=entered.components, settings=str(entered), graphs=entered.replays, seen=self._seen
        )


def require_lazy() -> None:
    """Bring the process into lazy mode, unless someone chose eager mode.

    Scripts for optimum-habana ask for HPU graphs and leave the mode to its default there, which is lazy.

    Raises
    ------
    LabError
        If eager mode was chosen, or a real bridge is loaded in it.
    """
    if bridge.is_lazy():
        return
    if bridge.mode_decided():
        raise bridge.refuse_mode("use_hpu_graphs=True needs lazy mode", lazy=True)
    change = lab.current().change(mode=Mode.LAZY).change
    logger.warning("use_hpu_graphs=True needs lazy mode: %s", change)
