"""Section C.1 to C.3: attention."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from contract import covers, message, raises
from fresh import run

from gaudi_lab import bridge, emulator


@pytest.fixture(autouse=True, params=["eager", "lazy"])
def mode(request):
    bridge.load()
    emulator.set_lazy(request.param == "lazy")
    yield request.param
    emulator.set_lazy(False)


@pytest.fixture
def attend(mode):
    from habana_frameworks.torch.hpex.kernels import FusedSDPA

    return FusedSDPA.apply


def random(*shape, dtype=torch.float32):
    return torch.randn(shape, dtype=dtype)


MASKS = {
    "none": (None, False),
    "causal": (None, True),
    "added": (torch.linspace(-2, 2, 2 * 7 * 9).reshape(2, 1, 7, 9), False),
    "bool": ((torch.arange(63).reshape(7, 9) % 5) > 0, False),
}


@covers("sdpa-numbers")
@pytest.mark.parametrize("recompute", [True, False])
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("kv_heads", [4, 2, 1])
def test_numbers(attend, kv_heads, mask, recompute):
    torch.manual_seed(0)
    mask, causal = MASKS[mask]
    inputs = random(2, 4, 7, 8), random(2, kv_heads, 9, 8), random(2, kv_heads, 9, 8)
    grad = random(2, 4, 7, 8)
    host = [x.clone().requires_grad_() for x in inputs]
    expected = F.scaled_dot_product_attention(*host, attn_mask=mask, is_causal=causal, enable_gqa=True)
    expected.backward(grad)
    device = [x.to("hpu").requires_grad_() for x in inputs]
    out = attend(*device, None if mask is None else mask.to("hpu"), 0.0, causal, None, "None", recompute)
    out.backward(grad.to("hpu"))
    torch.testing.assert_close(out.cpu(), expected, atol=1e-5, rtol=1e-5)
    for a, b in zip(device, host, strict=True):
        torch.testing.assert_close(a.grad.cpu(), b.grad, atol=1e-5, rtol=1e-5)


@covers("sdpa-by-release")
def test_positional_only(attend):
    q = random(1, 1, 2, 4).to("hpu")
    with pytest.raises(TypeError):
        attend(q, q, q, is_causal=True)
    with pytest.raises(TypeError, match="positional"):
        attend(q, q, q, *[None] * 13)


@covers("sdpa-softmax-modes")
@pytest.mark.parametrize("recompute", [True, False])
def test_softmax_modes(attend, recompute):
    torch.manual_seed(0)
    inputs = [random(1, 2, 64, 32, dtype=torch.bfloat16) for _ in range(3)]
    exact = F.scaled_dot_product_attention(*[x.double() for x in inputs])
    error = {
        name: (attend(*[x.to("hpu") for x in inputs], None, 0.0, False, None, name, recompute).cpu() - exact)
        .abs()
        .mean()
        for name in ("None", "FAST", "fp32")
    }
    assert error["fp32"] < error["None"] < error["FAST"] < 1e-2


@covers("sdpa-recompute-memory", "sdpa-switch")
def test_recomputation_keeps_no_probabilities(attend):
    from habana_frameworks.torch.hpu import memory_allocated, sdp_kernel, synchronize

    def held(recompute, switch=True):
        inputs = [random(1, 2, 256, 8).to("hpu").requires_grad_() for _ in range(3)]
        synchronize()
        before = memory_allocated()
        with sdp_kernel(enable_recompute=switch):
            out = attend(*inputs, None, 0.0, False, None, "None", recompute)
        synchronize()
        return memory_allocated() - before - out.nbytes

    probabilities = 2 * 256 * 256 * 4
    assert held(False) >= probabilities
    assert held(True) < probabilities / 8
    # The switch decides where the argument does not, and only there.
    assert held(None, switch=False) >= probabilities
    assert held(None, switch=True) < probabilities / 8
    assert held(True, switch=False) < probabilities / 8
    assert held(False, switch=True) >= probabilities


@covers("sdpa-asserts")
@raises("sdpa-fast-training", "sdpa-lengths", "sdpa-probabilities", "sdpa-dropout-mask", "sdpa-fp32")
def test_asserts(attend):
    q = random(1, 2, 4, 8).to("hpu")
    trained = q.clone().requires_grad_()
    lengths = torch.tensor([3], dtype=torch.int32, device="hpu")
    refused = {
        "sdpa-fast-training": (trained, q, q, None, 0.0, False, None, "fast", True),
        "sdpa-lengths": (q, q, q, None, 0.0, False, None, "None", True, lengths),
        "sdpa-probabilities": (
            trained, q, q, None, 0.0, False, None, "None", False, None, "left", False, True
        ),
        "sdpa-dropout-mask": (q, q, q, None, 0.5, False, None, "None", True, None, "left", True),
        "sdpa-fp32": (q, q, q, None, 0.0, False, None, "fp32", True),
    }  # fmt: skip
    for identity, arguments in refused.items():
        with pytest.raises(AssertionError) as caught:
            attend(*arguments)
        assert str(caught.value) == message(identity)


@covers("sdpa-lengths")
@pytest.mark.parametrize("side", ["left", "right"])
def test_lengths(attend, side):
    torch.manual_seed(0)
    q, k, v = [random(2, 2, 6, 8) for _ in range(3)]
    lengths = torch.tensor([4, 6], dtype=torch.int32)
    position = torch.arange(6)
    valid = position >= 6 - lengths[:, None] if side == "left" else position < lengths[:, None]
    allowed = valid[:, None, None, :] & torch.ones(6, 6, dtype=torch.bool).tril()
    expected = F.scaled_dot_product_attention(q, k, v, attn_mask=allowed)
    out = attend(
        *[x.to("hpu") for x in (q, k, v)], None, 0.0, True, None, "None", True, lengths.to("hpu"), side
    )
    seen = allowed.any(-1).expand(2, 2, 6)
    torch.testing.assert_close(out.cpu()[seen], expected[seen], atol=1e-5, rtol=1e-5)


@covers("sdpa-window-sink")
def test_window_and_sink(attend):
    torch.manual_seed(0)
    q, k, v = [random(1, 2, 6, 8) for _ in range(3)]
    sink = random(2)
    scores = (q @ k.transpose(-2, -1)) / 8**0.5
    distance = torch.arange(6)[:, None] - torch.arange(6)
    scores = scores.masked_fill((distance > 2) | (distance < -1), -torch.inf)
    with_sink = torch.cat([scores, sink.reshape(1, 2, 1, 1).expand(1, 2, 6, 1)], -1)
    expected = with_sink.softmax(-1)[..., :-1] @ v
    rest = (None, 0.0, False, None, "None", True, None, "left", False, False, (2, 1))
    out = attend(*[x.to("hpu") for x in (q, k, v)], *rest, sink.to("hpu"))
    torch.testing.assert_close(out.cpu(), expected, atol=1e-5, rtol=1e-5)


@covers("sdpa-switch")
def test_switch():
    from habana_frameworks.torch import hpu

    assert hpu.recompute_sdp_enabled()
    with hpu.sdp_kernel(enable_recompute=False):
        assert not hpu.recompute_sdp_enabled()
    hpu.enable_recompute_sdp(False)
    assert not hpu.recompute_sdp_enabled()
    hpu.enable_recompute_sdp(True)
    assert hpu.recompute_sdp_enabled()


@covers("sdpa-no-broadcast")
def test_no_broadcast(attend):
    q, k = random(2, 1, 4, 8).to("hpu"), random(1, 1, 4, 8).to("hpu")
    with pytest.raises(RuntimeError, match="does not broadcast the batch dimension"):
        attend(q, k, k)
    assert attend(q[:, :, :0], q, q).shape == (2, 1, 0, 8)


def test_dropout_is_the_same_backward(attend):
    torch.manual_seed(0)
    for recompute in (True, False):
        q, k, v = [random(1, 2, 16, 8).to("hpu").requires_grad_() for _ in range(3)]
        out = attend(q, k, v, None, 0.5, False, None, "None", recompute)
        (grad,) = torch.autograd.grad(out.sum(), v)
        # Attention is linear in the values.
        torch.testing.assert_close((grad * v).sum().cpu(), out.sum().cpu(), atol=1e-3, rtol=1e-4)


def test_without_heads_and_fp8_and_reference(attend):
    from habana_frameworks.torch.hpex.kernels import PySDPA, PySDPAHinted, fp8_fused_sdpa

    torch.manual_seed(0)
    q, k, v = [random(2, 6, 8) for _ in range(3)]
    expected = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    device = [x.to("hpu") for x in (q, k, v)]
    torch.testing.assert_close(attend(*device, None, 0.0, True).cpu(), expected)
    for plain in (PySDPA, PySDPAHinted):
        heads = [x.unsqueeze(1) for x in device]
        for sliced in (False, True):
            torch.testing.assert_close(plain.apply(*heads, True, sliced).cpu().squeeze(1), expected)
    scaled = [(x.unsqueeze(1) * 8).to(torch.float8_e4m3fn) for x in device]
    by = torch.tensor(0.125, device="hpu")
    out, _, amax = fp8_fused_sdpa(*scaled, None, 0.0, True, None, "None", by, by, by, is_amax_o=True)
    torch.testing.assert_close(out.float().cpu()[:, 0], expected, atol=0.2, rtol=0.2)
    assert amax.item() == out.abs().max().item()


@covers("sdpa-extra-results")
def test_probabilities_come_before_the_dropout_mask(mode):
    from habana_frameworks.torch.hpex.kernels import FusedSDPA

    q, k, v = [random(1, 2, 6, 4) for _ in range(3)]
    device = [x.to("hpu") for x in (q, k, v)]
    probabilities = torch.softmax(q @ k.transpose(-2, -1) / 2, -1)

    def attend(*wanted):
        out = FusedSDPA.apply(*device, None, 0.5, False, None, "None", False, None, "left", *wanted)
        return [x.cpu() for x in out]

    out, mask = attend(True, False)
    torch.testing.assert_close(out, (probabilities * mask / 0.5) @ v)
    out, weights, mask = attend(True, True)
    torch.testing.assert_close(weights, probabilities)
    torch.testing.assert_close(out, (probabilities * mask / 0.5) @ v)


@covers("stock-sdpa")
def test_stock_attention_is_not_fused(mode):
    q = random(1, 2, 4, 8).to("hpu")
    seen = []

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            seen.append(str(func))
            return func(*args, **(kwargs or {}))

    with Watch():
        F.scaled_dot_product_attention(q, q, q)
    assert not any("sdpa" in name or "flash" in name for name in seen)


@covers("sdpa-rules-by-release")
@pytest.mark.parametrize(
    ("release", "one_query", "probabilities", "fp32"),
    [("1.19", "sdpa_fwd", "sdpa_recomp_fwd", "runs"), ("1.23", "sdpa_recomp_fwd", "sdpa_fwd", "refused")],
)
def test_rules_by_release(mode, release, one_query, probabilities, fp32):
    found = run(
        """
        import torch, habana_frameworks.torch
        from habana_frameworks.torch.hpex.kernels import FusedSDPA
        from torch.utils._python_dispatch import TorchDispatchMode

        class Watch(TorchDispatchMode):
            def __torch_dispatch__(self, func, types, args=(), kwargs=None):
                if "sdpa" in str(func):
                    seen.append(func.overloadpacket.__name__)
                return func(*args, **(kwargs or {}))

        def kernel(q, *rest):
            global seen
            seen = []
            with Watch():
                out = FusedSDPA.apply(q, k, k, None, 0.0, False, None, *rest)
            return seen[0], isinstance(out, tuple)

        k = torch.randn(1, 2, 4, 8).to("hpu")
        result["one_query"] = kernel(k[:, :, :1], "None", False)[0]
        result["more"] = [kernel(k, "None", recompute)[0] for recompute in (False, True)]
        result["probabilities"] = kernel(k, "None", True, None, "left", False, True)
        try:
            kernel(k, "fp32", True)
            result["fp32"] = "runs"
        except AssertionError:
            result["fp32"] = "refused"
        """,
        GAUDI_LAB_BRIDGE_VERSION=release,
        PT_HPU_LAZY_MODE=str(int(mode == "lazy")),
    )
    assert found["one_query"] == one_query
    assert found["more"] == ["sdpa_fwd", "sdpa_recomp_fwd"]
    assert found["probabilities"] == [probabilities, probabilities == "sdpa_fwd"]
    assert found["fp32"] == fp32
