"""`mixture_of_experts`: every token through the experts that its router chose, in one kernel, for inference.

An expert is `activation(x @ w1) * (x @ w2) @ w3`: gate, up and down. Weights are one tensor an expert, (hidden, ffn)
for `w1` and `w2`, (ffn, hidden) for `w3`; `permuted_weights` says that each lies the other way round, as
`nn.Linear.weight` does. Fused weights `w12` are `w1` and `w2` side by side along ffn. Weight number 0 is that of
expert `experts_min`, and `experts_max` is the last one's number: experts outside are another device's and add nothing.

Overloads, their arguments and the formula are those of the bridge's source and of its tests (release 1.19, for biases
those of a later tree), and of the callers in optimum-habana and vllm-gaudi.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F

from gaudi_lab.emulator.kernels.float8 import FLOAT8
from gaudi_lab.emulator.kernels.library import define

Weights = Sequence[torch.Tensor]

_ACTIVATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "gelu": F.gelu,
    "relu": F.relu,
    "silu": F.silu,
}


class Routing(NamedTuple):
    """Which expert sees which token.

    Attributes
    ----------
    table
        Numbers of the experts of each token, (tokens, chosen).
    weights
        What the result of each counts, (tokens, chosen).
    first, last
        The numbers of the first and of the last expert that there are weights for.
    """

    table: torch.Tensor
    weights: torch.Tensor
    first: int
    last: int


def mixed(
    hidden: torch.Tensor,
    routing: Routing,
    experts: int,
    inner: Callable[[int, torch.Tensor], torch.Tensor],
    outer: Callable[[int, torch.Tensor], torch.Tensor],
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the sum over experts in float32 and the largest intermediate magnitude of each expert.

    `inner` and `outer` are the two halves of an expert: hidden to intermediate states, and back.
    """
    out = torch.zeros(hidden.shape, dtype=torch.float32)
    amax = torch.zeros(experts, dtype=torch.float32)
    for position in range(min(experts, routing.last - routing.first + 1)):
        token, choice = torch.where(routing.table == routing.first + position)
        if not len(token):
            continue
        states = inner(position, hidden[token])
        amax[position] = states.abs().amax()
        counts = routing.weights[token, choice].unsqueeze(-1).float()
        out.index_add_(0, token, outer(position, states) * counts)
    return out, amax


def gated(activation: str, w1: Weights, w2: Weights) -> Callable[[int, torch.Tensor], torch.Tensor]:
    """Return the first half of an expert: gate and up, from weights (in, out)."""
    function = _ACTIVATIONS[activation]
    return lambda position, x: function(x @ w1[position]) * (x @ w2[position])


def plain(
    hidden: torch.Tensor, routing: Routing, w1: Weights, w2: Weights, w3: Weights, activation: str
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the result in the dtype of `hidden`, and the largest intermediate magnitudes; weights are (in, out)."""
    w1, w2, w3 = [[w.float() for w in weights] for weights in (w1, w2, w3)]
    out, amax = mixed(
        hidden.float(), routing, len(w1), gated(activation, w1, w2), lambda position, x: x @ w3[position]
    )
    return out.to(hidden.dtype), amax


def _upright(weights: Weights, permuted: bool) -> list[torch.Tensor]:
    """Return the weights as (in, out)."""
    return [w.t() if permuted else w for w in weights]


def halves(weights: Weights) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Return gate and up from fused weights (in, 2 out)."""
    pairs = [w.chunk(2, -1) for w in weights]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def check(activation: str) -> None:
    """Raise the bridge's RuntimeError for an activation that the device does not have."""
    if activation not in _ACTIVATIONS:
        raise RuntimeError(f'Activation "{activation}" not found among MoeActivationMode_t enum values.')


def _separate(hidden, table, weights, w1, w2, w3, permuted, activation, first, last, **tuning):  # type: ignore[no-untyped-def]
    return _measured(hidden, table, weights, w1, w2, w3, permuted, activation, first, last, True)[0]


def _fused(hidden, table, weights, w12, w3, permuted, activation, first, last, **tuning):  # type: ignore[no-untyped-def]
    return _measured_fused(hidden, table, weights, w12, w3, permuted, activation, first, last, True)[0]


def _measured(
    hidden: torch.Tensor,
    table: torch.Tensor,
    weights: torch.Tensor,
    w1: Weights,
    w2: Weights,
    w3: Weights,
    permuted: bool,
    activation: str,
    first: int,
    last: int,
    measurement_mode: bool,
) -> tuple[torch.Tensor, torch.Tensor]:
    check(activation)
    w1, w2, w3 = [_upright(w, permuted) for w in (w1, w2, w3)]
    return plain(hidden, Routing(table, weights, first, last), w1, w2, w3, activation)


def _measured_fused(
    hidden: torch.Tensor,
    table: torch.Tensor,
    weights: torch.Tensor,
    w12: Weights,
    w3: Weights,
    permuted: bool,
    activation: str,
    first: int,
    last: int,
    measurement_mode: bool,
) -> tuple[torch.Tensor, torch.Tensor]:
    check(activation)
    w1, w2 = halves(_upright(w12, permuted))
    return plain(hidden, Routing(table, weights, first, last), w1, w2, _upright(w3, permuted), activation)


def _with_bias(
    hidden: torch.Tensor,
    table: torch.Tensor,
    weights: torch.Tensor,
    w12: Weights,
    w3: Weights,
    w12_bias: Weights,
    w3_bias: Weights,
    permuted: bool,
    first: int,
    last: int,
    *,
    alpha: float = 1.702,
    limit: float = 7.0,
    **tuning: int,
) -> torch.Tensor:
    """Return the mixture of GPT-OSS's experts.

    Columns of `w12` alternate between gate and up. Both are clamped to `limit`, and the product is
    `(up + 1) * gate * sigmoid(alpha * gate)`.
    """
    w12, w3 = [[w.float() for w in _upright(x, permuted)] for x in (w12, w3)]

    def inner(position: int, x: torch.Tensor) -> torch.Tensor:
        both = x @ w12[position] + w12_bias[position].float()
        gate, up = both[..., 0::2].clamp(max=limit), both[..., 1::2].clamp(-limit, limit)
        return (up + 1) * gate * torch.sigmoid(alpha * gate)

    def outer(position: int, x: torch.Tensor) -> torch.Tensor:
        return x @ w3[position] + w3_bias[position].float()

    out, _ = mixed(hidden.float(), Routing(table, weights, first, last), len(w12), inner, outer)
    return out.to(hidden.dtype)


def fake(hidden, *rest, **tuning):  # type: ignore[no-untyped-def]
    """Return what the result looks like; states of eight bits come back in bfloat16."""
    for argument in rest:
        if isinstance(argument, str):
            check(argument)
    return hidden.new_empty(hidden.shape, dtype=torch.bfloat16 if hidden.dtype in FLOAT8 else hidden.dtype)


def _fake_measured(hidden, table, weights, w1, *rest):  # type: ignore[no-untyped-def]
    return fake(hidden, *rest), hidden.new_empty(len(w1), dtype=torch.float32)


HEAD = "Tensor hidden_states, Tensor expert_routing_table, Tensor router_weights, "
SEPARATE, FUSED = "Tensor[] w1, Tensor[] w2, Tensor[] w3, ", "Tensor[] w12, Tensor[] w3, "
NAMES = "bool permuted_weights, str activation, int experts_min, int experts_max"
# How the device cuts up its work: nothing to choose on a host.
TUNING = ", *, int chunk_size=0, int total_experts=0"

_BIASES = (
    "Tensor[] w12_bias, Tensor[] w3_bias, bool permuted_weights, int experts_min, int experts_max" + TUNING
)


def define_all(rows: Sequence[tuple[str, Callable[..., Any], Callable[..., Any]]]) -> None:
    """Define overloads of the operator, each by the end of its schema, its kernel and its stand-in."""
    for schema, kernel, stand_in in rows:
        define(f"mixture_of_experts{schema}", kernel, stand_in)


# Of two overloads that fit the first is called, and `measurement_mode` must not be taken for something else.
define_all(
    [
        (
            f".fp8_measurement({HEAD}{SEPARATE}{NAMES}, bool measurement_mode) -> (Tensor, Tensor)",
            _measured,
            _fake_measured,
        ),
        (
            f".fp8_measurement_fused_weights({HEAD}{FUSED}{NAMES}, bool measurement_mode) -> (Tensor, Tensor)",
            _measured_fused,
            _fake_measured,
        ),
        (f"({HEAD}{SEPARATE}{NAMES}{TUNING}) -> Tensor", _separate, fake),
        (f".fused_weights({HEAD}{FUSED}{NAMES}{TUNING}) -> Tensor", _fused, fake),
        (
            f".bias_fused_weights({HEAD}{FUSED}{_BIASES}, float alpha=1.702, float limit=7.0) -> Tensor",
            _with_bias,
            fake,
        ),
    ]
)
