"""Attention in one kernel: what must be the same whichever way it is computed."""

from __future__ import annotations

import pytest
import torch

from gaudi_lab.emulator.kernels import sdpa

hpu = torch.ops.hpu
Q, K = 6, 10


@pytest.fixture
def inputs():
    torch.manual_seed(0)
    return torch.randn(2, 4, Q, 8), torch.randn(2, 2, K, 8), torch.randn(2, 2, K, 5)


def plain(q, k, v, mask=None, causal=False, p=0.0, seed=None, mode="none"):
    return hpu.sdpa_fwd(q, k, v, mask, p, 0.3, causal, mode, seed)


def blockwise(q, k, v, mask=None, causal=False, p=0.0, seed=None, lengths=None, window=(-1, -1), sink=None):
    return hpu.sdpa_recomp_fwd(
        q, k, v, mask, p, 0.3, causal, "none", lengths, "right", list(window), sink, seed
    )


@pytest.mark.parametrize("p", [0.0, 0.4])
def test_with_and_without_recomputation_it_is_the_same(inputs, p):
    seed = torch.tensor(3) if p else None
    out, probabilities, kept = plain(*inputs, p=p, seed=seed)
    again, log_sums = blockwise(*inputs, p=p, seed=seed)
    torch.testing.assert_close(again, out)
    grad = torch.randn_like(out)
    torch.testing.assert_close(
        hpu.sdpa_recomp_bwd(grad, *inputs, None, again, log_sums, p, 0.3, False, seed),
        hpu.sdpa_bwd(grad, *inputs, probabilities, kept, out, p, 0.3),
    )


def test_blocks_of_queries_change_nothing(inputs, monkeypatch):
    whole = blockwise(*inputs, causal=True)
    monkeypatch.setattr(sdpa, "_BLOCK_ELEMENTS", 100)
    torch.testing.assert_close(blockwise(*inputs, causal=True), whole)


@pytest.mark.parametrize(
    ("rule", "allowed"),
    [
        ({"causal": True}, lambda i, j: j <= i),
        ({"window": (2, 1)}, lambda i, j: (j >= i - 2) & (j <= i + 1)),
        ({"lengths": torch.tensor([7, 7])}, lambda i, j: (j < 7) & (i >= 0)),
    ],
)
def test_a_rule_is_the_mask_that_it_stands_for(inputs, rule, allowed):
    mask = allowed(torch.arange(Q).unsqueeze(-1), torch.arange(K))
    torch.testing.assert_close(blockwise(*inputs, **rule)[0], plain(*inputs, mask=mask)[0])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_row_that_sees_nothing_is_zeros(inputs, dtype):
    q, k, _ = [x.to(dtype) for x in inputs]
    mask = torch.ones(Q, K, dtype=torch.bool)
    mask[2] = False
    out, log_sums = blockwise(q, k, k, mask=mask)
    assert not out[:, :, 2].any()
    assert log_sums[:, :, 2].eq(-torch.inf).all()
    assert out[:, :, 3].any()


def test_a_sink_without_weight_changes_nothing_and_a_heavy_one_takes_all(inputs):
    none, heavy = torch.full((4,), -torch.inf), torch.full((4,), 1e4)
    torch.testing.assert_close(blockwise(*inputs, sink=none)[0], plain(*inputs)[0])
    assert blockwise(*inputs, sink=heavy)[0].abs().max() < 1e-6


def test_what_is_promised_before_it_runs_is_what_comes(inputs):
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode() as fake:
        stand_ins = [fake.from_tensor(x) for x in inputs]
        promised = [*plain(*stand_ins), *blockwise(*stand_ins)]
    for x, y in zip(promised, [*plain(*inputs), *blockwise(*inputs)], strict=True):
        assert (x.shape, x.stride(), x.dtype) == (y.shape, y.stride(), y.dtype)


@pytest.mark.parametrize("side", ["left", "right"])
def test_of_float8_attention_with_probabilities_padding_is_hidden_too(inputs, side):
    from habana_frameworks.torch.hpex.kernels import fp8_fused_sdpa

    q, k, v = (x.to("hpu") for x in inputs)
    options = {"valid_seq_len": torch.tensor([7, 10], device="hpu"), "seq_padding_type": side}
    mask = torch.rand(Q, K, device="hpu") > 0.3
    for given in (
        {"is_causal": True},
        {"attn_mask": mask},
        {"attn_mask": torch.where(mask, 0.0, -torch.inf)},
    ):
        expected, _, _ = fp8_fused_sdpa(q, k, v, **given, **options)
        out, largest, _ = fp8_fused_sdpa(q, k, v, **given, **options, is_amax_s=True)
        torch.testing.assert_close(out.cpu(), expected.cpu())
        assert 0 < largest.item() <= 1
