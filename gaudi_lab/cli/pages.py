"""A notebook as an HTML page that needs no JavaScript: each panel is there as it was last.

`jupyter nbconvert --to html` shows a widget as a widget wherever the notebook has its state, and its page fetches the
scripts for that from elsewhere; without them the place stays empty. That order is the exporter's own, and nothing that
an output holds can change it. Here is another exporter, for nbconvert and for `gaudi-lab tour`:

    jupyter nbconvert --to gaudi_lab.cli.pages.PageExporter notebook.ipynb
"""

from __future__ import annotations

import copy
from typing import Any

from nbconvert import HTMLExporter

_VIEW = "application/vnd.jupyter.widget-view+json"
_STATES = "application/vnd.jupyter.widget-state+json"


def with_last_state(notebook: Any) -> Any:
    """Return a notebook in which every panel is HTML, that of its last state and not of when it was shown.

    Parameters
    ----------
    notebook
        One that was run, with the widgets' states in its metadata, as nbclient and JupyterLab save them. It is left as
        it is. So are widgets of others, and panels without a state.
    """
    notebook = copy.deepcopy(notebook)
    states = notebook.metadata.get("widgets", {}).get(_STATES, {}).get("state", {})
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            state = states.get(data.get(_VIEW, {}).get("model_id"), {}).get("state", {})
            if state.get("last_html"):
                data["text/html"] = state["last_html"]
                del data[_VIEW]
    return notebook


class PageExporter(HTMLExporter):
    """Makes a page of a notebook, with panels as they were last."""

    def from_notebook_node(self, nb: Any, resources: dict[str, Any] | None = None, **options: Any) -> Any:
        """Return the page, and what belongs to it."""
        return super().from_notebook_node(with_last_state(nb), resources, **options)
