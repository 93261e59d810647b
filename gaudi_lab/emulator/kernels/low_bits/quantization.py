"""PyTorch's `quantized_decomposed` operators as the device computes them: in the dtype of the data, to eight bits too.

A number `x` is quantised to `clamp(round(x / scale) + zero_point, quant_min, quant_max)`. To numbers of eight bits
there is no rounding but that of the cast, where PyTorch's own kernels round to whole numbers first. Formulas and
dtypes are those of the bridge's tests (release 1.19).
"""

from __future__ import annotations

import torch

from gaudi_lab.emulator.kernels.library import define
from gaudi_lab.emulator.kernels.low_bits.float8 import FLOAT8

_Number = torch.Tensor | float


def _whole(x: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    return x if dtype in FLOAT8 else torch.round(x)


def _per_tensor(
    data: torch.Tensor,
    scale: _Number,
    zero_point: _Number,
    quant_min: _Number,
    quant_max: _Number,
    dtype: torch.dtype,
) -> torch.Tensor:
    """Quantise `data` with one scale, a number or a tensor of one element."""
    whole = _whole(data / _like(scale, data), dtype) + _like(zero_point, data)
    return whole.clamp(_like(quant_min, data), _like(quant_max, data)).to(dtype)


def _per_channel(
    data: torch.Tensor,
    scales: torch.Tensor,
    zero_points: torch.Tensor,
    axis: int,
    quant_min: int,
    quant_max: int,
    dtype: torch.dtype,
) -> torch.Tensor:
    """Quantise `data` with a scale for each entry along `axis`."""
    inverse = 1.0 / _along(scales, axis, data).to(data.dtype)
    whole = _whole(data * inverse, dtype) + _along(zero_points, axis, data).to(data.dtype)
    return whole.clamp(quant_min, quant_max).to(dtype)


def _per_tensor_back(
    data: torch.Tensor,
    scale: _Number,
    zero_point: _Number,
    quant_min: _Number,
    quant_max: _Number,
    dtype: torch.dtype,
    out_dtype: torch.dtype | None = None,
) -> torch.Tensor:
    """Return `(data - zero_point) * scale` in `out_dtype`, by default float32."""
    return ((data.float() - zero_point) * scale).to(out_dtype or torch.float32)


def _per_channel_back(
    data: torch.Tensor,
    scales: torch.Tensor,
    zero_points: torch.Tensor | None,
    axis: int,
    quant_min: int,
    quant_max: int,
    dtype: torch.dtype,
    out_dtype: torch.dtype | None = None,
) -> torch.Tensor:
    """Return `(data - zero_point) * scale` in `out_dtype`, with both for each entry along `axis`."""
    wide = data.float()
    if zero_points is not None:
        wide = wide - _along(zero_points, axis, data)
    return (wide * _along(scales, axis, data)).to(out_dtype or torch.float32)


def _like(x: _Number, data: torch.Tensor) -> torch.Tensor:
    return x.to(data.dtype) if isinstance(x, torch.Tensor) else torch.tensor(x, dtype=data.dtype)


def _along(x: torch.Tensor, axis: int, data: torch.Tensor) -> torch.Tensor:
    return x.reshape([-1 if at == axis % data.dim() else 1 for at in range(data.dim())])


def _fake(data, *rest):  # type: ignore[no-untyped-def]
    return torch.empty_like(data, dtype=next(x for x in reversed(rest) if isinstance(x, torch.dtype)))


def _fake_back(data, scale, zero_point, *rest, out_dtype=None):  # type: ignore[no-untyped-def]
    dtypes = [x for x in rest if isinstance(x, torch.dtype)]
    return torch.empty_like(data, dtype=out_dtype or (dtypes[1] if len(dtypes) > 1 else torch.float32))


_BACK = "ScalarType dtype, *, ScalarType? out_dtype=None) -> Tensor"
for _overload, _scale, _bounds in (
    ("", "float scale, int zero_point", "int quant_min, int quant_max"),
    (".tensor", "Tensor scale, Tensor zero_point", "int quant_min, int quant_max"),
    (".tensor2", "Tensor scale, Tensor zero_point", "Tensor quant_min, Tensor quant_max"),
):
    _arguments = f"{_overload}(Tensor input, {_scale}, {_bounds}, "
    define(f"quantize_per_tensor{_arguments}ScalarType dtype) -> Tensor", _per_tensor, _fake)
    define(f"dequantize_per_tensor{_arguments}{_BACK}", _per_tensor_back, _fake_back)
_AXIS = "int axis, int quant_min, int quant_max, "
define(
    f"quantize_per_channel(Tensor input, Tensor scales, Tensor zero_points, {_AXIS}ScalarType dtype) -> Tensor",
    _per_channel,
    _fake,
)
define(
    f"dequantize_per_channel(Tensor input, Tensor scales, Tensor? zero_points, {_AXIS}{_BACK}",
    _per_channel_back,
    _fake_back,
)
