"""Root mean square normalisation in one kernel. Statistics are in float32 whatever the dtype."""

from __future__ import annotations

import torch

from gaudi_lab.emulator.kernels.library import define


def _rms_norm(data: torch.Tensor, gamma: torch.Tensor, eps: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the normalised data (..., features) and the inverse root mean squares (..., 1) in float32."""
    wide = data.float()
    inverse = torch.rsqrt(wide.square().mean(-1, keepdim=True).add_(eps))
    return (wide * inverse * gamma.float()).to(data.dtype), inverse


def _rms_norm_fake(data, gamma, eps):  # type: ignore[no-untyped-def]
    return data.new_empty(data.shape), data.new_empty((*data.shape[:-1], 1), dtype=torch.float32)


def _rms_norm_backward(
    grad: torch.Tensor, data: torch.Tensor, gamma: torch.Tensor, inverse: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the gradients of the data and of gamma (features,)."""
    wide, grad = data.float(), grad.float()
    normalised = wide * inverse
    scaled = grad * gamma.float()
    d_data = inverse * (scaled - normalised * (scaled * normalised).mean(-1, keepdim=True))
    d_gamma = (grad * normalised).flatten(0, -2).sum(0)
    return d_data.to(data.dtype), d_gamma.to(gamma.dtype)


def _rms_norm_backward_fake(grad, data, gamma, inverse):  # type: ignore[no-untyped-def]
    return data.new_empty(data.shape), gamma.new_empty(gamma.shape)


# Fast ones are less exact on a Gaudi, and the same here.
for _kind in ("rms_norm", "rms_norm_fast"):
    define(f"{_kind}(Tensor data_in, Tensor gamma, float eps) -> (Tensor, Tensor)", _rms_norm, _rms_norm_fake)
    define(
        f"{_kind}_backward(Tensor grad, Tensor data_in, Tensor gamma, Tensor inverse) -> (Tensor, Tensor)",
        _rms_norm_backward,
        _rms_norm_backward_fake,
    )
