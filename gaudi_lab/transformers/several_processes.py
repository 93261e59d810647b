"""An evaluation in several processes, of which each has a device, gives the metrics that one process gives."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from accelerate.utils import send_to_device

if TYPE_CHECKING:
    from accelerate import Accelerator
    from transformers import Trainer


@dataclass(frozen=True)
class BatchRows:
    """The rows of one batch.

    So that all processes have batches of one size, accelerate fills the last ones up with the first samples of the
    data set, and drops their results once it has gathered them. A loss is a mean, out of which nothing can be dropped.

    Attributes
    ----------
    here
        How many this process was given.
    own
        How many of them are not such filling. Where all are, all count as its own: none of their results is kept.
    everywhere
        How many all processes have together, without filling.
    """

    here: int
    own: int
    everywhere: int


def count_rows(accelerator: Accelerator, here: int) -> BatchRows:
    """Return what the `here` rows are that this process was given for the current batch."""
    every = here * accelerator.num_processes
    state = accelerator.gradient_state
    if not accelerator.use_distributed or not state.end_of_dataloader or state.remainder <= 0:
        return BatchRows(here, here, every)
    own = min(state.remainder - here * accelerator.process_index, here)
    return BatchRows(here, own if own > 0 else here, min(state.remainder, every))


@contextmanager
def evaluating(trainer: Trainer) -> Iterator[None]:
    """Have the losses of one process in each of several, and what is gathered on the host.

    The stock loop counts labels over all processes and takes each loss times their number, which is right for a sum of
    gradients; in an evaluation it makes the loss of a model that does not divide by that number too large. What is
    gathered is joined with what was gathered before: on the device that is another graph for every batch.
    """
    if not trainer.accelerator.use_distributed:
        yield
        return
    args, gather = trainer.args, trainer.gather_function
    averages = args.average_tokens_across_devices

    def gather_to_host(results: Any) -> Any:
        return send_to_device(gather(results), "cpu")

    args.average_tokens_across_devices = False
    trainer.gather_function = gather_to_host
    try:
        yield
    finally:
        args.average_tokens_across_devices, trainer.gather_function = averages, gather
