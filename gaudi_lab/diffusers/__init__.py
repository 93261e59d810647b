"""Stable Diffusion for Gaudi: a port from `optimum.habana.diffusers` is a change of the import line."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gaudi_lab.diffusers.ddim import GaudiDDIMScheduler as GaudiDDIMScheduler
    from gaudi_lab.diffusers.output import (
        GaudiStableDiffusionPipelineOutput as GaudiStableDiffusionPipelineOutput,
    )
    from gaudi_lab.diffusers.pipeline import GaudiStableDiffusionPipeline as GaudiStableDiffusionPipeline

_WHERE = {
    "GaudiDDIMScheduler": "gaudi_lab.diffusers.ddim",
    "GaudiStableDiffusionPipeline": "gaudi_lab.diffusers.pipeline",
    "GaudiStableDiffusionPipelineOutput": "gaudi_lab.diffusers.output",
}

__all__ = list(_WHERE)


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(importlib.import_module(_WHERE[name]), name)
    raise AttributeError(f"module 'gaudi_lab.diffusers' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
