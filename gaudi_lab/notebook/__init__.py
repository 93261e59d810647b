"""Gaudi Lab in IPython.

`magics` has the magics, `switch_magics` makes those of the switches from their table, `usage` reads their lines and
says what to run instead of what was refused, `completion` offers what can follow, `operator_magic` makes an operator of
a cell. `namespace` knows which models the notebook has, `repeat` runs a cell repeatedly, `failed_cells` explains what
the bridge raised, `short_tracebacks` leaves out what is not the user's, `stopped_cells` knows which cells did not run
to their end, and `late_variables` what was set too late; `panel` shows everything live.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from gaudi_lab.instruments.handle import Handle

_loaded: dict[int, Handle] = {}


def load(shell: InteractiveShell) -> None:
    """Add magics, completion and the watch on the namespace to `shell`."""
    from gaudi_lab.handover.notice import left_behind
    from gaudi_lab.handover.rerun import remember_cells
    from gaudi_lab.instruments.handle import Handle, together
    from gaudi_lab.notebook import (
        completion,
        failed_cells,
        late_variables,
        magics,
        namespace,
        short_tracebacks,
        stopped_cells,
    )

    unload(shell)
    if (told := left_behind()) is not None:
        print(told)  # noqa: T201 - somebody's work lies there
    _loaded[id(shell)] = together(
        [
            Handle(_forget_panels),
            namespace.follow(shell),
            stopped_cells.follow(shell),
            magics.register(shell),
            completion.register(shell),
            short_tracebacks.follow(shell),
            failed_cells.follow(shell),
            late_variables.follow(shell),
            Handle(remember_cells(shell)),
        ]
    )


def unload(shell: InteractiveShell) -> None:
    """Take everything out of `shell` again, and every model off the workbench."""
    if (loaded := _loaded.pop(id(shell), None)) is not None:
        loaded.remove()


def _forget_panels() -> None:
    # Whoever has a panel has loaded this.
    if (controller := sys.modules.get("gaudi_lab.notebook.panel.controller")) is not None:
        controller.Controller.forget()
