"""Trainer evaluation on Gaudi: `transformers.Trainer` with lazy mode, HPU graphs, FusedSDPA and warm-up told.

A script written for `optimum.habana` runs with only this import changed:

>>> from gaudi_lab.transformers import GaudiConfig, GaudiTrainer, GaudiTrainingArguments

Nothing in transformers or accelerate is patched. What the arguments switch on is put on the model that a
trainer is given, and taken off again.
"""

# Imported when first used: GaudiConfig needs no torch, and importing torch can decide the execution mode.
from gaudi_lab._lazy_names import lazy_names

__getattr__, __dir__, __all__ = lazy_names(__name__, __file__)
