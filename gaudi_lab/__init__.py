"""Gaudi Lab: a workbench for models on Intel Gaudi, in a notebook, on hardware or emulated on any CPU.

Where no real bridge is installed, importing this package gives you the emulated one: if torch is there already,
or as soon as it comes, the device `hpu` is there too. Until then this imports neither torch nor a bridge nor IPython:
the bridge decides lazy or eager when it loads, and that choice is left to you.

In a notebook, `%load_ext gaudi_lab` adds `%gaudi_mode`, `%gaudi_attach`, `%gaudi_graphs`, `%gaudi_sdpa`,
`%gaudi_ops`, `%gaudi_compile`, `%gaudi_status`, `%gaudi_panel`, `%%gaudi_warmup`, `%gaudi_why`, `%gaudi_forecast`,
`%gaudi_compare`, `%gaudi_export`, `%gaudi_freeze`, `%gaudi_live_line`, `%gaudi_relaunch` and `%%gaudi_op`. Each has
a function of like name here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gaudi_lab import emulator
from gaudi_lab._lazy_names import lazy_names

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

emulator.install()

__getattr__, __dir__, __all__ = lazy_names(__name__, __file__)


def load_ipython_extension(ipython: InteractiveShell) -> None:
    """Add the magics and their completion. Called by `%load_ext gaudi_lab`."""
    from gaudi_lab import notebook

    notebook.load(ipython)


def unload_ipython_extension(ipython: InteractiveShell) -> None:
    """Detach every model as it was before, and remove the magics. Called by `%unload_ext gaudi_lab`."""
    from gaudi_lab import notebook

    notebook.unload(ipython)
