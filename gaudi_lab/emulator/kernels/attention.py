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

from collections.abc import Iterator
from typing import NamedTuple

import torch

from gaudi_lab.emulator.kernels.library import define

_BLOCK_ELEMENTS = 1 << 20
_TINY = torch.finfo(torch.float32).tiny


class Terms(NamedTuple):
    """What the scores depend on beside query and key.

    Attributes
    ----------
    mask
        To add to the scores, or where they are allowed; None for neither.
    causal
        True to let query i see keys 0 to i only.
    lengths
        How many keys of each batch entry are valid, (batch,); None for all.
    left_padded
        True if the valid keys are the last ones.
    window
        How many keys to the left and to the right a query sees; -1 for all.
    sink
        One score a head, (heads,), of a key without a value; None for none.
    """

    mask: torch.Tensor | None
    causal: bool
    lengths: torch.Tensor | None = None
    left_padded: bool = True
    window: tuple[int, int] = (-1, -1)
    sink: torch.Tensor | None = None

    @property
    def plain(self) -> bool:
        """True if there is nothing but a mask or the causal rule."""
        return (
            self.lengths is None
            and self.sink is None
            and self.window == (-1, -1)
            and not (self.causal and self.mask is not None)
        )


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


def _forward(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    dropout_p: float,
    scale: float,
    is_causal: bool,
    softmax_mode: str,
    seed: torch.Tensor | None,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return attention, the probabilities (before dropout) and the dropout mask (empty without dropout)."""
    rows, kept, out = _attend(
        query, key, value, Terms(mask, is_causal), dropout_p, scale, softmax_mode, seed, 0
    )
    empty = torch.empty(0, dtype=torch.bool)
    return out, rows.probabilities.to(query.dtype), empty if kept is None else kept


def _forward_fake(query, key, value, mask, dropout_p, scale, is_causal, softmax_mode, seed):  # type: ignore[no-untyped-def]
    shape = (*query.shape[:-1], key.shape[-2])
    kept = query.new_empty(shape if dropout_p > 0 else (0,), dtype=torch.bool)
    return query.new_empty((*query.shape[:-1], value.shape[-1])), query.new_empty(shape), kept


def _backward(
    grad: torch.Tensor,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    probabilities: torch.Tensor,
    kept: torch.Tensor,
    out: torch.Tensor,
    dropout_p: float,
    scale: float,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the gradients of query, key and value from the probabilities that forward kept."""
    gradients = _Gradients(query, key, value, scale)
    gradients.add(0, grad, out, probabilities, kept if kept.numel() else None, dropout_p)
    return gradients.results()


def _recompute_forward(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    dropout_p: float,
    scale: float,
    is_causal: bool,
    softmax_mode: str,
    valid_seq_len: torch.Tensor | None,
    seq_padding_type: str,
    window: list[int],
    sink: torch.Tensor | None,
    seed: torch.Tensor | None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return attention and the logarithms of the softmax's sums, (batch, heads, queries) in float32."""
    terms = Terms(mask, is_causal, valid_seq_len, seq_padding_type == "left", (window[0], window[1]), sink)
    if seed is None and terms.plain and query.dtype == torch.float32 and query.shape[-1] == value.shape[-1]:
        return _flash(query, key, value, terms, scale)
    outs, log_sums = [], []
    for start, stop in _blocks(query, key):
        block = query[..., start:stop, :]
        rows, _, out = _attend(block, key, value, terms, dropout_p, scale, softmax_mode, seed, start)
        outs.append(out)
        log_sums.append(rows.log_sums.squeeze(-1))
    return torch.cat(outs, -2), torch.cat(log_sums, -1)


def _attend(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    terms: Terms,
    dropout_p: float,
    scale: float,
    softmax_mode: str,
    seed: torch.Tensor | None,
    start: int,
) -> tuple[Rows, torch.Tensor | None, torch.Tensor]:
    """Return softmax, dropout mask and attention of the block of queries that begins at `start`."""
    rows = _softmax(_scores(query, key, scale, terms, start, softmax_mode), terms, softmax_mode)
    kept = _draw_kept(seed, dropout_p, rows.probabilities.shape, start)
    return rows, kept, _weigh(_drop(rows.probabilities, kept, dropout_p), value).to(query.dtype)


def _recompute_forward_fake(query, key, value, *rest):  # type: ignore[no-untyped-def]
    out = query.new_empty((*query.shape[:-1], value.shape[-1]))
    return out, query.new_empty(query.shape[:-1], dtype=torch.float32)


def _recompute_backward(
    grad: torch.Tensor,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    out: torch.Tensor,
    log_sums: torch.Tensor,
    dropout_p: float,
    scale: float,
    is_causal: bool,
    seed: torch.Tensor | None,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the gradients of query, key and value, computing the probabilities again block by block."""
    terms = Terms(mask, is_causal)
    gradients = _Gradients(query, key, value, scale)
    for start, stop in _blocks(query, key):
        rows = slice(start, stop)
        scores = _scores(query[..., rows, :], key, scale, terms, start, "fp32")
        sums = log_sums[..., rows].unsqueeze(-1)
        probabilities = torch.exp(scores - torch.where(sums == -torch.inf, 0.0, sums))
        kept = _draw_kept(seed, dropout_p, probabilities.shape, start)
        gradients.add(start, grad[..., rows, :], out[..., rows, :], probabilities, kept, dropout_p)
    return gradients.results()


def _gradients_fake(grad, query, key, value, *rest):  # type: ignore[no-untyped-def]
    return tuple(x.new_empty(x.shape) for x in (query, key, value))


class _Gradients:
    """Sums up the gradients of attention over blocks of queries, in float32."""

    def __init__(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float) -> None:
        self._inputs = query, key, value
        self._key, self._value = key.float(), value.float()
        self._scale = scale
        self._d_query = torch.empty(query.shape)
        self._d_key = torch.zeros(key.shape)
        self._d_value = torch.zeros(value.shape)

    def add(
        self,
        start: int,
        grad: torch.Tensor,
        out: torch.Tensor,
        probabilities: torch.Tensor,
        kept: torch.Tensor | None,
        dropout_p: float,
    ) -> None:
        """Add the block of queries that begins at `start`; `grad` and `out` are its rows of the result."""
        stop = start + grad.shape[-2]
        heads, groups = grad.shape[1], self._key.shape[1]
        grad, out, probabilities = grad.float(), out.float(), probabilities.float()
        d_dropped = _unfold(_fold(grad, groups) @ self._value.transpose(-2, -1), heads)
        d_scores = probabilities * (_drop(d_dropped, kept, dropout_p) - (grad * out).sum(-1, keepdim=True))
        d_scores = _fold(d_scores, groups)
        query = _fold(self._inputs[0][..., start:stop, :].float(), groups)
        weights = _fold(_drop(probabilities, kept, dropout_p), groups)
        self._d_value += weights.transpose(-2, -1) @ _fold(grad, groups)
        self._d_key += d_scores.transpose(-2, -1) @ query * self._scale
        self._d_query[..., start:stop, :] = _unfold(d_scores @ self._key, heads) * self._scale

    def results(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return the gradients in the dtypes of the inputs."""
        query, key, value = self._inputs
        return self._d_query.to(query.dtype), self._d_key.to(key.dtype), self._d_value.to(value.dtype)


def _flash(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, terms: Terms, scale: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Run the host's own flash attention, which wants as many key heads as query heads."""
    mask = terms.mask
    if mask is not None:
        if mask.dtype == torch.bool:
            mask = torch.zeros(mask.shape).masked_fill_(mask.logical_not(), -torch.inf)
        while mask.dim() < 4:
            mask = mask.unsqueeze(0)
        # A row that may see nothing is NaN there and zero here.
        mask = mask.expand(*mask.shape[:2], query.shape[-2], key.shape[-2]).contiguous().clamp_min(_LOWEST)
    out, log_sums = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu.default(
        query, _spread(key, query), _spread(value, query), 0.0, terms.causal, attn_mask=mask, scale=scale
    )
    return out.contiguous(), log_sums.contiguous()


def _spread(x: torch.Tensor, query: torch.Tensor) -> torch.Tensor:
    repeats = query.shape[1] // x.shape[1]
    return x if repeats == 1 else x.repeat_interleave(repeats, 1)


def _blocks(query: torch.Tensor, key: torch.Tensor) -> Iterator[tuple[int, int]]:
    """Yield (first, last + 1) of blocks of queries whose scores together stay small."""
    queries = query.shape[-2]
    row = query.shape[0] * query.shape[1] * key.shape[-2]
    step = max(1, min(queries, _BLOCK_ELEMENTS // max(1, row)))
    for start in range(0, queries, step):
        yield start, min(start + step, queries)


def _fold(x: torch.Tensor, groups: int) -> torch.Tensor:
    """Fold the query heads that share a key head into its rows: (batch, groups, heads / groups * rows, dim)."""
    return x.reshape(x.shape[0], groups, -1, x.shape[-1])


def _unfold(x: torch.Tensor, heads: int) -> torch.Tensor:
    return x.reshape(x.shape[0], heads, -1, x.shape[-1])


def _scores(
    query: torch.Tensor, key: torch.Tensor, scale: float, terms: Terms, start: int, mode: str
) -> torch.Tensor:
    """Return the scores of queries `start` and following, (batch, heads, rows, keys)."""
    if mode == "fp32":
        query, key = query.float(), key.float()
    heads, rows, keys = query.shape[1], query.shape[2], key.shape[2]
    scores = _unfold(_fold(query, key.shape[1]) @ key.transpose(-2, -1), heads) * scale
    mask = terms.mask
    if mask is not None:
        part = mask[..., start : start + rows, :] if mask.shape[-2] > 1 else mask
        scores = (
            scores.masked_fill(part.logical_not(), -torch.inf) if part.dtype == torch.bool else scores + part
        )
    hidden = _hidden_keys(terms, start, rows, keys)
    return scores if hidden is None else scores.masked_fill(hidden, -torch.inf)


def _hidden_keys(terms: Terms, start: int, rows: int, keys: int) -> torch.Tensor | None:
    """Return which keys the rules hide from each query, broadcast to (batch, heads, rows, keys); None for none."""
    query = torch.arange(start, start + rows).unsqueeze(-1)
    key = torch.arange(keys)
    hidden: torch.Tensor | None = None
    if terms.causal:
        hidden = key > query
    left, right = terms.window
    if left >= 0:
        hidden = _either(hidden, key < query - left)
    if right >= 0:
        hidden = _either(hidden, key > query + right)
    if terms.lengths is not None:
        lengths = terms.lengths.reshape(-1, 1, 1, 1)
        hidden = _either(hidden, key < keys - lengths if terms.left_padded else key >= lengths)
    return hidden


def _either(a: torch.Tensor | None, b: torch.Tensor) -> torch.Tensor:
    return b if a is None else a | b


def _softmax(scores: torch.Tensor, terms: Terms, mode: str) -> Rows:
    work = scores.dtype if mode == "fast" else torch.float32
    peak = scores.amax(-1, keepdim=True)
    peak = torch.where(peak == -torch.inf, torch.zeros_like(peak), peak)
    exponentials = torch.exp(scores.to(work) - peak.to(work))
    total = exponentials.sum(-1, keepdim=True, dtype=work)
    if terms.sink is not None:
        total = total + torch.exp(terms.sink.reshape(1, -1, 1, 1).to(work) - peak.to(work))
    probabilities = exponentials * total.clamp_min(_TINY).reciprocal()
    return Rows(probabilities.to(scores.dtype), peak.float() + torch.log(total.float()))


def _weigh(probabilities: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    folded = _fold(probabilities, value.shape[1])
    return _unfold(folded @ value.to(folded.dtype), probabilities.shape[1])


def _draw_kept(
    seed: torch.Tensor | None, dropout_p: float, shape: torch.Size, start: int
) -> torch.Tensor | None:
    """Return which probabilities dropout keeps in the block that begins at `start`: always the same for one seed."""
    if seed is None or dropout_p <= 0.0:
        return None
    generator = torch.Generator().manual_seed(int(seed) + start)
    return torch.rand(shape, generator=generator) >= dropout_p


def _drop(x: torch.Tensor, kept: torch.Tensor | None, dropout_p: float) -> torch.Tensor:
    return x if kept is None else x * kept / (1.0 - dropout_p)


_LOWEST = torch.finfo(torch.float32).min

define(
    "sdpa_fwd(Tensor q, Tensor k, Tensor v, Tensor? attention_mask, float dropout_p, float scale, bool is_causal, "
    "str softmax_mode, Tensor? seed) -> (Tensor, Tensor, Tensor)",
    _forward,
    _forward_fake,
)
define(
    "sdpa_bwd(Tensor grad, Tensor q, Tensor k, Tensor v, Tensor probs, Tensor dropout_mask, Tensor out, "
    "float dropout_p, float scale) -> (Tensor, Tensor, Tensor)",
    _backward,
    _gradients_fake,
)
define(
    "sdpa_recomp_fwd(Tensor q, Tensor k, Tensor v, Tensor? attention_mask, float dropout_p, float scale, "
    "bool is_causal, str softmax_mode, Tensor? valid_seq_len, str seq_padding_type, int[] window, Tensor? sink, "
    "Tensor? seed) -> (Tensor, Tensor)",
    _recompute_forward,
    _recompute_forward_fake,
)
define(
    "sdpa_recomp_bwd(Tensor grad, Tensor q, Tensor k, Tensor v, Tensor? attention_mask, Tensor out, "
    "Tensor log_sums, float dropout_p, float scale, bool is_causal, Tensor? seed) -> (Tensor, Tensor, Tensor)",
    _recompute_backward,
    _gradients_fake,
)
