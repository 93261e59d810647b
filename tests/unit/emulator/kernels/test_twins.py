"""Operators of PyTorch's that the device computes in its own way."""

from __future__ import annotations

import pytest
import torch

from gaudi_lab.emulator.kernels import twins

aten = torch.ops.aten


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_add_relu_rounds_after_each_step(mode, dtype):
    x, y = torch.randn(2, 3).to(dtype), torch.randn(2, 3).to(dtype)
    found = torch._add_relu(x.to("hpu"), y.to("hpu"), alpha=0.7)
    assert torch.equal(found.cpu(), torch.relu(x + y * 0.7))


def test_fused_dropout_keeps_a_part_and_repeats_with_the_seed(mode):
    x = torch.ones(1000, device="hpu")
    torch.manual_seed(3)
    out, kept = torch._fused_dropout(x, 0.25)
    assert kept.dtype is torch.uint8
    assert 150 < kept.sum().item() < 350
    assert torch.equal(out.cpu(), kept.cpu() * 4.0)
    torch.manual_seed(3)
    assert torch.equal(torch._fused_dropout(x, 0.25)[1].cpu(), kept.cpu())
    assert torch.equal(torch._masked_scale(x, kept, 4.0).cpu(), out.cpu())


@pytest.mark.parametrize("transposed", [False, True])
def test_convolutions_by_the_names_of_an_overriding_device(mode, transposed):
    x, w = torch.randn(2, 3, 6, 6), torch.randn(3, 3, 2, 2)
    where = ([1, 1], [0, 0], [1, 1], transposed, [0, 0], 1)
    expected = aten.convolution(x, w, None, *where)
    found = aten.convolution_overrideable(x.to("hpu"), w.to("hpu"), None, *where)
    torch.testing.assert_close(found.cpu(), expected)
    grad = torch.randn_like(expected)
    mask = [True, True, True]
    back = aten.convolution_backward_overrideable(grad.to("hpu"), x.to("hpu"), w.to("hpu"), *where, mask)
    for a, b in zip(back, aten.convolution_backward(grad, x, w, [3], *where, mask), strict=True):
        torch.testing.assert_close(a.cpu(), b, atol=1e-4, rtol=1e-4)


def test_names():
    assert twins.twin_of(aten.add.Tensor) is None
    twin = twins.twin_of(aten._add_relu.Scalar)
    assert twin is torch.ops.hpu.add_relu.Scalar
    assert twins.name_of(twin) == "aten::_add_relu"
    assert twins.twin_of_call(torch._fused_dropout) is torch.ops.hpu.fused_dropout
    assert twins.twin_of_call(torch.add) is None
    assert twins.twin_of_call(3) is None
