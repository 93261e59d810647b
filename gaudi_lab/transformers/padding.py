"""Fill a batch that is smaller than the others up to their size, and take the filling out of the results."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch

from gaudi_lab.errors import LabValueError
from gaudi_lab.transformers.arguments import write_line

if TYPE_CHECKING:
    from transformers import Trainer

IGNORED = -100
"""The label that PyTorch's and transformers' classification losses leave out of their mean."""

BEHIND_THE_END = torch.iinfo(torch.int32).max
"""The position that the losses of question answering leave out, as they do all behind the end of the text."""

_POSITIONS = ("start_positions", "end_positions")


def count_samples(batch: Mapping[str, Any]) -> int:
    """Return how many rows the tensors of a batch have; 0 for one without tensors."""
    return next((x.shape[0] for x in batch.values() if isinstance(x, torch.Tensor) and x.dim()), 0)


def fill(batch: Mapping[str, Any], size: int, labels: list[str]) -> dict[str, Any]:
    """Repeat the last sample of a batch until it has `size` of them. Labels of the filling are ignored.

    It is filled up on the host: on the device that would be one more graph to compile.

    Parameters
    ----------
    batch
        Tensors by name, each with one row a sample. Others are left alone.
    size
        How many samples to return; at least as many as there are.
    labels
        Which tensors are labels, of a loss that `refuse_counting_loss` lets pass.
    """
    count = count_samples(batch)
    filled = dict(batch)
    for name, value in batch.items():
        if not (isinstance(value, torch.Tensor) and value.dim() and value.shape[0] == count):
            continue
        host = value.cpu()
        rest = host[-1:].expand(size - count, *host.shape[1:])
        if name in labels:
            rest = torch.full_like(rest, BEHIND_THE_END if name in _POSITIONS else IGNORED)
        filled[name] = torch.cat([host, rest]).to(value.device)
    return filled


def refuse_counting_loss(trainer: Trainer, batch: Mapping[str, Any]) -> None:
    """Refuse a batch of which the loss would count the filling, whatever is put in place of labels.

    Raises
    ------
    LabValueError
        For labels that are not classes, and for a loss that compares the samples of a batch with each other.
    """
    # As the stock step asks; CLIP's loss is one.
    asked = batch.get("return_loss")
    if not trainer.label_names and (trainer.can_return_loss if asked is None else asked):
        raise _refusal(trainer, "the batch", "its loss compares all samples with each other, the filling too")
    for name in trainer.label_names:
        value = batch.get(name)
        if not isinstance(value, torch.Tensor) or not value.dim():
            continue
        # What has no sign has no room for the label that is ignored.
        if (
            value.is_floating_point()
            or not value.dtype.is_signed
            or _is_regression(trainer.model, name, value)
        ):
            raise _refusal(
                trainer, repr(name), "these are not classes, and their loss would count the filling"
            )


def _is_regression(model: Any, name: str, value: torch.Tensor) -> bool:
    """Return True for whole numbers that transformers' models for sequences take for values and not for classes."""
    config = getattr(model, "config", None)
    kind = getattr(config, "problem_type", None)
    if kind is not None or name in _POSITIONS:
        return bool(kind == "regression")
    return getattr(config, "num_labels", None) == 1 and value.numel() == len(value)


def fill_results(results: Any, count: int, size: int) -> Any:
    """Return nested results with their last row repeated, where they have `count` rows, until they have `size`."""

    def repeat(tensor: torch.Tensor) -> torch.Tensor:
        return torch.cat([tensor, tensor[-1:].expand(size - count, *tensor.shape[1:])])

    return _map_rows(results, count, repeat)


def cut(results: Any, count: int, size: int) -> Any:
    """Return nested results without the rows of the filling.

    Parameters
    ----------
    results
        Tensors in tuples, lists or mappings; those with `size` rows are cut.
    count
        How many samples there were.
    size
        How many there are with the filling.
    """
    return _map_rows(results, size, lambda tensor: tensor[:count])


def _map_rows(results: Any, rows: int, change: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    """Return nested results with those tensors changed that have so many rows."""
    if isinstance(results, torch.Tensor):
        return change(results) if results.dim() and results.shape[0] == rows else results
    if isinstance(results, Mapping):
        return type(results)({name: _map_rows(value, rows, change) for name, value in results.items()})  # type: ignore[call-arg]
    if isinstance(results, (tuple, list)):
        return type(results)(_map_rows(value, rows, change) for value in results)
    return results


def _refusal(trainer: Trainer, what: str, why: str) -> LabValueError:
    return LabValueError(
        f"pad_last_batch=True cannot fill {what} up: {why}.",
        python=write_line(trainer.args, dataloader_drop_last=True),
    )
