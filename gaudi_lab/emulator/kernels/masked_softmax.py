"""Softmax over scores that are scaled and masked in the same kernel.

`scaled_masked_softmax` adds a mask. The triangular ones let row i see columns 0 to i, or a part of them. Arguments and
messages are those of the bridge's source (release 1.19); how the device approximates exponentials is not emulated.
"""

from __future__ import annotations

import torch

from gaudi_lab.emulator.kernels.library import define
from gaudi_lab.emulator.kernels.low_bits.float8 import FLOAT8, round_to


def _masked(data: torch.Tensor, mask: torch.Tensor, scale: float) -> torch.Tensor:
    """Return the softmax of `data * scale + mask` over the last dimension."""
    return torch.softmax(data.float() * scale + mask.float(), -1).to(data.dtype)


def _triangular(
    data: torch.Tensor,
    inv_scale_attn: float,
    exp_sum_recpr: torch.Tensor | None = None,
    maximum: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return the softmax of `data * inv_scale_attn`, (batch, rows, columns), row i over columns 0 to i.

    Parameters
    ----------
    exp_sum_recpr, maximum
        What `scaled_triangular_softmax_retain` returned for the same data, (batch, rows, 1): nothing has to be summed
        again.
    """
    _check(data, exp_sum_recpr, maximum)
    if exp_sum_recpr is None or maximum is None:
        return _retain(data, inv_scale_attn)[0]
    scores, visible = _lower(data, inv_scale_attn)
    return _weigh(scores, visible, maximum.float(), exp_sum_recpr).to(data.dtype)


def _retain(data: torch.Tensor, inv_scale_attn: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the triangular softmax, 1 / the sum of a row's exponentials in float32, and the row's largest score."""
    _check(data, None, None)
    scores, visible = _lower(data, inv_scale_attn)
    # As it is returned: the softmax made from it again has to be the same.
    maximum = scores.masked_fill(~visible, -torch.inf).amax(-1, keepdim=True).to(data.dtype)
    exponentials = _weigh(scores, visible, maximum.float(), torch.ones(()))
    recpr = exponentials.sum(-1, keepdim=True).reciprocal()
    return (exponentials * recpr).to(data.dtype), recpr, maximum


def _lower(data: torch.Tensor, scale: float) -> tuple[torch.Tensor, torch.Tensor]:
    visible = torch.ones(data.shape[-2:], dtype=torch.bool).tril()
    return data.float() * scale, visible


def _weigh(
    scores: torch.Tensor, visible: torch.Tensor, maximum: torch.Tensor, by: torch.Tensor
) -> torch.Tensor:
    return torch.where(visible, torch.exp(scores - maximum) * by, 0.0)


def _check(data: torch.Tensor, exp_sum_recpr: torch.Tensor | None, maximum: torch.Tensor | None) -> None:
    if data.dim() != 3:
        raise RuntimeError("Self tensor must be 3D.")
    if (exp_sum_recpr is None) != (maximum is None):
        raise RuntimeError("Inputs max and exp_sum_recpr must be both given or Null.")
    if exp_sum_recpr is None or maximum is None:
        return
    if exp_sum_recpr.shape != maximum.shape:
        raise RuntimeError("exp_sum_recpr and max inputs must have the same shape.")
    if exp_sum_recpr.shape != (*data.shape[:-1], 1):
        raise RuntimeError("exp_sum_recpr and max inputs must have shape [self_shape[0], self_shape[1], 1].")


def _triangular_fake(data, inv_scale_attn, exp_sum_recpr=None, maximum=None):  # type: ignore[no-untyped-def]
    _check(data, exp_sum_recpr, maximum)
    return data.new_empty(data.shape)


def _retain_fake(data, inv_scale_attn):  # type: ignore[no-untyped-def]
    _check(data, None, None)
    rows = (*data.shape[:-1], 1)
    return data.new_empty(data.shape), data.new_empty(rows, dtype=torch.float32), data.new_empty(rows)


def _windowed(
    data: torch.Tensor,
    start_end: torch.Tensor,
    inv_scale_attn: float,
    grouped_batch_size: int,
    use_max: bool,
    mode: int,
    out_dtype: torch.dtype | None = None,
) -> torch.Tensor:
    """Return the softmax of `data * inv_scale_attn`, (batch, rows, columns), over a window of columns in the triangle.

    Row i sees what the last rows of a square would: with fewer rows than columns the last one sees them all. A row
    that sees nothing is zero.

    Parameters
    ----------
    start_end
        The first column and the one behind the last, for each group of the batch, (groups * 2) or (groups, 2).
    grouped_batch_size
        How many entries make a group.
    use_max, mode
        How the device computes exponentials: the result is the same.
    out_dtype
        Of the result, one of eight bits; None for that of `data`.
    """
    batch, rows, columns = data.shape
    bounds = start_end.reshape(-1, 2).repeat_interleave(grouped_batch_size, 0)[:batch].unsqueeze(1)
    position = torch.arange(columns)
    visible = (position >= bounds[..., :1]) & (position < bounds[..., 1:])
    triangle = torch.ones(rows, columns, dtype=torch.bool).tril(columns - rows)
    visible = visible & triangle
    out = torch.softmax((data.float() * inv_scale_attn).masked_fill(~visible, -torch.inf), -1)
    out = out.masked_fill(~visible, 0.0)
    dtype = out_dtype or data.dtype
    return round_to(out, dtype) if dtype in FLOAT8 else out.to(dtype)


def _windowed_fake(data, start_end, inv_scale_attn, grouped_batch_size, use_max, mode, out_dtype=None):  # type: ignore[no-untyped-def]
    return data.new_empty(data.shape, dtype=out_dtype or data.dtype)


def _like_first(data, *rest):  # type: ignore[no-untyped-def]
    return data.new_empty(data.shape)


define("scaled_masked_softmax(Tensor input, Tensor mask, float scale) -> Tensor", _masked, _like_first)
define(
    "scaled_triangular_softmax(Tensor self, float inv_scale_attn, Tensor? exp_sum_recpr=None, Tensor? max=None) "
    "-> Tensor",
    _triangular,
    _triangular_fake,
)
define(
    "scaled_triangular_softmax_retain(Tensor self, float inv_scale_attn) -> (Tensor, Tensor, Tensor)",
    _retain,
    _retain_fake,
)
define(
    "scaled_masked_triangular_softmax(Tensor self, Tensor start_end, float inv_scale_attn, int grouped_batch_size, "
    "bool use_max, int mode, ScalarType? out_dtype=None) -> Tensor",
    _windowed,
    _windowed_fake,
)
