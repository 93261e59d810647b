"""A pipeline's own switches, which the workbench takes over when the pipeline is attached."""

from __future__ import annotations

import logging
import os
from typing import Any

from gaudi_lab import bridge
from gaudi_lab.diffusers import fingerprint
from gaudi_lab.errors import LabError
from gaudi_lab.instruments import components
from gaudi_lab.measure.causes import Memory
from gaudi_lab.measure.recorder import Watch
from gaudi_lab.settings import Mode, Settings
from gaudi_lab.workbench import lab, wishes
from gaudi_lab.workbench.model import Attached

logger = logging.getLogger(__name__)


class Switches:
    """HPU graphs of one pipeline, and whatever else the workbench has switched on for it.

    Parameters
    ----------
    pipeline
        A diffusers pipeline, whole.
    """

    def __init__(self, pipeline: Any) -> None:
        self._attached = Attached("pipeline", pipeline)
        self._memory = Memory()
        self._seen: int | None = None

    @property
    def attached(self) -> Attached:
        """What is installed in the pipeline."""
        return self._attached

    @property
    def hpu_graphs(self) -> bool:
        """Whether HPU graphs are asked for; outside lazy mode they wait for it."""
        return self._attached.wish.hpu_graphs

    @hpu_graphs.setter
    def hpu_graphs(self, on: bool) -> None:
        wish = self._attached.wish.replace(hpu_graphs=on, mode=lab.current().mode)
        if on and not self._attached.wish.hpu_graphs:
            wish.check()
        self._attached.wish = wish

    def prepare(self) -> None:
        """Make what is installed fit what is asked for, the mode of the process, and the modules as they are.

        Called before each generation: in between, anyone may have changed any of them.
        """
        attached = self._attached
        settings = wishes.in_this_process(attached.wish)
        parts = components.of(attached.model)
        if parts != attached.components:
            attached.take_off(Settings())
            attached.components = parts
        elif self._seen not in (None, fingerprint.of(parts)):
            # What was captured no longer is what the modules do. Attention stays as it is.
            attached.take_off(attached.settings.replace(hpu_graphs=False))
        attached.take_off(settings)
        attached.put_on(settings)
        self._seen = fingerprint.of(parts)

    def forget(self) -> None:
        """Drop captured graphs: one that was interrupted in the making is not worth keeping."""
        self._attached.take_off(self._attached.settings.replace(hpu_graphs=False))

    def watch(self) -> Watch:
        """Return what a recorder should watch while this pipeline generates."""
        attached = self._attached
        return Watch(
            modules=attached.components,
            settings=str(attached.settings),
            graphs=attached.replays,
            memory=self._memory,
        )


def require_lazy() -> None:
    """Bring the process into lazy mode, unless it was told to be in eager mode.

    Scripts for optimum-habana ask for HPU graphs and leave the mode to its default there, which is lazy.

    Raises
    ------
    LabError
        If `PT_HPU_LAZY_MODE=0` was set, or a real bridge is loaded in eager mode.
    """
    if bridge.is_lazy():
        return
    if os.environ.get("PT_HPU_LAZY_MODE") == "0":
        raise LabError(
            "use_hpu_graphs=True needs lazy mode, and PT_HPU_LAZY_MODE=0 asks for eager mode.",
            python='gaudi_lab.mode("lazy")',
            magic="%gaudi_mode lazy",
        )
    change = lab.current().change(mode=Mode.LAZY)
    logger.warning("use_hpu_graphs=True needs lazy mode: %s", change)
