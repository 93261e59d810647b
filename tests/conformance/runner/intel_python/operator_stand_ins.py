"""Operators of `torch.ops.hpu` as the bridge's own Python calls them, on those that the emulator has.

The emulator defines attention and normalisation with parameters of its own; most fused optimizers it has as classes
only. Both stand here under the bridge's names, for Intel's Python alone.
"""

from __future__ import annotations

from typing import Any

import fused_stand_ins as fused
import torch


def _flat(x: torch.Tensor | None) -> torch.Tensor | None:
    """Return four dimensions: heads in groups, of which the bridge makes a fifth one, are heads."""
    return x.flatten(1, 2) if x is not None and x.dim() == 5 else x


class _Overlay:
    """An operator of the emulator, called as the bridge's Python calls its own, or as the emulator's does."""

    def __init__(self, operator: Any, call: Any) -> None:
        self._operator = operator
        self._call = call
        self._mine = len(operator.default._schema.arguments)

    def __call__(self, *args: Any) -> Any:
        return self._operator(*args) if len(args) == self._mine else self._call(*args)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._operator, name)


def install() -> None:
    """Put the operators into `torch.ops.hpu`, for this process."""
    ops: Any = torch.ops.hpu
    fwd, bwd, recompute, recompute_bwd = ops.sdpa_fwd, ops.sdpa_bwd, ops.sdpa_recomp_fwd, ops.sdpa_recomp_bwd
    rms_norm, rms_backward = ops.rms_norm, ops.rms_norm_backward

    def seed_of(q: torch.Tensor, p: float) -> torch.Tensor | None:
        return torch.randint(2**31 - 1, (), dtype=torch.int64, device=q.device) if p > 0 else None

    def shaped(out: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
        return out.unflatten(1, like.shape[1:3]) if like.dim() == 5 else out

    def sdpa_recomp_fwd(
        q: Any, k: Any, v: Any, mask: Any, p: float, scale: float, causal: bool, backward: bool, mode: str,
        lengths: Any, side: str,
    ) -> Any:  # fmt: skip
        seed = seed_of(q, p)
        out, sums = recompute(
            _flat(q),
            _flat(k),
            _flat(v),
            _flat(mask),
            p,
            scale,
            causal,
            mode,
            lengths,
            side,
            [-1, -1],
            None,
            seed,
        )
        return shaped(out, q), sums, sums, seed

    def sdpa_recomp_bwd(
        grad: Any, q: Any, k: Any, v: Any, mask: Any, m: Any, linv: Any, seed: Any, causal: bool, p: float,
        scale: float, mode: str, out: Any,
    ) -> Any:  # fmt: skip
        found = recompute_bwd(
            _flat(grad), _flat(q), _flat(k), _flat(v), _flat(mask), _flat(out), m, p, scale, causal, seed
        )
        return tuple(shaped(x, like) for x, like in zip(found, (q, k, v), strict=True))

    def sdpa_fwd(
        q: Any,
        k: Any,
        v: Any,
        mask: Any,
        p: float,
        scale: float,
        causal: bool,
        mode: str,
        lengths: Any,
        side: str,
    ) -> Any:
        if lengths is not None:
            raise NotImplementedError("valid_seq_len without recomputation")
        out, probabilities, kept = fwd(
            _flat(q), _flat(k), _flat(v), _flat(mask), p, scale, causal, mode, seed_of(q, p)
        )
        return shaped(out, q), probabilities, kept

    def sdpa_bwd(
        grad: Any, q: Any, k: Any, v: Any, probabilities: Any, kept: Any, causal: bool, p: float, scale: float,
        out: Any,
    ) -> Any:  # fmt: skip
        found = bwd(_flat(grad), _flat(q), _flat(k), _flat(v), probabilities, kept, _flat(out), p, scale)
        return tuple(shaped(x, like) for x, like in zip(found, (q, k, v), strict=True))

    def rms_norm_backward(grad: Any, data: Any, gamma: Any, inverse: Any, *unused: Any) -> Any:
        return rms_backward(grad, data, gamma, inverse)

    for operator in (sdpa_recomp_fwd, sdpa_recomp_bwd, sdpa_fwd, sdpa_bwd, rms_norm_backward):
        setattr(ops, operator.__name__, _Overlay(getattr(ops, operator.__name__), operator))
    ops.rms_norm_fast, ops.rms_norm_fast_backward = rms_norm, rms_norm_backward
    ops.optimizer_ema, ops.optimizer_lars = fused.fused_ema, fused.fused_lars
    for name in (
        "fused_clip_norm", "optimizer_resource_apply_momentum", "optimizer_sgd", "optimizer_sgd_momentum",
    ):  # fmt: skip
        setattr(ops, name, getattr(fused, name))
