"""Callbacks that a `GaudiTrainer` adds to itself."""

from __future__ import annotations

from typing import Any

from transformers import Trainer, TrainerCallback
from transformers.utils.notebook import NotebookProgressCallback

from gaudi_lab import bridge
from gaudi_lab.transformers import progress


class MarkStep(TrainerCallback):
    """Ends a lazy graph with each optimizer step, so that steps are equal graphs and none grows."""

    def on_optimizer_step(self, *_: Any, **__: Any) -> None:
        """Run what was collected."""
        bridge.mark_step()


def use_notebook_progress(trainer: Trainer) -> None:
    """Replace transformers' notebook progress, if `trainer` has it, by the one that leaves evaluation to us."""
    if trainer.pop_callback(NotebookProgressCallback) is not None:
        trainer.add_callback(progress.NotebookCallback)
