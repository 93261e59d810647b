"""Attention in one kernel, forward and backward, with and without keeping the probabilities.

Shapes: query (batch, heads, queries, dim), key (batch, kv_heads, keys, dim), value (batch, kv_heads, keys,
value_dim); `heads` is a multiple of `kv_heads`. A mask broadcasts to (batch, heads, queries, keys): True or a
number to add.

With recomputation the kernel works through blocks of queries and keeps one number a row, the logarithm of the
softmax's sum, from which the backward pass computes the probabilities again. Without, it keeps all of them.

Softmax modes matter in bfloat16: ``none`` rounds scores and probabilities to it, ``fast`` computes the
exponentials and their sum in it too, ``fp32`` computes everything in float32 and rounds only the result.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch

from gaudi_lab.emulator.kernels.library import define

_BLOCK_ELEMENTS = 1 << 20
_TINY = torch.finfo(torch.float32).tiny


@dataclass(frozen=True, kw_only=True)
class AttentionCall:
    """The arguments of a forward pass, under the names of the schemas.

    Attributes
    ----------
    attention_mask
        To add to the scores, or where they are allowed; None for neither.
    is_causal
        True to let query i see keys 0 to i only.
    seed
        What dropout draws by, a scalar; None for no dropout.
    valid_seq_len
        How many keys of each batch entry are valid, (batch,); None for all.
    seq_padding_type
        ``"left"`` if the valid keys are the last ones.
    window
        How many keys to the left and to the right a query sees; -1 for all.
    sink
        One score a head, (heads,), of a key without a value; None for none.
    """

    q: torch.Tensor
    k: torch.Tensor
    v: torch.Tensor
    dropout_p: float
    scale: float
    attention_mask: torch.Tensor | None = None
    is_causal: bool = False
    softmax_mode: str = "fp32"
    seed: torch.Tensor | None = None
    valid_seq_len: torch.Tensor | None = None
    seq_padding_type: str = "left"
    window: Sequence[int] = (-1, -1)
    sink: torch.Tensor | None = None

    @property
    def plain(self) -> bool:
        """True if there is nothing but a mask or the causal rule."""
        return (
            self.valid_seq_len is None
            and self.sink is None
            and tuple(self.window) == (-1, -1)
            and not (self.is_causal and self.attention_mask is not None)
        )

    def blocks(self) -> Iterator[slice]:
        """Yield blocks of queries whose scores together stay small."""
        batch, heads, queries, _ = self.q.shape
        row = batch * heads * self.k.shape[-2]
        step = max(1, min(queries, _BLOCK_ELEMENTS // max(1, row)))
        for start in range(0, queries, step):
            yield slice(start, min(start + step, queries))


@dataclass(frozen=True, kw_only=True)
class BackwardCall(AttentionCall):
    """The arguments of a backward pass: those of forward, with what it returned and kept.

    Attributes
    ----------
    grad, out
        The gradient of the result, and the result.
    probs, dropout_mask
        What forward without recomputation kept.
    log_sums
        What forward with recomputation kept.
    """

    grad: torch.Tensor
    out: torch.Tensor
    probs: torch.Tensor | None = None
    dropout_mask: torch.Tensor | None = None
    log_sums: torch.Tensor | None = None


class Rows(NamedTuple):
    """Softmax over a block of queries.

    Attributes
    ----------
    probabilities
        (batch, heads, rows, keys).
    log_sums
        Logarithm of the sum of the exponentials, (batch, heads, rows, 1) in float32; -inf where nothing is allowed.
    """

    probabilities: torch.Tensor
    log_sums: torch.Tensor


def _forward(call: AttentionCall) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return attention, the probabilities (before dropout) and the dropout mask (empty without dropout)."""
    rows, kept, out = _attend(call, slice(0, call.q.shape[-2]))
    empty = torch.empty(0, dtype=torch.bool)
    return out, rows.probabilities.to(call.q.dtype), empty if kept is None else kept


def _forward_fake(call: AttentionCall) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    shape = (*call.q.shape[:-1], call.k.shape[-2])
    kept = call.q.new_empty(shape if call.dropout_p > 0 else (0,), dtype=torch.bool)
    return _fake_out(call), call.q.new_empty(shape), kept


def _fake_out(call: AttentionCall) -> torch.Tensor:
    return call.q.new_empty((*call.q.shape[:-1], call.v.shape[-1]))


def _backward(call: BackwardCall) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the gradients of query, key and value from the probabilities that forward kept."""
    assert call.probs is not None
    assert call.dropout_mask is not None
    gradients = _Gradients(call)
    gradients.add(
        slice(0, call.q.shape[-2]), call.probs, call.dropout_mask if call.dropout_mask.numel() else None
    )
    return gradients.results()


def _recompute_forward(call: AttentionCall) -> tuple[torch.Tensor, torch.Tensor]:
    """Return attention and the logarithms of the softmax's sums, (batch, heads, queries) in float32."""
    q, v = call.q, call.v
    if call.seed is None and call.plain and q.dtype == torch.float32 and q.shape[-1] == v.shape[-1]:
        return _flash(call)
    outs, log_sums = [], []
    for block in call.blocks():
        rows, _, out = _attend(call, block)
        outs.append(out)
        log_sums.append(rows.log_sums.squeeze(-1))
    return torch.cat(outs, -2), torch.cat(log_sums, -1)


def _recompute_forward_fake(call: AttentionCall) -> tuple[torch.Tensor, torch.Tensor]:
    return _fake_out(call), call.q.new_empty(call.q.shape[:-1], dtype=torch.float32)


def _recompute_backward(call: BackwardCall) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the gradients of query, key and value, computing the probabilities again block by block."""
    assert call.log_sums is not None
    gradients = _Gradients(call)
    for block in call.blocks():
        scores = _scores(call, block)
        sums = call.log_sums[..., block].unsqueeze(-1)
        probabilities = torch.exp(scores - torch.where(sums == -torch.inf, 0.0, sums))
        gradients.add(block, probabilities, _draw_kept(call, probabilities.shape, block))
    return gradients.results()


def _gradients_fake(call: BackwardCall) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return call.q.new_empty(call.q.shape), call.k.new_empty(call.k.shape), call.v.new_empty(call.v.shape)


def _attend(call: AttentionCall, block: slice) -> tuple[Rows, torch.Tensor | None, torch.Tensor]:
    """Return softmax, dropout mask and attention of a block of queries."""
    rows = _softmax(call, _scores(call, block))
    kept = _draw_kept(call, rows.probabilities.shape, block)
    weights = _drop(rows.probabilities, kept, call.dropout_p)
    return rows, kept, _weigh(weights, call.v).to(call.q.dtype)


class _Gradients:
    """Sums up the gradients of attention over blocks of queries, in float32."""

    def __init__(self, call: BackwardCall) -> None:
        self._call = call
        self._key, self._value = call.k.float(), call.v.float()
        self._d_query = torch.empty(call.q.shape)
        self._d_key = torch.zeros(call.k.shape)
        self._d_value = torch.zeros(call.v.shape)

    def add(self, block: slice, probabilities: torch.Tensor, kept: torch.Tensor | None) -> None:
        """Add a block of queries."""
        scale, dropout_p = self._call.scale, self._call.dropout_p
        grad, out, query = [x[..., block, :].float() for x in (self._call.grad, self._call.out, self._call.q)]
        heads, groups = grad.shape[1], self._key.shape[1]
        probabilities = probabilities.float()
        d_dropped = _unfold(_fold(grad, groups) @ self._value.transpose(-2, -1), heads)
        d_scores = probabilities * (_drop(d_dropped, kept, dropout_p) - (grad * out).sum(-1, keepdim=True))
        d_scores = _fold(d_scores, groups)
        query = _fold(query, groups)
        weights = _fold(_drop(probabilities, kept, dropout_p), groups)
        self._d_value += weights.transpose(-2, -1) @ _fold(grad, groups)
        self._d_key += d_scores.transpose(-2, -1) @ query * scale
        self._d_query[..., block, :] = _unfold(d_scores @ self._key, heads) * scale

    def results(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return the gradients in the dtypes of the inputs."""
        call = self._call
        return self._d_query.to(call.q.dtype), self._d_key.to(call.k.dtype), self._d_value.to(call.v.dtype)


def _flash(call: AttentionCall) -> tuple[torch.Tensor, torch.Tensor]:
    """Run the host's own flash attention, which wants as many key heads as query heads."""
    query, key, value, mask = call.q, call.k, call.v, call.attention_mask
    sees_nothing = None
    if mask is not None:
        if mask.dtype == torch.bool:
            mask = torch.zeros(mask.shape).masked_fill_(mask.logical_not(), -torch.inf)
        while mask.dim() < 4:
            mask = mask.unsqueeze(0)
        # A row that may see nothing is NaN there and zero here.
        sees_nothing = (mask == -torch.inf).all(-1, keepdim=True)
        mask = mask.expand(*mask.shape[:2], query.shape[-2], key.shape[-2]).contiguous().clamp_min(_LOWEST)
    out, log_sums = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu.default(
        query,
        _spread(key, query),
        _spread(value, query),
        0.0,
        call.is_causal,
        attn_mask=mask,
        scale=call.scale,
    )
    if sees_nothing is not None and sees_nothing.any():
        out = out.masked_fill(sees_nothing, 0.0)
        log_sums = log_sums.masked_fill(sees_nothing.squeeze(-1), -torch.inf)
    return out.contiguous(), log_sums.contiguous()


def _spread(x: torch.Tensor, query: torch.Tensor) -> torch.Tensor:
    repeats = query.shape[1] // x.shape[1]
    return x if repeats == 1 else x.repeat_interleave(repeats, 1)


def _fold(x: torch.Tensor, groups: int) -> torch.Tensor:
    """Fold the query heads that share a key head into its rows: (batch, groups, heads / groups * rows, dim)."""
    return x.reshape(x.shape[0], groups, -1, x.shape[-1])


def _unfold(x: torch.Tensor, heads: int) -> torch.Tensor:
    return x.reshape(x.shape[0], heads, -1, x.shape[-1])


def _scores(call: AttentionCall, block: slice) -> torch.Tensor:
    """Return the scores of a block of queries, (batch, heads, rows, keys)."""
    query, key, mask = call.q[..., block, :], call.k, call.attention_mask
    if call.softmax_mode == "fp32":
        query, key = query.float(), key.float()
    scores = _unfold(_fold(query, key.shape[1]) @ key.transpose(-2, -1), query.shape[1]) * call.scale
    if mask is not None:
        part = mask[..., block, :] if mask.shape[-2] > 1 else mask
        scores = (
            scores.masked_fill(part.logical_not(), -torch.inf) if part.dtype == torch.bool else scores + part
        )
    hidden = _hidden_keys(call, block)
    return scores if hidden is None else scores.masked_fill(hidden, -torch.inf)


def _hidden_keys(call: AttentionCall, block: slice) -> torch.Tensor | None:
    """Return which keys the rules hide from each query, broadcast to (batch, heads, rows, keys); None for none."""
    keys = call.k.shape[2]
    query = torch.arange(block.start, block.stop).unsqueeze(-1)
    key = torch.arange(keys)
    hidden: torch.Tensor | None = None
    if call.is_causal:
        hidden = key > query
    left, right = call.window
    if left >= 0:
        hidden = _either(hidden, key < query - left)
    if right >= 0:
        hidden = _either(hidden, key > query + right)
    if call.valid_seq_len is not None:
        lengths = call.valid_seq_len.reshape(-1, 1, 1, 1)
        left_padded = call.seq_padding_type == "left"
        hidden = _either(hidden, key < keys - lengths if left_padded else key >= lengths)
    return hidden


def _either(a: torch.Tensor | None, b: torch.Tensor) -> torch.Tensor:
    return b if a is None else a | b


def _softmax(call: AttentionCall, scores: torch.Tensor) -> Rows:
    work = scores.dtype if call.softmax_mode == "fast" else torch.float32
    peak = scores.amax(-1, keepdim=True)
    peak = torch.where(peak == -torch.inf, torch.zeros_like(peak), peak)
    exponentials = torch.exp(scores.to(work) - peak.to(work))
    total = exponentials.sum(-1, keepdim=True, dtype=work)
    if call.sink is not None:
        total = total + torch.exp(call.sink.reshape(1, -1, 1, 1).to(work) - peak.to(work))
    probabilities = exponentials * total.clamp_min(_TINY).reciprocal()
    return Rows(probabilities.to(scores.dtype), peak.float() + torch.log(total.float()))


def _weigh(probabilities: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    folded = _fold(probabilities, value.shape[1])
    return _unfold(folded @ value.to(folded.dtype), probabilities.shape[1])


def _draw_kept(call: AttentionCall, shape: torch.Size, block: slice) -> torch.Tensor | None:
    """Return which probabilities of a block dropout keeps: always the same for one seed."""
    if call.seed is None or call.dropout_p <= 0.0:
        return None
    generator = torch.Generator().manual_seed(int(call.seed) + block.start)
    return torch.rand(shape, generator=generator) >= call.dropout_p


def _drop(x: torch.Tensor, kept: torch.Tensor | None, dropout_p: float) -> torch.Tensor:
    return x if kept is None else x * kept / (1.0 - dropout_p)


_LOWEST = torch.finfo(torch.float32).min

define(
    "sdpa_fwd(Tensor q, Tensor k, Tensor v, Tensor? attention_mask, float dropout_p, float scale, bool is_causal, "
    "str softmax_mode, Tensor? seed) -> (Tensor, Tensor, Tensor)",
    _forward,
    _forward_fake,
    AttentionCall,
)
define(
    "sdpa_bwd(Tensor grad, Tensor q, Tensor k, Tensor v, Tensor probs, Tensor dropout_mask, Tensor out, "
    "float dropout_p, float scale) -> (Tensor, Tensor, Tensor)",
    _backward,
    _gradients_fake,
    BackwardCall,
)
define(
    "sdpa_recomp_fwd(Tensor q, Tensor k, Tensor v, Tensor? attention_mask, float dropout_p, float scale, "
    "bool is_causal, str softmax_mode, Tensor? valid_seq_len, str seq_padding_type, int[] window, Tensor? sink, "
    "Tensor? seed) -> (Tensor, Tensor)",
    _recompute_forward,
    _recompute_forward_fake,
    AttentionCall,
)
define(
    "sdpa_recomp_bwd(Tensor grad, Tensor q, Tensor k, Tensor v, Tensor? attention_mask, Tensor out, "
    "Tensor log_sums, float dropout_p, float scale, bool is_causal, Tensor? seed) -> (Tensor, Tensor, Tensor)",
    _recompute_backward,
    _gradients_fake,
    BackwardCall,
)
