"""The panel: every switch and every compile, in sight. `%gaudi_panel` or `gaudi_lab.panel(model)`.

`widget` is what the notebook shows, with `panel.js` and `panel.css`. All open panels share one `controller`: it
follows the workbench, keeps the `call_log`, and does what a panel asks for `between_cells`. What they show is
plain data: `snapshot`, made of `choices` (what can be switched and why not), exported code and `trial`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gaudi_lab.notebook.panel.widget import Panel


def panel(*models: Any) -> Panel:
    """Show a live panel of the switches, the compiles and the memory. In a notebook: `%gaudi_panel [model ...]`.

    Parameters
    ----------
    *models
        Models or their names; attached if they are not yet. None for all, also those attached later.

    Returns
    -------
    Panel
        Live where there is a notebook; a table or text of the same facts everywhere else.

    Raises
    ------
    LabError
        If one of them is no model, or not on `hpu`.

    Examples
    --------
    >>> gaudi_lab.panel(model)
    """
    from gaudi_lab import api
    from gaudi_lab.notebook.panel.controller import Controller
    from gaudi_lab.notebook.panel.widget import Panel
    from gaudi_lab.workbench import lab

    names = tuple(api.attached_name(model) for model in models)
    return Panel(Controller.of(lab.current()), names or None)
