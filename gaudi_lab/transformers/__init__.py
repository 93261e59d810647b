"""Trainer evaluation on Gaudi: `transformers.Trainer` with lazy mode, HPU graphs, FusedSDPA and warm-up told.

A script written for `optimum.habana` runs with only this import changed:

>>> from gaudi_lab.transformers import GaudiConfig, GaudiTrainer, GaudiTrainingArguments

Nothing in transformers or accelerate is patched. What the arguments switch on is put on the model that a
trainer is given, and taken off again.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gaudi_lab.transformers.config import GaudiConfig as GaudiConfig
    from gaudi_lab.transformers.trainer import GaudiTrainer as GaudiTrainer
    from gaudi_lab.transformers.training_args import GaudiTrainingArguments as GaudiTrainingArguments

# Imported when first used: GaudiConfig needs no torch, and importing torch can decide the execution mode.
_WHERE = {
    "GaudiConfig": "gaudi_lab.transformers.config",
    "GaudiTrainer": "gaudi_lab.transformers.trainer",
    "GaudiTrainingArguments": "gaudi_lab.transformers.training_args",
}

__all__ = [*_WHERE]


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(importlib.import_module(_WHERE[name]), name)
    raise AttributeError(f"module 'gaudi_lab.transformers' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
