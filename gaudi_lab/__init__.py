"""Gaudi Lab: a workbench for models on Intel Gaudi, in a notebook, on hardware or emulated on any CPU.

Where no real bridge is installed, importing this package makes `import habana_frameworks.torch` find the
emulated one. It imports neither torch nor a bridge nor IPython: the bridge decides lazy or eager when it
loads, and that choice is left to you.

In a notebook, `%load_ext gaudi_lab` adds `%gaudi_mode`, `%gaudi_attach`, `%gaudi_graphs`, `%gaudi_sdpa`,
`%gaudi_status`, `%gaudi_panel` and `%%gaudi_warmup`. Each has a function of like name here.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from gaudi_lab import emulator, wiring

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from gaudi_lab.api import apply as apply
    from gaudi_lab.api import attach as attach
    from gaudi_lab.api import compile as compile  # noqa: A004
    from gaudi_lab.api import detach as detach
    from gaudi_lab.api import fused_sdpa as fused_sdpa
    from gaudi_lab.api import hpu_graphs as hpu_graphs
    from gaudi_lab.api import mode as mode
    from gaudi_lab.api import status as status
    from gaudi_lab.diffusers import GaudiDDIMScheduler as GaudiDDIMScheduler
    from gaudi_lab.diffusers import GaudiStableDiffusionPipeline as GaudiStableDiffusionPipeline
    from gaudi_lab.errors import LabError as LabError
    from gaudi_lab.modes import Mode as Mode
    from gaudi_lab.modes import Settings as Settings
    from gaudi_lab.notebook.panel import panel as panel
    from gaudi_lab.transformers.config import GaudiConfig as GaudiConfig
    from gaudi_lab.transformers.trainer import GaudiTrainer as GaudiTrainer
    from gaudi_lab.transformers.training_args import GaudiTrainingArguments as GaudiTrainingArguments
    from gaudi_lab.warmup.recorder import Recorder as Recorder
    from gaudi_lab.warmup.timeline import Timeline as Timeline

emulator.install()
wiring.connect()

# Public name -> the module it is in, imported when the name is first used (PEP 562).
_WHERE = {
    "GaudiDDIMScheduler": "gaudi_lab.diffusers",
    "GaudiStableDiffusionPipeline": "gaudi_lab.diffusers",
    "GaudiConfig": "gaudi_lab.transformers.config",
    "GaudiTrainer": "gaudi_lab.transformers.trainer",
    "GaudiTrainingArguments": "gaudi_lab.transformers.training_args",
    "LabError": "gaudi_lab.errors",
    "Mode": "gaudi_lab.modes",
    "Recorder": "gaudi_lab.warmup.recorder",
    "Settings": "gaudi_lab.modes",
    "Timeline": "gaudi_lab.warmup.timeline",
    "apply": "gaudi_lab.api",
    "attach": "gaudi_lab.api",
    "compile": "gaudi_lab.api",
    "detach": "gaudi_lab.api",
    "fused_sdpa": "gaudi_lab.api",
    "hpu_graphs": "gaudi_lab.api",
    "mode": "gaudi_lab.api",
    "panel": "gaudi_lab.notebook.panel",
    "status": "gaudi_lab.api",
}

# `warmup` is a package that can be called; see `wiring`.
_PACKAGES = ("transformers", "warmup")

__all__ = [*_WHERE, *_PACKAGES]


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(importlib.import_module(_WHERE[name]), name)
    if name in _PACKAGES:
        return importlib.import_module(f"gaudi_lab.{name}")
    raise AttributeError(f"module 'gaudi_lab' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def load_ipython_extension(ipython: InteractiveShell) -> None:
    """Add the magics and their completion. Called by `%load_ext gaudi_lab`."""
    from gaudi_lab import notebook

    notebook.load(ipython)


def unload_ipython_extension(ipython: InteractiveShell) -> None:
    """Detach every model as it was before, and remove the magics. Called by `%unload_ext gaudi_lab`."""
    from gaudi_lab import notebook

    notebook.unload(ipython)
