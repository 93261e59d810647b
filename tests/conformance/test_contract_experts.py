"""The call sites' `mixture_of_experts`, against a loop over experts in plain PyTorch on the CPU."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from contract import covers, message, raises

from gaudi_lab import bridge, emulator

TOKENS, HIDDEN, FFN, EXPERTS = 7, 8, 6, 4
E4M3 = torch.float8_e4m3fn


@pytest.fixture(autouse=True, params=["eager", "lazy"])
def mode(request):
    bridge.load()
    emulator.set_lazy(request.param == "lazy")
    torch.manual_seed(0)
    yield request.param
    emulator.set_lazy(False)


def weights(rows, columns):
    return [torch.randn(rows, columns) for _ in range(EXPERTS)]


def routed(dtype=torch.float32):
    x = torch.randn(TOKENS, HIDDEN, dtype=dtype)
    chances, table = torch.randn(TOKENS, EXPERTS).softmax(-1).topk(2)
    return x, table, chances


def loop(x, table, chances, expert, first=0, count=EXPERTS):
    """Add up the experts one token at a time."""
    out = torch.zeros(TOKENS, HIDDEN)
    for token in range(TOKENS):
        for chosen, chance in zip(table[token].tolist(), chances[token], strict=True):
            if first <= chosen < first + count:
                out[token] += chance * expert(chosen - first, x[token])
    return out


def hpu(x):
    return [y.to("hpu") for y in x] if isinstance(x, (list, tuple)) else x.to("hpu")


def turned(x):
    return [w.t().contiguous() for w in x]


@covers("experts")
@pytest.mark.parametrize("activation", ["gelu", "relu", "silu"])
@pytest.mark.parametrize("permuted", [False, True])
@pytest.mark.parametrize("fused", [False, True])
def test_experts(fused, permuted, activation):
    x, table, chances = routed()
    w1, w2, w3 = weights(HIDDEN, FFN), weights(HIDDEN, FFN), weights(FFN, HIDDEN)
    act = getattr(F, activation)
    expected = loop(x, table, chances, lambda e, y: (act(y @ w1[e]) * (y @ w2[e])) @ w3[e])
    if fused:
        given = {"w12": [torch.cat(pair, 1) for pair in zip(w1, w2, strict=True)], "w3": w3}
    else:
        given = {"w1": w1, "w2": w2, "w3": w3}
    given = {name: hpu(turned(w) if permuted else w) for name, w in given.items()}
    out = torch.ops.hpu.mixture_of_experts(
        hidden_states=hpu(x), expert_routing_table=hpu(table), router_weights=hpu(chances), **given,
        permuted_weights=permuted, activation=activation, experts_min=0, experts_max=EXPERTS - 1,
        chunk_size=2, total_experts=EXPERTS,
    )  # fmt: skip
    torch.testing.assert_close(out.cpu(), expected)


@covers("experts")
def test_experts_of_another_device_add_nothing():
    x, table, chances = routed(torch.bfloat16)
    w1, w2, w3 = weights(HIDDEN, FFN), weights(HIDDEN, FFN), weights(FFN, HIDDEN)
    apart = [
        torch.ops.hpu.mixture_of_experts(
            hpu(x),
            hpu(table),
            hpu(chances),
            *[hpu(w[at : at + 2]) for w in (w1, w2, w3)],
            False,
            "silu",
            at,
            at + 1,
        ).cpu()
        for at in (0, 2)
    ]
    for at, out in zip((0, 2), apart, strict=True):
        expected = loop(
            x.float(), table, chances,
            lambda e, y, at=at: (F.silu(y @ w1[at + e]) * (y @ w2[at + e])) @ w3[at + e], at, 2,
        )  # fmt: skip
        assert out.dtype == torch.bfloat16
        torch.testing.assert_close(out, expected.bfloat16())


@covers("experts-measured")
@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_measured(fused, dtype):
    x, table, chances = routed()
    x, chances = x.to(dtype), chances.to(dtype)
    table[table == 3] = 2  # nobody asks the last one: it is measured all the same
    w1, w2, w3 = [
        [y.to(dtype) for y in w] for w in (weights(HIDDEN, FFN), weights(HIDDEN, FFN), weights(FFN, HIDDEN))
    ]
    given = [[torch.cat(pair, 1) for pair in zip(w1, w2, strict=True)], w3] if fused else [w1, w2, w3]
    args = (hpu(x), hpu(table), hpu(chances), *[hpu(w) for w in given], False, "silu", 0, EXPERTS - 1)
    out, amax = torch.ops.hpu.mixture_of_experts(*args, True)
    states = [(F.silu(x @ w1[e]) * (x @ w2[e])).amax().float() for e in range(EXPERTS)]
    torch.testing.assert_close(amax.cpu(), torch.stack(states), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(out.cpu(), torch.ops.hpu.mixture_of_experts(*args).cpu())


@covers("experts-bias")
def test_experts_with_biases():
    x, table, chances = routed()
    w12, w3 = weights(HIDDEN, 2 * FFN), weights(FFN, HIDDEN)
    b12, b3 = [torch.randn(2 * FFN) for _ in w12], [torch.randn(HIDDEN) for _ in w3]

    def expert(e, y):
        both = (y * 3) @ w12[e] + b12[e]
        gate, up = both[0::2].clamp(max=7.0), both[1::2].clamp(-7.0, 7.0)
        return ((up + 1) * gate * torch.sigmoid(gate * 1.702)) @ w3[e] + b3[e]

    out = torch.ops.hpu.mixture_of_experts.bias_fused_weights(
        hidden_states=hpu(x * 3), expert_routing_table=hpu(table), router_weights=hpu(chances), w12=hpu(turned(w12)),
        w3=hpu(turned(w3)), w12_bias=hpu(b12), w3_bias=hpu(b3), permuted_weights=True, experts_min=0,
        experts_max=EXPERTS - 1,
    )  # fmt: skip
    torch.testing.assert_close(out.cpu(), loop(x, table, chances, expert), rtol=1e-4, atol=1e-4)


def quantised(tensors, dims):
    """Return numbers of eight bits, their scales, and what both together stand for."""
    scales = [x.abs().amax(dims) / 240 if dims is not None else x.abs().amax() / 240 for x in tensors]
    wide = [s if dims is None else s.unsqueeze(dims) for s in scales]
    eight = [(x / s).to(E4M3) for x, s in zip(tensors, wide, strict=True)]
    return eight, scales, [x.float() * s for x, s in zip(eight, wide, strict=True)]


def float8_expert(w12, w3, of_states):
    """Return an expert whose intermediate states are rounded to eight bits, by a given scale or each token's own."""

    def expert(e, y):
        gate, up = (y @ w12[e]).chunk(2, -1)
        states = F.silu(gate) * up
        by = of_states[e] if of_states is not None else states.abs().max() / 240
        return ((states / by).clamp(-240, 240).to(E4M3).float() * by) @ w3[e]

    return expert


@covers("experts-fp8")
@pytest.mark.parametrize("kind", ["tensors", "numbers", "columns", "dynamic"])
@pytest.mark.parametrize("fused", [False, True])
def test_eight_bits(fused, kind):
    x, table, chances = routed()
    dims = 0 if kind == "columns" else None
    w12, s12, true12 = quantised(weights(HIDDEN, 2 * FFN), dims)
    w3, s3, true3 = quantised(weights(FFN, HIDDEN), dims)
    by_x = torch.tensor(0.01)
    eight = (x / by_x).clamp(-240, 240).to(E4M3)
    of_states = None if kind == "dynamic" else [torch.tensor(0.02)] * EXPERTS
    expected = loop(eight.float() * by_x, table, chances, float8_expert(true12, true3, of_states))
    if fused:
        given = {"w12": w12, "w3": w3}
        scales = {"d_scale_w12": s12, "d_scale_w3": s3}
    else:
        pairs = [w.float().chunk(2, 1) for w in w12]
        given = {"w1": [p[0].to(E4M3) for p in pairs], "w2": [p[1].to(E4M3) for p in pairs], "w3": w3}
        halves = [s.chunk(2) if s.dim() else (s, s) for s in s12]
        scales = {
            "d_scale_w1": [h[0] for h in halves],
            "d_scale_w2": [h[1] for h in halves],
            "d_scale_w3": s3,
        }
    scales |= {"d_scale_hidden_states": by_x}
    scales |= {} if of_states is None else {"d_scale_intermediate_hidden_states": of_states}
    number = (
        {name: [y.item() for y in s] if isinstance(s, list) else s.item() for name, s in scales.items()}
        if kind == "numbers"
        else {}
    )
    out = torch.ops.hpu.mixture_of_experts(
        hidden_states=hpu(eight), expert_routing_table=hpu(table), router_weights=hpu(chances),
        **{name: hpu(turned(w)) for name, w in given.items()},
        **(number or {name: hpu(s) for name, s in scales.items()}),
        permuted_weights=True, activation="silu", experts_min=0, experts_max=EXPERTS - 1,
    ).cpu()  # fmt: skip
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out, expected.bfloat16(), rtol=0.02, atol=0.05)
    assert (out.float() - expected).abs().mean() < 0.01


@covers("experts-fp8")
def test_weights_in_blocks():
    block = 2
    x, table, chances = routed()
    whole, blocks, true = {}, {}, {}
    for name, shape in (("w1", (FFN, HIDDEN)), ("w2", (FFN, HIDDEN)), ("w3", (HIDDEN, FFN))):
        whole[name] = [w.to(E4M3) for w in weights(*shape)]
        blocks[f"d_scale_{name}"] = [
            torch.rand(shape[0] // block, shape[1] // block) + 0.5 for _ in range(EXPERTS)
        ]
        true[name] = [
            (w.float() * s.repeat_interleave(block, 0).repeat_interleave(block, 1)).t()
            for w, s in zip(whole[name], blocks[f"d_scale_{name}"], strict=True)
        ]
    out = torch.ops.hpu.mixture_of_experts(
        hidden_states=hpu(x), expert_routing_table=hpu(table), router_weights=hpu(chances),
        **{name: hpu(w) for name, w in (whole | blocks).items()},
        permuted_weights=True, activation="silu", block_size=block, experts_min=0, experts_max=EXPERTS - 1,
    )  # fmt: skip
    expected = loop(
        x, table, chances, lambda e, y: (F.silu(y @ true["w1"][e]) * (y @ true["w2"][e])) @ true["w3"][e]
    )
    torch.testing.assert_close(out.cpu(), expected, rtol=1e-4, atol=1e-4)


@covers("experts")
def test_a_graph_holds_them(mode):
    from habana_frameworks.torch import hpu as device

    if mode == "eager":
        return
    x, table, chances = routed()
    w1, w2, w3 = weights(HIDDEN, FFN), weights(HIDDEN, FFN), weights(FFN, HIDDEN)

    class Mixture(torch.nn.Module):
        def forward(self, x, table, chances):
            return torch.ops.hpu.mixture_of_experts(
                x, table, chances, hpu(w1), hpu(w2), hpu(w3), False, "silu", 0, EXPERTS - 1
            )

    module = device.wrap_in_hpu_graph(Mixture())
    module(hpu(torch.zeros_like(x)), hpu(torch.zeros_like(table)), hpu(chances))
    out = module(hpu(x), hpu(table), hpu(chances))  # other experts than those captured
    expected = loop(x, table, chances, lambda e, y: (F.silu(y @ w1[e]) * (y @ w2[e])) @ w3[e])
    torch.testing.assert_close(out.cpu(), expected)


@covers("experts")
@raises("moe-activation")
def test_an_activation_of_another_name():
    x, table, chances = routed()
    w = hpu(weights(HIDDEN, HIDDEN))
    with pytest.raises(RuntimeError) as caught:
        torch.ops.hpu.mixture_of_experts(hpu(x), hpu(table), hpu(chances), w, w, w, False, "tanh", 0, 3)
    assert str(caught.value) == message("moe-activation", activation="tanh")
