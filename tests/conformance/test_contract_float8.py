"""Section C and the call sites: operators on numbers of eight and four bits, against plain PyTorch on the CPU."""

from __future__ import annotations

import pytest
import torch
from contract import covers, message, raises

from gaudi_lab import bridge, emulator

E4M3, E5M2 = torch.float8_e4m3fn, torch.float8_e5m2
LARGEST = {E4M3: 240.0, E5M2: 57344.0}


@pytest.fixture(autouse=True, params=["eager", "lazy", "graph"])
def mode(request):
    bridge.load()
    emulator.set_lazy(request.param != "eager")
    torch.manual_seed(0)
    yield request.param
    emulator.set_lazy(False)


@pytest.fixture
def call(mode):
    """Call a function of tensors on the device and return its results on the host.

    In a graph it is captured on zeros, and what returns is the replay on the real data.
    """

    def plain(function, *tensors):
        return _cpu(function(*[x.to("hpu") for x in tensors]))

    def replayed(function, *tensors):
        from habana_frameworks.torch import hpu

        device = [torch.zeros_like(x, device="hpu") for x in tensors]
        captured = hpu.HPUGraph()
        with hpu.graph(captured):
            out = function(*device)
        for old, new in zip(device, tensors, strict=True):
            old.copy_(new)
        captured.replay()
        return _cpu(out)

    return replayed if mode == "graph" else plain


def _cpu(out):
    return out.cpu() if isinstance(out, torch.Tensor) else tuple(x.cpu() for x in out)


def equal(a, b):
    """Tell whether two tensors hold the same numbers: PyTorch does not compare those of eight bits."""
    return a.dtype == b.dtype and torch.equal(a.float(), b.float())


@covers("fp8-casts")
@pytest.mark.parametrize("dtype", [E4M3, E5M2])
@pytest.mark.parametrize("source", [torch.float32, torch.bfloat16])
def test_casts_scale_and_come_back(call, source, dtype):
    x = torch.randn(6, 8, dtype=source) * 20
    scale = torch.tensor(1.3)
    expected = (x * scale.to(source)).clamp(-LARGEST[dtype], LARGEST[dtype]).to(dtype)

    def cast(x, s):
        return torch.ops.hpu.cast_to_fp8_v2(x, s, False, True, dtype)

    casted, amax = call(cast, x, scale)
    assert equal(casted, expected)
    assert amax.dtype == torch.float32
    assert amax.item() == x.abs().max().item()
    back = call(lambda y: torch.ops.hpu.cast_from_fp8(y, 1 / 1.3, source), expected)
    assert torch.equal(back, expected.to(source) * torch.tensor(1 / 1.3).to(source))
    assert call(lambda x: torch.ops.hpu.cast_to_fp8_v2(x, None, False, False, dtype), x)[1].numel() == 0


@covers("fp8-range")
@pytest.mark.parametrize("dtype", [E4M3, E5M2])
def test_what_is_too_large_becomes_the_largest(call, dtype):
    x = torch.tensor([1e6, 245.0, -245.0, -1e6, torch.inf])
    casted, _ = call(lambda x: torch.ops.hpu.cast_to_fp8_v2(x, None, False, False, dtype), x)
    largest = LARGEST[dtype]
    expected = [largest, 240.0 if dtype == E4M3 else 256.0]
    assert casted.float().tolist() == [*expected, -expected[1], -largest, largest]


@covers("fp8-casts")
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("kind", ["tensor", "list"])
def test_a_scale_for_each_channel(call, kind, axis):
    x = torch.randn(6, 8)
    scale = torch.rand(x.shape[1 - axis]) + 0.5
    shape = [1, 8] if axis == 0 else [6, 1]
    given = scale.tolist() if kind == "list" else None

    def cast(x, scale):
        args = (scale if given is None else given, False, False, E4M3, shape)
        casted = torch.ops.hpu.cast_to_fp8_v2(x, *args)[0]
        return torch.ops.hpu.cast_from_fp8(casted, args[0], torch.float32, shape)

    by = scale.reshape(shape)
    assert torch.equal(call(cast, x, scale), (x * by).to(E4M3).float() * by)


@covers("fp8-stochastic")
@pytest.mark.parametrize("dtype", [E4M3, E5M2])
@pytest.mark.parametrize("number", [19.0, 0.003])
def test_rounding_by_chance_keeps_the_mean(mode, number, dtype):
    x = torch.full((4000,), number, device="hpu")
    rounded = torch.ops.hpu.cast_to_fp8_v2(x, None, True, False, dtype)[0].float().cpu()
    below, above = rounded.unique().tolist()
    assert below < number < above
    assert rounded.mean().item() == pytest.approx(number, rel=0.02)
    torch.hpu.manual_seed(1)
    once = torch.ops.hpu.cast_to_fp8_v2(x, None, True, False, dtype)[0].cpu()
    torch.hpu.manual_seed(1)
    assert equal(torch.ops.hpu.cast_to_fp8_v2(x, None, True, False, dtype)[0].cpu(), once)


@covers("fp8-casts")
def test_without_a_dtype_the_bits_come_in_int8(call):
    x = torch.randn(5)
    bits, _ = call(lambda x: torch.ops.hpu.cast_to_fp8_v2(x, None), x)
    assert bits.dtype == torch.int8
    assert equal(bits.view(E5M2), x.to(E5M2))
    back = call(lambda b: torch.ops.hpu.cast_from_fp8(b, None, torch.float32), bits)
    assert torch.equal(back, x.to(E5M2).float())


@covers("fp8-refusals")
@raises("fp8-input", "fp8-amax", "fp8-other-dtype", "fp8-out-dtype", "fp8-scale-shape", "fp8-no-sum")
def test_refusals(mode):
    ops = torch.ops.hpu
    x = torch.ones(2, 2, device="hpu")
    eight = x.to(E4M3)
    refused = {
        "fp8-input": lambda: ops.cast_to_fp8_v2(x.int(), None, False, False, E4M3),
        "fp8-amax": lambda: ops.cast_to_fp8_v2(eight, None, False, True, E4M3),
        "fp8-other-dtype": lambda: ops.cast_to_fp8_v2(eight, None, False, False, E5M2),
        "fp8-out-dtype": lambda: ops.cast_from_fp8(eight, None, torch.float16),
        "fp8-scale-shape": lambda: ops.cast_to_fp8_v2(x, [1.0, 2.0], False, False, E4M3, [3, 1]),
        "fp8-no-sum": lambda: ops.fp8_gemm_v2(
            eight, False, eight, False, None, torch.float32, None, None, None, True
        ),
    }
    for identity, refuse in refused.items():
        with pytest.raises(RuntimeError) as caught:
            refuse()  # at the call in lazy mode too, not when the graph runs
        given = {"elements": 2, "shape": 3} if identity == "fp8-scale-shape" else {}
        assert str(caught.value) == message(identity, **given)


@covers("fp8-gemm")
@pytest.mark.parametrize("dtype", [E4M3, E5M2])
@pytest.mark.parametrize("turned", [False, True])
def test_product_with_scales_bias_and_sum(call, turned, dtype):
    a, b = torch.randn(2, 4, 6).to(dtype), torch.randn(6, 5).to(dtype)
    by_a, by_b = torch.rand(4, 1) + 0.5, torch.rand(5) + 0.5
    bias, d = torch.randn(5), torch.randn(2, 4, 5)
    expected = (a.float() @ b.float()) * by_a * by_b + bias + d
    if turned:
        a, b = a.transpose(-2, -1).contiguous(), b.t().contiguous()

    def product(a, b, by_a, by_b, bias, d):
        return torch.ops.hpu.fp8_gemm_v2(
            a, turned, b, turned, d, torch.float32, by_a, by_b, bias, accumulate=True
        )

    torch.testing.assert_close(call(product, a, b, by_a, by_b, bias, d), expected)
    if not turned:
        halved = call(
            lambda a, b: torch.ops.hpu.fp8_gemm_v2(a, False, b, False, None, torch.bfloat16, 0.5, 1.0), a, b
        )
        torch.testing.assert_close(halved, (a.float() @ b.float() * 0.5).bfloat16())


@covers("fp8-blocks")
def test_product_of_blocks_as_a_quantised_linear_layer_calls_it(call):
    block = 4
    x, weight = torch.randn(3, 8) * torch.tensor([1.0, 1e3, 1e-3]).unsqueeze(-1), torch.randn(12, 8)
    x[2, :4] = 0
    by_block = weight.reshape(3, block, 2, block).abs().amax((1, 3)) / 240
    eight = (weight / by_block.repeat_interleave(block, 0).repeat_interleave(block, 1)).to(E4M3)

    def linear(x, eight, by_block):
        quantised, scale = torch.ops.hpu.cast_to_fp8_just_in_time(
            x, [1, block], out_dtype=E4M3, scale_dtype=torch.float32
        )
        out = torch.ops.hpu.fp8_gemm_v2(
            A=quantised, trans_A=False, B=eight, trans_B=True, D=None, out_dtype=torch.float32,
            A_scale_inv=scale, B_scale_inv=by_block.t(), bias=None, accumulate=False,
        )  # fmt: skip
        return out, quantised, scale

    out, quantised, scale = call(linear, x, eight, by_block)
    blocks = x.reshape(3, 2, block).abs().amax(-1) / 240
    assert scale.shape == (3, 2)
    torch.testing.assert_close(scale, torch.where(blocks == 0, 1.0, blocks))
    back = quantised.float() * scale.repeat_interleave(block, 1)
    torch.testing.assert_close(
        back, x, atol=0, rtol=0.0626
    )  # half of the last of three bits, and its rounding
    whole = eight.float() * by_block.repeat_interleave(block, 0).repeat_interleave(block, 1)
    torch.testing.assert_close(out, back @ whole.t(), rtol=1e-5, atol=1e-4)


@covers("fp8-softmax")
@pytest.mark.parametrize("numbers", [False, True])
@pytest.mark.parametrize("dtype", [torch.bfloat16, E4M3])
def test_softmax(call, dtype, numbers):
    x = (torch.rand(2, 3, 4, 6) * 4).to(dtype)
    added = torch.rand(2, 1, 1, 6).bfloat16()
    by_in, by_out, heads = 0.05, 2.5, 0.1
    scales = [torch.tensor(s) for s in (by_in, by_out, heads)]

    def quantised(x, added, *scales):
        given = (by_in, by_out, heads) if numbers else scales
        return torch.ops.hpu.softmax_fp8(x, -1, *given, added)

    scores = x.float() * heads * by_in + added.float()
    expected = (torch.softmax(scores, -1).bfloat16().float() * by_out).to(E4M3)
    assert equal(call(quantised, x, added, *scales), expected)


@covers("fp8-softmax")
@raises("softmax-dtype", "softmax-scales", "softmax-no-scale", "softmax-added")
def test_softmax_without_scales_and_what_it_refuses(call, mode):
    softmax = torch.ops.hpu.softmax_fp8
    x = torch.randn(2, 6).bfloat16()
    plain = call(lambda x: softmax(x, -1, None, None, None), x)
    assert plain.dtype == torch.bfloat16
    assert torch.equal(plain, torch.softmax(x.float(), -1).bfloat16())
    device, one = x.to("hpu"), torch.tensor(1.0, device="hpu")
    refused = {
        "softmax-dtype": lambda: softmax(device.float(), -1),
        "softmax-scales": lambda: softmax(device, -1, one),
        "softmax-no-scale": lambda: softmax(device.to(E4M3), -1),
        "softmax-added": lambda: softmax(device, -1, None, None, None, device),
    }
    for identity, refuse in refused.items():
        with pytest.raises(RuntimeError) as caught:
            refuse()
        assert str(caught.value) == message(identity)


def packed(numbers):
    """Pack numbers from 0 to 15, eight into an int32, the first lowest."""
    parts = numbers.reshape(*numbers.shape[:-1], -1, 8).to(torch.int64) << torch.arange(0, 32, 4)
    whole = parts.sum(-1)
    return torch.where(whole >= 2**31, whole - 2**32, whole).int()


@covers("four-bits")
@pytest.mark.parametrize("zeros", ["packed", "float", "none"])
@pytest.mark.parametrize("signed", [False, True])
def test_four_bits_in_groups(call, signed, zeros):
    numbers = torch.randint(0, 16, (8, 16))
    scale, offsets = torch.rand(2, 16), torch.randint(0, 8, (2, 16))
    group = torch.tensor([0, 1, 1, 0, 0, 0, 1, 1])
    name = "convert_from_int4" if signed else "convert_from_uint4"
    given = {"packed": packed(offsets), "float": offsets.float(), "none": torch.empty(0)}[zeros]
    true = torch.where(numbers > 7, numbers - 16, numbers) if signed else numbers
    minus = offsets if zeros != "none" else torch.zeros_like(offsets)

    def convert(data, scale, given, *group):
        zero = None if zeros == "none" else given
        return getattr(torch.ops.hpu, name)(data, scale, zero, torch.float32, *group)

    def expected(rows):
        return (true - minus[rows]) * scale[rows]

    one_after_the_other = torch.arange(8) // 4
    torch.testing.assert_close(call(convert, packed(numbers), scale, given), expected(one_after_the_other))
    torch.testing.assert_close(call(convert, packed(numbers), scale, given, group), expected(group))


@covers("fp8-ops-module")
def test_the_module_that_programs_import(mode):
    from habana_frameworks.torch.hpex.kernels.Fp8Ops import cast_from_fp8, cast_to_fp8_v2, fp8_gemm_v2

    x = torch.randn(4, 4)
    casted = cast_to_fp8_v2(x.to("hpu"), None, False, False, E4M3)[0]
    assert equal(casted.cpu(), x.to(E4M3))
    assert torch.equal(cast_from_fp8(casted, None, torch.float32).cpu(), x.to(E4M3).float())
    square = fp8_gemm_v2(casted, False, casted, True, None, torch.float32).cpu()
    torch.testing.assert_close(square, x.to(E4M3).float() @ x.to(E4M3).float().t())


@covers("fp8-casts")
def test_eight_bit_attention_saturates(mode):
    from habana_frameworks.torch.hpex.kernels import fp8_fused_sdpa

    q = torch.ones(1, 1, 2, 4).to(E5M2).to("hpu")
    out = fp8_fused_sdpa(q, q, q, d_scale_v=100.0, q_scale_o=torch.tensor(9.0, device="hpu"))[0].cpu()
    assert out.dtype == E4M3
    assert out.float().unique().tolist() == [240.0]
