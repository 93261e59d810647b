"""PyTorch's quantisation, as the device computes it."""

from __future__ import annotations

import pytest
import torch
import torch.ao.quantization.fx._decomposed

ops = torch.ops.quantized_decomposed
E4M3, E5M2 = torch.float8_e4m3fn, torch.float8_e5m2
DTYPES = [torch.int8, torch.int32, E4M3, E5M2]


def rounded(x, dtype):
    return x if dtype in (E4M3, E5M2) else torch.round(x)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("as_tensors", [False, True])
def test_one_scale(mode, dtype, as_tensors):
    x = torch.rand(8, 12) * 1000
    scale, zero, low, high = 5.0, 10, 20, 125
    expected = (rounded(x / scale, dtype) + zero).clamp(low, high).to(dtype)
    given = (scale, zero, low, high)
    if as_tensors:
        given = tuple(torch.tensor(value, device="hpu") for value in given)
    found = ops.quantize_per_tensor(x.to("hpu"), *given, dtype)
    assert found.dtype is dtype
    assert torch.equal(found.cpu().float(), expected.float())
    back = ops.dequantize_per_tensor(found, scale, zero, low, high, dtype)
    torch.testing.assert_close(back.cpu(), (expected.float() - zero) * scale)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("source", [torch.float32, torch.bfloat16])
def test_a_scale_a_channel(mode, dtype, source):
    x = (torch.rand(3, 4, 5) * 500).to(source)
    scales, zeros = torch.rand(4) * 20 + 5, torch.randint(0, 10, (4,))
    by, shift = [y.to(source).reshape(1, 4, 1) for y in (scales, zeros)]
    expected = (rounded(x * (1.0 / by), dtype) + shift).clamp(10, 125).to(dtype)
    found = ops.quantize_per_channel(x.to("hpu"), scales.to("hpu"), zeros.to("hpu"), 1, 10, 125, dtype)
    assert torch.equal(found.cpu().float(), expected.float())
    back = ops.dequantize_per_channel(
        found, scales.to("hpu"), zeros.to("hpu"), 1, 10, 125, dtype, out_dtype=source
    )
    assert back.dtype is source
    whole = (expected.float() - zeros.reshape(1, 4, 1)) * scales.reshape(1, 4, 1)
    torch.testing.assert_close(back.cpu(), whole.to(source))


def test_compiled(stock_compile):
    def f(x):
        return ops.quantize_per_tensor(x, 0.5, 0, -100, 100, E4M3)

    x = torch.rand(20) * 10
    found = torch.compile(f, backend="hpu_backend", dynamic=False)(x.to("hpu"))
    assert torch.equal(found.cpu().float(), (x / 0.5).clamp(-100, 100).to(E4M3).float())
