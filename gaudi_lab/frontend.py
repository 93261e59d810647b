"""What the user sits in front of: a notebook, which shows HTML and pictures, or a terminal."""

from __future__ import annotations

import sys


def in_notebook() -> bool:
    """Whether this runs in a kernel, whose output can show pictures and replace them."""
    # Not imported: where nobody has done so, there is no notebook.
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return getattr(shell, "kernel", None) is not None
