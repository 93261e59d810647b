"""Operators `torch.ops.hpu.*` that are no part of attention, experts or eight-bit casts, against plain PyTorch."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from contract import covers

from gaudi_lab import bridge, emulator

E4M3, E5M2 = torch.float8_e4m3fn, torch.float8_e5m2


@pytest.fixture(autouse=True, params=["eager", "lazy"])
def mode(request):
    bridge.load()
    emulator.set_lazy(request.param == "lazy")
    torch.manual_seed(0)
    yield request.param
    emulator.set_lazy(False)


def hpu(x):
    return [y.to("hpu") for y in x] if isinstance(x, list) else x.to("hpu")


@covers("fast-math")
@pytest.mark.parametrize("name", ["exp", "sqrt", "rsqrt"])
def test_fast_math(name):
    x = torch.rand(5, 4) + 0.1
    torch.testing.assert_close(
        getattr(torch.ops.hpu, f"{name}_fast_math")(hpu(x)).cpu(), getattr(torch, name)(x)
    )


@covers("plain-index")
def test_plain_index():
    x, rows, columns = torch.rand(5, 5, 3), torch.tensor([1, 2, 3]), torch.tensor([[0], [4]])
    found = torch.ops.hpu.plain_index(hpu(x), hpu([rows, columns]))
    assert torch.equal(found.cpu(), x[rows, columns])


@covers("kv-reorder")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int32, E4M3])
def test_beams_take_their_parents_cache(dtype):
    cache = torch.randint(0, 50, (3, 4, 2, 9, 5)).to(dtype)
    start, end = torch.tensor([0, 3, 2]), torch.tensor([4, 9, 2])
    parents = torch.tensor([[1, 0, 3, 3], [2, 2, 0, 1], [3, 2, 1, 0]])
    packed = (parents * torch.tensor([64, 16, 4, 1])).sum(-1).to(torch.uint8)
    expected = cache.float().clone()
    for entry in range(3):
        part = expected[entry][..., start[entry] : end[entry], :]
        part.copy_(part[parents[entry]])
    where = hpu([start.int(), end.int(), packed])
    device = hpu(cache)
    copied = torch.ops.hpu.kv_reorder(device, *where)
    assert torch.equal(device.cpu().float(), cache.float())
    assert torch.ops.hpu.kv_reorder_(device, *where) is device
    assert torch.equal(copied.cpu().float(), expected)
    assert torch.equal(device.cpu().float(), expected)


@covers("in-place-interleave")
@pytest.mark.parametrize("dtype", [torch.bfloat16, E5M2])
def test_one_cache_is_spread_over_its_beams(dtype):
    cache = torch.randn(8, 2, 3).to(dtype)
    expected = cache.float()[[0] * 4 + [1] * 4]
    device = hpu(cache)
    copied = torch.ops.hpu.in_place_interleave(device)
    torch.ops.hpu.in_place_interleave_(device)
    assert torch.equal(copied.cpu().float(), expected)
    assert torch.equal(device.cpu().float(), expected)
    with pytest.raises(RuntimeError, match="no multiple of 4 beams"):
        torch.ops.hpu.in_place_interleave(device[:6])


@covers("scaled-masked-softmax")
def test_softmax_with_a_mask():
    x, mask = torch.randn(4, 6), torch.randn(4, 6)
    found = torch.ops.hpu.scaled_masked_softmax(hpu(x), hpu(mask), 0.2)
    torch.testing.assert_close(found.cpu(), torch.softmax(x * 0.2 + mask, -1))


@covers("scaled-triangular-softmax")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_triangular_softmax(dtype):
    x = torch.randn(3, 6, 6).to(dtype)
    above = torch.ones(6, 6, dtype=torch.bool).triu(1)
    expected = torch.softmax((x.float() * 1.3).masked_fill(above, -math.inf), -1).to(dtype)
    found = torch.ops.hpu.scaled_triangular_softmax(hpu(x), 1.3)
    torch.testing.assert_close(found.cpu(), expected)
    out, recpr, largest = torch.ops.hpu.scaled_triangular_softmax_retain(hpu(x), 1.3)
    assert (recpr.dtype, largest.dtype, tuple(recpr.shape)) == (torch.float32, dtype, (3, 6, 1))
    assert torch.equal(out.cpu(), torch.ops.hpu.scaled_triangular_softmax(hpu(x), 1.3, recpr, largest).cpu())
    torch.testing.assert_close(out.cpu(), expected)
    for wrong, says in (
        ((x[0], 1.0), "must be 3D"),
        ((x, 1.0, recpr.cpu()), "must be both given or Null"),
        ((x, 1.0, recpr.cpu(), largest.cpu()[:1]), "must have the same shape"),
        ((x, 1.0, recpr.cpu()[:1], largest.cpu()[:1]), r"must have shape \[self_shape"),
    ):
        with pytest.raises(RuntimeError, match=says):
            torch.ops.hpu.scaled_triangular_softmax(
                *[y.to("hpu") if isinstance(y, torch.Tensor) else y for y in wrong]
            )


@covers("scaled-masked-triangular-softmax")
@pytest.mark.parametrize("out_dtype", [None, E4M3])
def test_triangular_softmax_in_a_window(out_dtype):
    x = torch.randn(4, 5, 5)
    bounds = torch.tensor([[1, 4], [0, 5]])
    visible = torch.ones(4, 5, 5, dtype=torch.bool).tril()
    visible[:2, :, :1] = visible[:2, :, 4:] = False
    expected = torch.softmax((x * 1.1).masked_fill(~visible, -math.inf), -1).nan_to_num(0.0)
    found = torch.ops.hpu.scaled_masked_triangular_softmax(hpu(x), hpu(bounds), 1.1, 2, True, 0, out_dtype)
    assert found.dtype is (out_dtype or torch.float32)
    torch.testing.assert_close(found.cpu().float(), expected.to(found.dtype).float())
    # One query sees what the last row of a square would.
    last = torch.ops.hpu.scaled_masked_triangular_softmax(hpu(x[:, -1:]), hpu(bounds), 1.1, 2, True, 0)
    torch.testing.assert_close(last.cpu(), expected[:, -1:])


@covers("fp8-layers")
@pytest.mark.parametrize("dtype", [E4M3, E5M2])
def test_layers_of_eight_bits(dtype):
    x, w, bias = torch.rand(2, 3, 6, 6).to(dtype), torch.rand(4, 3, 2, 2).to(dtype), torch.rand(4)
    plain = F.conv2d(x.float(), w.float(), None, 2, 1)
    found = torch.ops.hpu.conv2d_fp8(
        hpu(x),
        hpu(w),
        hpu(bias),
        [2, 2],
        [1, 1],
        [1, 1],
        1,
        torch.float32,
        *hpu([torch.tensor(1.4), torch.tensor(2.0)]),
    )
    torch.testing.assert_close(found.cpu(), plain * 2.8 + bias.reshape(-1, 1, 1))
    found = torch.ops.hpu.conv2d_fp8(hpu(x), hpu(w), None, [2, 2], [1, 1], [1, 1], 1, None, 0.5, 2.0)
    torch.testing.assert_close(found.cpu(), plain.bfloat16())
    summed = torch.ops.hpu.sum_fp8(hpu(x), [1, 3], True, torch.float32)
    assert torch.equal(summed.cpu(), x.float().sum((1, 3), True))
    assert torch.equal(torch.ops.hpu.sum_fp8(hpu(x)).cpu().float(), x.float().sum().to(dtype).float())


@covers("fp8-older-forms")
def test_older_forms_write_into_what_they_are_given():
    x, scale = torch.randn(4, 6) * 20, torch.tensor(1.5)
    out, amax = torch.empty(4, 6, dtype=E4M3, device="hpu"), torch.empty((), device="hpu")
    torch.ops.hpu.cast_to_fp8(hpu(x), hpu(scale), False, out, amax)
    assert torch.equal(out.cpu().float(), (x * scale).to(E4M3).float())
    assert amax.item() == x.abs().max()
    wide, narrow, largest = torch.ops.hpu.cast_to_fp8_hybrid(hpu(x), hpu(scale), None, False, True)
    assert torch.equal(wide.cpu().float(), (x * scale).to(E5M2).float())
    assert torch.equal(narrow.cpu().float(), x.to(E4M3).float())
    assert largest.item() == x.abs().max()
    product = torch.full((6, 6), 3.0, device="hpu")
    args = (out, True, out, False, product, torch.float32, None, None, None, True, product)
    torch.ops.hpu.fp8_gemm(*args)
    eight = out.cpu().float()
    torch.testing.assert_close(product.cpu(), eight.t() @ eight + 3)


@covers("adamw-step")
@pytest.mark.parametrize("decay", [1.0, 0.9])
@pytest.mark.parametrize("as_tensor", [False, True])
def test_a_step_of_adamw(decay, as_tensor):
    """Both forms of the operator do what DeepSpeed and FusedAdamW call it for."""
    grads, weights = [torch.randn(3, 4), torch.randn(5)], [torch.randn(3, 4), torch.randn(5)]
    first, second = [torch.randn_like(x) for x in weights], [torch.rand_like(x) for x in weights]
    device = [hpu(x) for x in (grads, weights, first, second)]
    of_decay = (torch.tensor([decay], device="hpu"), decay != 1.0) if as_tensor else (decay,)
    torch.ops.hpu.optimizer_adamw(*device, torch.tensor([-0.1], device="hpu"), 0.9, 0.999, 1e-6, *of_decay)
    for at, weight in enumerate(weights):
        m = first[at] * 0.9 + grads[at] * 0.1
        v = second[at] * 0.999 + grads[at] ** 2 * 0.001
        torch.testing.assert_close(device[1][at].cpu(), weight * decay - 0.1 * m / (v.sqrt() + 1e-6))
        torch.testing.assert_close(device[2][at].cpu(), m)
        torch.testing.assert_close(device[3][at].cpu(), v)
        assert torch.equal(device[0][at].cpu(), grads[at])
    with pytest.raises(RuntimeError, match="same number of elements but they respectively have: 1, 2, 2, 2"):
        torch.ops.hpu.optimizer_adamw(
            device[0][:1], *device[1:], torch.tensor([-0.1], device="hpu"), 0.9, 0.999, 1e-6, *of_decay
        )


@covers("lamb-steps")
def test_the_steps_of_lamb():
    grads, weights = [torch.randn(3, 4), torch.randn(5)], [torch.randn(3, 4), torch.randn(5)]
    norm = torch.cat([x.flatten() for x in grads]).norm()
    for most, expected in ((0.5, norm / 0.5), (1000.0, torch.tensor(1.0))):
        found = torch.ops.hpu.optimizer_lamb_fused_norm(hpu(grads), most)
        torch.testing.assert_close(found.cpu(), expected.reshape(1))
    first, second = [torch.randn_like(x) for x in weights], [torch.rand_like(x) for x in weights]
    device = [hpu(x) for x in (grads, weights, first, second)]
    norms, steps = (
        [[torch.empty(1, device="hpu") for _ in weights] for _ in range(2)],
        hpu([torch.empty_like(x) for x in weights]),
    )
    clip, one, two = torch.tensor([2.0]), torch.tensor(0.1), torch.tensor(0.001)
    torch.ops.hpu.optimizer_lamb_phase1(
        *device, *norms, steps, hpu(clip), 1, 0.9, 0.999, 1e-6, hpu(one), hpu(two), 0.01
    )
    for at, weight in enumerate(weights):
        grad = grads[at] / 2
        m, v = first[at] * 0.9 + grad * 0.1, second[at] * 0.999 + grad * grad * 0.001
        step = m / 0.1 / ((v / 0.001).sqrt() + 1e-6) + weight * 0.01
        torch.testing.assert_close(steps[at].cpu(), step)
        torch.testing.assert_close(device[2][at].cpu(), m)
        torch.testing.assert_close(device[3][at].cpu(), v)
        torch.testing.assert_close(norms[0][at].cpu(), weight.norm().reshape(1))
        torch.testing.assert_close(norms[1][at].cpu(), step.norm().reshape(1))
        weights[at] = weight - 0.1 * step * weight.norm() / step.norm()
    torch.ops.hpu.optimizer_lamb_phase2(
        device[1], norms[1], norms[0], steps, torch.tensor(-0.1, device="hpu"), 0.01, True
    )
    for found, expected in zip(device[1], weights, strict=True):
        torch.testing.assert_close(found.cpu(), expected)


@covers("rope-forms")
def test_forms_of_rotary_embedding():
    from habana_frameworks.torch.hpex.kernels import RotaryPosEmbeddingHelperV1, apply_rotary_pos_emb

    x, offset = torch.randn(8, 2, 3, 8), 2
    cos, sin = torch.rand(8, 1, 1, 8 + offset), torch.rand(8, 1, 1, 8 + offset)
    first, second = x.chunk(2, -1)
    expected = x * cos[..., offset:] + torch.cat((-second, first), -1) * sin[..., offset:]
    found = RotaryPosEmbeddingHelperV1.apply(*hpu([x, cos, sin]), offset)
    torch.testing.assert_close(found.cpu(), expected)
    # A table in float32 makes the result float32.
    found = apply_rotary_pos_emb(*hpu([x.bfloat16(), cos[..., offset:], sin[..., offset:]]))
    assert found.dtype is torch.float32
    # ChatGLM hands over one table of (cos, sin), for a part of the features.
    cache = torch.rand(9, 1, 2, 2)
    a, b = x[..., :4].reshape(8, 2, 3, 2, 2).unbind(-1)
    c, s = cache[:8].reshape(8, 1, 1, 2, 2).unbind(-1)
    turned = torch.stack((a * c - b * s, b * c + a * s), -1).flatten(-2)
    found = apply_rotary_pos_emb(hpu(x), hpu(cache))
    torch.testing.assert_close(found.cpu(), torch.cat((turned, x[..., 4:]), -1))


@covers("block-softmax")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_softmax_over_a_cache_in_blocks(dtype):
    """Three blocks of one sequence, one of another and one that is padding make two plain softmaxes."""
    attn = torch.randn(5, 2, 2, 1, 4).to(dtype)
    bias = torch.zeros(5, 1, 1, 1, 4, dtype=dtype)
    bias[2, ..., 3:] = -math.inf  # a sequence that ends within its block
    groups = torch.tensor([1, 0, 1, -1, 1])
    out, largest, sums = torch.ops.hpu.block_softmax(*hpu([attn, bias, groups]))
    assert tuple(largest.shape) == tuple(sums.shape) == (5, 4)
    shape = [5, 2, 2, 1, 1]
    by = torch.ops.hpu.block_softmax_adjustment(largest, sums, hpu(groups), 2, shape)
    found = (out * by).cpu().float()
    scores = (attn + bias).float()
    together = torch.softmax(torch.cat([scores[0], scores[2], scores[4]], -1), -1)
    expected = torch.stack(
        [
            together[..., :4],
            torch.softmax(scores[1], -1),
            together[..., 4:8],
            torch.zeros(2, 2, 1, 4),
            together[..., 8:],
        ]
    )
    close = {"atol": 1e-2, "rtol": 2e-2} if dtype is torch.bfloat16 else {}
    torch.testing.assert_close(found, expected, **close)
    whole = [x.reshape(shape) for x in (largest, sums)]
    assert torch.equal(torch.ops.hpu.block_softmax_adjustment(*whole, hpu(groups), 2).cpu(), by.cpu())
    with pytest.raises(RuntimeError, match="block_maxes tensor must be 5-dimensional, got 2"):
        torch.ops.hpu.block_softmax_adjustment(largest, sums, hpu(groups), 2)
