"""Beam search on a cache: `kv_reorder` gives each beam its parent's keys and values, `in_place_interleave` spreads one.

There are four beams. Both come in place, with an underscore, and as functions of a copy.
"""

from __future__ import annotations

import torch

from gaudi_lab.emulator.kernels.library import define

_BEAMS = 4


def _reorder_(
    data: torch.Tensor, start: torch.Tensor, end: torch.Tensor, beam_idx: torch.Tensor
) -> torch.Tensor:
    """Give beam `i` of each entry what its parent has at positions `start` to `end`; the rest of the cache stays.

    Parameters
    ----------
    data
        (batch, 4 beams, ..., length, dim).
    start, end
        (batch,).
    beam_idx
        The four parents of each entry in one byte, two bits each, the first beam's the highest, (batch,).
    """
    parents = torch.stack([(beam_idx.long() >> shift) & 3 for shift in (6, 4, 2, 0)], -1)
    for entry, first, last, parent in zip(data, start.tolist(), end.tolist(), parents, strict=True):
        part = entry[..., first:last, :]
        part.copy_(_bytes_at(part, parent))
    return data


def _interleave_(data: torch.Tensor) -> torch.Tensor:
    """Give each group of four entries what entry 0, 1, ... has: the first quarter of `data`, spread over its beams."""
    _check_beams(data)
    spread = torch.arange(data.shape[0] // _BEAMS).repeat_interleave(_BEAMS)
    return data.copy_(_bytes_at(data, spread))


def _check_beams(data: torch.Tensor) -> None:
    if data.shape[0] % _BEAMS:
        raise RuntimeError(f"the first size of the cache is {data.shape[0]}, no multiple of {_BEAMS} beams")


def _bytes_at(data: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """Return a copy of the entries at `index`, also of numbers that the host cannot index."""
    if data.element_size() > 1 or data.dtype in (torch.int8, torch.uint8, torch.bool):
        return data[index]
    return data.view(torch.uint8)[index].view(data.dtype)


def _reorder(data: torch.Tensor, *where: torch.Tensor) -> torch.Tensor:
    return _reorder_(data.clone(), *where)


def _interleave(data: torch.Tensor) -> torch.Tensor:
    return _interleave_(data.clone())


def _itself(data, *rest):  # type: ignore[no-untyped-def]
    return data


def _like_first(data, *rest):  # type: ignore[no-untyped-def]
    return torch.empty_like(data)


def _interleave_fake_(data):  # type: ignore[no-untyped-def]
    _check_beams(data)
    return data


def _interleave_fake(data):  # type: ignore[no-untyped-def]
    return torch.empty_like(_interleave_fake_(data))


_WHERE = "Tensor start, Tensor end, Tensor beam_idx) -> "
define(f"kv_reorder_(Tensor(a!) self, {_WHERE}Tensor(a!)", _reorder_, _itself)
define(f"kv_reorder(Tensor self, {_WHERE}Tensor", _reorder, _like_first)
define("in_place_interleave_(Tensor(a!) self) -> Tensor(a!)", _interleave_, _interleave_fake_)
define("in_place_interleave(Tensor self) -> Tensor", _interleave, _interleave_fake)
