"""Pads batches to a few lengths, so that a model meets few shapes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from gaudi_lab.errors import LabValueError

IGNORED_LABEL = -100
"""The label that PyTorch's and transformers' losses leave out of their mean."""


class PadToBuckets:
    """A collator that pads every batch to the next of a few lengths; what is longer than all of them stays as it is.

    For `DataLoader(..., collate_fn=...)` and `Trainer(..., data_collator=...)`. It pads what a batch has along its
    second dimension: ids with the tokenizer's padding, masks with 0, labels with -100. A batch with `input_ids` and
    without an `attention_mask` gets one, so that the model leaves the padding out.

    Parameters
    ----------
    buckets
        The lengths.
    tokenizer
        Says how ids are padded, and on which side. Without it: `pad_token_id`, on the right.
    collate
        What makes a batch of samples first, such as the collator used so far. Without it, lists of different
        lengths are padded from here.
    names
        Which tensors have the length. Without it: those that are as long as `input_ids`, or as the first that has
        two dimensions.
    pad_token_id
        The id to pad with where there is no tokenizer.

    Raises
    ------
    LabValueError
        Without a length, or with one that is not positive.

    Examples
    --------
    >>> pad = PadToBuckets([32, 64, 128], tokenizer)
    >>> trainer = Trainer(model, arguments, train_dataset=dataset, data_collator=pad)
    """

    def __init__(
        self,
        buckets: Sequence[int],
        tokenizer: Any = None,
        *,
        collate: Callable[[Any], Any] | None = None,
        names: Sequence[str] = (),
        pad_token_id: int = 0,
    ) -> None:
        if not buckets or min(buckets) < 1:
            raise LabValueError(
                f"Buckets are lengths to pad to, and these are {list(buckets)}.",
                python="PadToBuckets([32, 64, 128])",
            )
        self.buckets = tuple(sorted(set(buckets)))
        self.names = tuple(names)
        self.left = getattr(tokenizer, "padding_side", "right") == "left"
        pad = getattr(tokenizer, "pad_token_id", None)
        self.pad_token_id = pad_token_id if pad is None else pad
        self.pad_token_type_id = getattr(tokenizer, "pad_token_type_id", 0)
        self._collate = collate

    def __call__(self, samples: Any) -> dict[str, Any]:
        """Return a batch, padded.

        Parameters
        ----------
        samples
            A list of dictionaries, one a sample; or a batch, which is a dictionary of tensors.

        Raises
        ------
        LabValueError
            If the batch is no dictionary: nothing says then what the model takes for padding.
        """
        if isinstance(samples, Mapping):
            batch: Any = dict(samples)
        elif self._collate is not None:
            batch = self._collate(samples)
        else:
            batch = self._stack(samples)
        if not isinstance(batch, Mapping):
            raise LabValueError(
                f"A batch that is a {type(batch).__name__} cannot be padded: nothing names its mask. It has to be a "
                "dictionary with an attention_mask.",
                python="DataLoader(dataset, collate_fn=DataCollatorWithPadding(tokenizer))",
            )
        return self._pad(dict(batch))

    def bucket(self, length: int) -> int:
        """Return what a length is padded to: itself if it is longer than all buckets."""
        return next((bucket for bucket in self.buckets if bucket >= length), length)

    def _pad(self, batch: dict[str, Any]) -> dict[str, Any]:
        names = self._with_length(batch)
        if not names:
            return batch
        length = batch[names[0]].shape[1]
        missing = self.bucket(length) - length
        ids = batch.get("input_ids")
        if isinstance(ids, torch.Tensor) and "attention_mask" not in batch:
            batch["attention_mask"] = torch.ones_like(ids)
            names.append("attention_mask")
        if missing:
            for name in names:
                batch[name] = self._widen(batch[name], missing, self._filling(name))
        return batch

    def _with_length(self, batch: Mapping[str, Any]) -> list[str]:
        wide = {name: x.shape[1] for name, x in batch.items() if isinstance(x, torch.Tensor) and x.dim() > 1}
        first = next((name for name in (*self.names, "input_ids", *wide) if name in wide), None)
        if first is None:
            return []
        alike = [name for name in wide if wide[name] == wide[first]]
        if self.names:
            alike = [name for name in alike if name in self.names or name == "attention_mask"]
        return [first, *(name for name in alike if name != first)]

    def _widen(self, x: torch.Tensor, missing: int, filling: int) -> torch.Tensor:
        rest = x.new_full((x.shape[0], missing, *x.shape[2:]), filling)
        return torch.cat([rest, x] if self.left else [x, rest], dim=1)

    def _filling(self, name: str) -> int:
        if "label" in name:
            return IGNORED_LABEL
        if name == "special_tokens_mask":
            return 1
        if name == "token_type_ids":
            return self.pad_token_type_id
        return self.pad_token_id if name.endswith("input_ids") else 0

    def _stack(self, samples: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return samples as a batch: sequences of different lengths padded to the longest, numbers stacked."""
        batch = {}
        for name in samples[0]:
            values = [torch.as_tensor(sample[name]) for sample in samples]
            longest = max(value.shape[0] if value.dim() else 0 for value in values)
            kept = "labels" if name in ("label", "label_ids") else name  # as transformers' collators do
            batch[kept] = torch.cat(
                [
                    self._widen(x[None], longest - x.shape[0], self._filling(kept)) if x.dim() else x[None]
                    for x in values
                ]
            )
        if "input_ids" in batch and "attention_mask" not in batch:
            # Made before the lengths are forgotten.
            ids = batch["input_ids"]
            lengths = torch.tensor([len(sample["input_ids"]) for sample in samples])[:, None]
            places = torch.arange(ids.shape[1])[None].expand(ids.shape)
            real = places >= ids.shape[1] - lengths if self.left else places < lengths
            batch["attention_mask"] = real.to(ids.dtype)
        return batch
