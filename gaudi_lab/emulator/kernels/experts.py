"""`mixture_of_experts`: every token through the experts that its router chose, in one kernel, for inference.

An expert is `activation(x @ w1) * (x @ w2) @ w3`: gate, up and down. Weights are one tensor an expert, (hidden, ffn)
for `w1` and `w2`, (ffn, hidden) for `w3`; `permuted_weights` says that each lies the other way round, as
`nn.Linear.weight` does. Fused weights `w12` are `w1` and `w2` side by side along ffn. Weight number 0 is that of
expert `experts_min`, and `experts_max` is the last one's number: experts outside are another device's and add nothing.

Weights of eight bits come with scales that turn them back: one a tensor, one a column of the result, or one a block of
`block_size` by `block_size`. Hidden states of eight bits have a scale too, and between its two halves an expert rounds
its states to eight bits: with the scales given for them, or, without, with one for each token as they come ("dynamic").

Overloads, their arguments and the formula are those of the bridge's source and of its tests (release 1.19, for biases
and eight bits those of a later tree), and of the callers in optimum-habana and vllm-gaudi.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from gaudi_lab.emulator.kernels.library import define
from gaudi_lab.emulator.kernels.low_bits.float8 import FLOAT8, LARGEST, round_to, spread

Weights = Sequence[torch.Tensor]
Scales = Sequence[torch.Tensor | float] | None
Half = Callable[[int, torch.Tensor], torch.Tensor]

_ACTIVATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "gelu": F.gelu,
    "relu": F.relu,
    "silu": F.silu,
}


@dataclass(frozen=True)
class ExpertsCall:
    """The arguments of a call, whichever the overload, under the names of its schema.

    Attributes
    ----------
    hidden_states
        (tokens, hidden).
    expert_routing_table, router_weights
        Numbers of the experts of each token, and what the result of each counts, (tokens, chosen).
    d_scale_hidden_states
        What turns the hidden states back into numbers: one, or one a token, (tokens, 1).
    d_scale_intermediate_hidden_states
        What turns intermediate states of eight bits back, one an expert; None to take one for each token.
    measurement_mode, chunk_size, total_experts
        How the device cuts up its work: nothing to choose on a host.
    """

    hidden_states: torch.Tensor
    expert_routing_table: torch.Tensor
    router_weights: torch.Tensor
    w3: Weights
    permuted_weights: bool
    experts_min: int
    experts_max: int
    w1: Weights = ()
    w2: Weights = ()
    w12: Weights = ()
    activation: str = "silu"
    w12_bias: Weights = ()
    w3_bias: Weights = ()
    alpha: float = 1.702
    limit: float = 7.0
    d_scale_hidden_states: torch.Tensor | float | None = None
    d_scale_intermediate_hidden_states: Scales = None
    d_scale_w1: Scales = None
    d_scale_w2: Scales = None
    d_scale_w12: Scales = None
    d_scale_w3: Scales = None
    block_size: int = 0
    measurement_mode: bool = False
    chunk_size: int = 0
    total_experts: int = 0

    def check(self) -> None:
        """Raise the bridge's RuntimeError for an activation that the device does not have."""
        if self.activation not in _ACTIVATIONS:
            raise RuntimeError(
                f'Activation "{self.activation}" not found among MoeActivationMode_t enum values.'
            )

    def gate_and_up(self) -> tuple[Weights, Weights]:
        """Return both weights of the first half, (in, out) in float32."""
        if not self.w12:
            return self.upright(self.w1, self.d_scale_w1), self.upright(self.w2, self.d_scale_w2)
        pairs = [w.chunk(2, -1) for w in self.upright(self.w12, self.d_scale_w12)]
        return [gate for gate, _ in pairs], [up for _, up in pairs]

    def upright(self, weights: Weights, scales: Scales = None) -> Weights:
        """Return weights as (in, out) in float32, turned back by their scales."""
        return [
            self._upright(w.float(), None if scales is None else scales[i]) for i, w in enumerate(weights)
        ]

    def _upright(self, weight: torch.Tensor, scale: torch.Tensor | float | None) -> torch.Tensor:
        by = None if scale is None else torch.as_tensor(scale, dtype=torch.float32)
        if by is not None and self.block_size:
            weight, by = weight * spread(by, *weight.shape), None
        weight = weight.t() if self.permuted_weights else weight
        return weight if by is None else weight * by.reshape(-1)

    def mix(self, inner: Half, outer: Half) -> torch.Tensor:
        """Return the sum over experts in float32.

        `inner` and `outer` are the two halves of an expert, given by its position: hidden to intermediate states, and
        back.
        """
        hidden = self.hidden_states.float()
        if self.d_scale_hidden_states is not None:
            hidden = hidden * self.d_scale_hidden_states
        out = torch.zeros(hidden.shape, dtype=torch.float32)
        for position in range(min(len(self.w3), self.experts_max - self.experts_min + 1)):
            token, choice = torch.where(self.expert_routing_table == self.experts_min + position)
            if not len(token):
                continue
            states = inner(position, hidden[token])
            counts = self.router_weights[token, choice].unsqueeze(-1).float()
            out.index_add_(0, token, outer(position, states) * counts)
        return out


def _mix(call: ExpertsCall) -> torch.Tensor:
    """Return the mixture of gated experts in float32."""
    call.check()
    activation = _ACTIVATIONS[call.activation]
    gate, up = call.gate_and_up()
    down = call.upright(call.w3, call.d_scale_w3)

    def inner(position: int, x: torch.Tensor) -> torch.Tensor:
        return activation(x @ gate[position]) * (x @ up[position])

    def outer(position: int, x: torch.Tensor) -> torch.Tensor:
        return _round_states(call, position, x) @ down[position]

    return call.mix(inner, outer)


def _round_states(call: ExpertsCall, position: int, x: torch.Tensor) -> torch.Tensor:
    """Return the intermediate states of an expert, rounded to eight bits if the hidden states have eight."""
    dtype, scales = call.hidden_states.dtype, call.d_scale_intermediate_hidden_states
    if dtype not in FLOAT8:
        return x
    if scales is None:
        by = x.abs().amax(-1, keepdim=True).clamp_min(1e-12) / LARGEST[dtype]
    else:
        by = torch.as_tensor(scales[position if len(scales) > 1 else 0], dtype=torch.float32)
    return round_to(x / by, dtype).float() * by


def _plain(call: ExpertsCall) -> torch.Tensor:
    """Return the mixture in the dtype of the hidden states, which have not eight bits."""
    return _mix(call).to(call.hidden_states.dtype)


def _measured(call: ExpertsCall) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the mixture in the dtype of the hidden states, and what `_largest_states` does."""
    return _plain(call), _largest_states(call)


def _largest_states(call: ExpertsCall) -> torch.Tensor:
    """Return the largest intermediate state of each expert, (experts,), in float32.

    It is over all tokens, whoever they are routed to, signed, and computed in the dtype of the hidden states.
    """
    hidden, activation = call.hidden_states, _ACTIVATIONS[call.activation]
    found = [
        (activation(hidden @ gate.to(hidden.dtype)) * (hidden @ up.to(hidden.dtype))).amax()
        for gate, up in zip(*call.gate_and_up(), strict=True)
    ]
    return torch.stack(found).float()


def _float8(call: ExpertsCall) -> torch.Tensor:
    """Return the mixture in bfloat16."""
    return _mix(call).to(torch.bfloat16)


def _with_bias(call: ExpertsCall) -> torch.Tensor:
    """Return the mixture of GPT-OSS's experts.

    Columns of `w12` alternate between gate and up. Both are clamped to `limit`, and the product is
    `(up + 1) * gate * sigmoid(alpha * gate)`.
    """
    both, down = call.upright(call.w12), call.upright(call.w3)

    def inner(position: int, x: torch.Tensor) -> torch.Tensor:
        states = x @ both[position] + call.w12_bias[position].float()
        gate, up = states[..., 0::2].clamp(max=call.limit), states[..., 1::2].clamp(-call.limit, call.limit)
        return (up + 1) * gate * torch.sigmoid(call.alpha * gate)

    def outer(position: int, x: torch.Tensor) -> torch.Tensor:
        return x @ down[position] + call.w3_bias[position].float()

    return call.mix(inner, outer).to(call.hidden_states.dtype)


def _fake(call: ExpertsCall) -> torch.Tensor:
    """Return what the result looks like; states of eight bits come back in bfloat16."""
    call.check()
    hidden = call.hidden_states
    return hidden.new_empty(hidden.shape, dtype=torch.bfloat16 if hidden.dtype in FLOAT8 else hidden.dtype)


def _fake_measured(call: ExpertsCall) -> tuple[torch.Tensor, torch.Tensor]:
    return _fake(call), call.hidden_states.new_empty(len(call.w3), dtype=torch.float32)


# Of two overloads that fit the first is called, and `measurement_mode` must not be taken for something else.
_OVERLOADS: tuple[tuple[Callable[[ExpertsCall], Any], str], ...] = (
    (
        _measured,
        """mixture_of_experts.fp8_measurement(
        Tensor hidden_states, Tensor expert_routing_table, Tensor router_weights, Tensor[] w1, Tensor[] w2,
        Tensor[] w3, bool permuted_weights, str activation, int experts_min, int experts_max,
        bool measurement_mode) -> (Tensor, Tensor)""",
    ),
    (
        _measured,
        """mixture_of_experts.fp8_measurement_fused_weights(
        Tensor hidden_states, Tensor expert_routing_table, Tensor router_weights, Tensor[] w12, Tensor[] w3,
        bool permuted_weights, str activation, int experts_min, int experts_max,
        bool measurement_mode) -> (Tensor, Tensor)""",
    ),
    (
        _plain,
        """mixture_of_experts(
        Tensor hidden_states, Tensor expert_routing_table, Tensor router_weights, Tensor[] w1, Tensor[] w2,
        Tensor[] w3, bool permuted_weights, str activation, int experts_min, int experts_max, *,
        int chunk_size=0, int total_experts=0) -> Tensor""",
    ),
    (
        _plain,
        """mixture_of_experts.fused_weights(
        Tensor hidden_states, Tensor expert_routing_table, Tensor router_weights, Tensor[] w12, Tensor[] w3,
        bool permuted_weights, str activation, int experts_min, int experts_max, *, int chunk_size=0,
        int total_experts=0) -> Tensor""",
    ),
    (
        _with_bias,
        """mixture_of_experts.bias_fused_weights(
        Tensor hidden_states, Tensor expert_routing_table, Tensor router_weights, Tensor[] w12, Tensor[] w3,
        Tensor[] w12_bias, Tensor[] w3_bias, bool permuted_weights, int experts_min, int experts_max, *,
        int chunk_size=0, int total_experts=0, float alpha=1.702, float limit=7.0) -> Tensor""",
    ),
    (
        _float8,
        """mixture_of_experts.fp8(
        Tensor hidden_states, Tensor expert_routing_table, Tensor router_weights, Tensor[] w1, Tensor[] w2,
        Tensor[] w3, Tensor d_scale_hidden_states, Tensor[] d_scale_intermediate_hidden_states,
        Tensor[] d_scale_w1, Tensor[] d_scale_w2, Tensor[] d_scale_w3, bool permuted_weights, str activation,
        int experts_min, int experts_max, *, int chunk_size=0, int total_experts=0) -> Tensor""",
    ),
    (
        _float8,
        """mixture_of_experts.fp8_fused_weights(
        Tensor hidden_states, Tensor expert_routing_table, Tensor router_weights, Tensor[] w12, Tensor[] w3,
        Tensor d_scale_hidden_states, Tensor[] d_scale_intermediate_hidden_states, Tensor[] d_scale_w12,
        Tensor[] d_scale_w3, bool permuted_weights, str activation, int experts_min, int experts_max, *,
        int chunk_size=0, int total_experts=0) -> Tensor""",
    ),
    (
        _float8,
        """mixture_of_experts.fp8_scalars(
        Tensor hidden_states, Tensor expert_routing_table, Tensor router_weights, Tensor[] w1, Tensor[] w2,
        Tensor[] w3, float d_scale_hidden_states, float[] d_scale_intermediate_hidden_states,
        float[] d_scale_w1, float[] d_scale_w2, float[] d_scale_w3, bool permuted_weights, str activation,
        int experts_min, int experts_max, *, int chunk_size=0, int total_experts=0) -> Tensor""",
    ),
    (
        _float8,
        """mixture_of_experts.fp8_fused_weights_scalars(
        Tensor hidden_states, Tensor expert_routing_table, Tensor router_weights, Tensor[] w12, Tensor[] w3,
        float d_scale_hidden_states, float[] d_scale_intermediate_hidden_states, float[] d_scale_w12,
        float[] d_scale_w3, bool permuted_weights, str activation, int experts_min, int experts_max, *,
        int chunk_size=0, int total_experts=0) -> Tensor""",
    ),
    (
        _float8,
        """mixture_of_experts.fp8_dynamic(
        Tensor hidden_states, Tensor expert_routing_table, Tensor router_weights, Tensor[] w1, Tensor[] w2,
        Tensor[] w3, Tensor d_scale_hidden_states, Tensor[] d_scale_w1, Tensor[] d_scale_w2,
        Tensor[] d_scale_w3, bool permuted_weights, str activation, int experts_min, int experts_max, *,
        int chunk_size=0, int total_experts=0) -> Tensor""",
    ),
    (
        _float8,
        """mixture_of_experts.fp8_fused_weights_dynamic(
        Tensor hidden_states, Tensor expert_routing_table, Tensor router_weights, Tensor[] w12, Tensor[] w3,
        Tensor d_scale_hidden_states, Tensor[] d_scale_w12, Tensor[] d_scale_w3, bool permuted_weights,
        str activation, int experts_min, int experts_max, *, int chunk_size=0, int total_experts=0) -> Tensor""",
    ),
    (
        _plain,
        """mixture_of_experts.fp8_block(
        Tensor hidden_states, Tensor expert_routing_table, Tensor router_weights, Tensor[] w1, Tensor[] w2,
        Tensor[] w3, Tensor[] d_scale_w1, Tensor[] d_scale_w2, Tensor[] d_scale_w3, bool permuted_weights,
        str activation, int experts_min, int experts_max, int block_size, *, int chunk_size=0,
        int total_experts=0) -> Tensor""",
    ),
)
for _kernel, _schema in _OVERLOADS:
    define(_schema, _kernel, _fake_measured if _kernel is _measured else _fake, ExpertsCall)
