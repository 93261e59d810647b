"""`mixture_of_experts` with weights of eight bits; what an expert is and how its weights lie, `experts` says.

Weights come with scales that turn them back: one a tensor, one a column of the result, or one a block of `block_size`
by `block_size`. Hidden states of eight bits have a scale too, and between its two halves an expert rounds its states to
eight bits: with the scales given for them, or, without, with one for each token as they come ("dynamic").

Overloads and their arguments are those of the bridge's tests (after release 1.19) and of the callers in vllm-gaudi and
optimum-habana. The result of eight-bit states is bfloat16.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from gaudi_lab.emulator.kernels.experts import (
    FUSED,
    HEAD,
    NAMES,
    SEPARATE,
    TUNING,
    Routing,
    Weights,
    check,
    define_all,
    fake,
    gated,
    halves,
    mixed,
    plain,
)
from gaudi_lab.emulator.kernels.float8 import FLOAT8, LARGEST, round_to, spread

Scales = Sequence[torch.Tensor | float] | None


def _mixture(
    hidden: torch.Tensor,
    routing: Routing,
    w1: Weights,
    w2: Weights,
    w3: Weights,
    of_hidden: torch.Tensor | float | None,
    of_states: Scales,
    activation: str,
) -> torch.Tensor:
    """Return the mixture in bfloat16, from weights (in, out) in float32 that were scaled back already.

    Parameters
    ----------
    of_hidden
        What turns the hidden states back into numbers: one, or one a token, (tokens, 1).
    of_states
        What turns intermediate states of eight bits back, one an expert; None to take one for each token.
    """
    numbers = hidden.float() if of_hidden is None else hidden.float() * of_hidden
    quantised = hidden.dtype in FLOAT8
    dtype = hidden.dtype if quantised else torch.float8_e4m3fn

    def outer(position: int, x: torch.Tensor) -> torch.Tensor:
        if quantised:
            if of_states is not None:
                by = torch.as_tensor(of_states[position if len(of_states) > 1 else 0], dtype=torch.float32)
            else:
                by = x.abs().amax(-1, keepdim=True).clamp_min(1e-12) / LARGEST[dtype]
            x = round_to(x / by, dtype).float() * by
        return x @ w3[position]

    out, _ = mixed(numbers, routing, len(w1), gated(activation, w1, w2), outer)
    return out.to(torch.bfloat16)


def _turned_back(weights: Weights, scales: Scales, permuted: bool, block: int = 0) -> list[torch.Tensor]:
    """Return weights (in, out) in float32 from those of eight bits; a scale is one, one a column, or one a block."""
    found = []
    for position, weight in enumerate(weights):
        number = weight.float()
        scale = 1.0 if scales is None else scales[position]
        by = scale.float() if isinstance(scale, torch.Tensor) else torch.tensor(scale)
        if block:
            number = number * spread(by, *number.shape)
            number = number.t() if permuted else number
        else:
            number = (number.t() if permuted else number) * by.reshape(-1)
        found.append(number)
    return found


def _separate(  # type: ignore[no-untyped-def]
    hidden,
    table,
    weights,
    w1,
    w2,
    w3,
    of_hidden,
    of_states,
    by1,
    by2,
    by3,
    permuted,
    activation,
    first,
    last,
    **tuning,
):
    check(activation)
    w1, w2, w3 = [_turned_back(w, by, permuted) for w, by in ((w1, by1), (w2, by2), (w3, by3))]
    return _mixture(
        hidden, Routing(table, weights, first, last), w1, w2, w3, of_hidden, of_states, activation
    )


def _fused(  # type: ignore[no-untyped-def]
    hidden,
    table,
    weights,
    w12,
    w3,
    of_hidden,
    of_states,
    by12,
    by3,
    permuted,
    activation,
    first,
    last,
    **tuning,
):
    check(activation)
    w1, w2 = halves(_turned_back(w12, by12, permuted))
    upright = _turned_back(w3, by3, permuted)
    routing = Routing(table, weights, first, last)
    return _mixture(hidden, routing, w1, w2, upright, of_hidden, of_states, activation)


def _separate_dynamic(  # type: ignore[no-untyped-def]
    hidden, table, weights, w1, w2, w3, of_hidden, by1, by2, by3, permuted, activation, first, last, **tuning
):
    return _separate(
        hidden, table, weights, w1, w2, w3, of_hidden, None, by1, by2, by3, permuted, activation, first, last
    )


def _fused_dynamic(  # type: ignore[no-untyped-def]
    hidden, table, weights, w12, w3, of_hidden, by12, by3, permuted, activation, first, last, **tuning
):
    return _fused(
        hidden, table, weights, w12, w3, of_hidden, None, by12, by3, permuted, activation, first, last
    )


def _blocks(  # type: ignore[no-untyped-def]
    hidden, table, weights, w1, w2, w3, by1, by2, by3, permuted, activation, first, last, block_size, **tuning
):
    """Return the mixture in the dtype of `hidden`, which is not quantised: the weights are, by blocks."""
    check(activation)
    w1, w2, w3 = [_turned_back(w, by, permuted, block_size) for w, by in ((w1, by1), (w2, by2), (w3, by3))]
    return plain(hidden, Routing(table, weights, first, last), w1, w2, w3, activation)[0]


def _scales(kind: str, *names: str) -> str:
    return "".join([f"{kind}[] d_scale_{name}, " for name in names])


_INNER = "{0} d_scale_hidden_states, {0}[] d_scale_intermediate_hidden_states, "
_THREE, _TWO = ("w1", "w2", "w3"), ("w12", "w3")

for _kind, _suffix in (("Tensor", ""), ("float", "_scalars")):
    _inner, _three, _two = _INNER.format(_kind), _scales(_kind, *_THREE), _scales(_kind, *_TWO)
    define_all(
        [
            (f".fp8{_suffix}({HEAD}{SEPARATE}{_inner}{_three}{NAMES}{TUNING}) -> Tensor", _separate, fake),
            (
                f".fp8_fused_weights{_suffix}({HEAD}{FUSED}{_inner}{_two}{NAMES}{TUNING}) -> Tensor",
                _fused,
                fake,
            ),
        ]
    )
_three, _two = _scales("Tensor", *_THREE), _scales("Tensor", *_TWO)
_hidden = "Tensor d_scale_hidden_states, "
define_all(
    [
        (
            f".fp8_dynamic({HEAD}{SEPARATE}{_hidden}{_three}{NAMES}{TUNING}) -> Tensor",
            _separate_dynamic,
            fake,
        ),
        (
            f".fp8_fused_weights_dynamic({HEAD}{FUSED}{_hidden}{_two}{NAMES}{TUNING}) -> Tensor",
            _fused_dynamic,
            fake,
        ),
        (f".fp8_block({HEAD}{SEPARATE}{_three}{NAMES}, int block_size{TUNING}) -> Tensor", _blocks, fake),
    ]
)
