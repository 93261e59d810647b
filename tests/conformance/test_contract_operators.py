"""Sections C.4 and C.5: the other fused operators, optimizers, and operators of one's own."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from contract import covers
from torch import nn

from gaudi_lab import bridge, emulator


@pytest.fixture(autouse=True, params=["eager", "lazy"])
def mode(request):
    bridge.load()
    emulator.set_lazy(request.param == "lazy")
    torch.manual_seed(0)
    yield request.param
    emulator.set_lazy(False)


def same(fused, plain, *inputs):
    """Hold `fused` on the device against `plain` on the host: results, and gradients of float inputs."""
    host = [x.clone().requires_grad_() if x.is_floating_point() else x for x in inputs]
    device = [x.to("hpu").requires_grad_() if x.is_floating_point() else x.to("hpu") for x in inputs]
    expected, out = plain(*host), fused(*device)
    torch.testing.assert_close(out.cpu(), expected, atol=1e-5, rtol=1e-5)
    grad = torch.randn_like(expected)
    expected.backward(grad)
    out.backward(grad.to("hpu"))
    for a, b in zip(device, host, strict=True):
        if a.grad is not None:
            torch.testing.assert_close(a.grad.cpu(), b.grad, atol=1e-5, rtol=1e-5)
    assert device[0].grad is not None


def turned(x):
    first, second = x.chunk(2, -1)
    return torch.cat((-second, first), -1)


@covers("norm-rope-softmax-ctc")
@pytest.mark.parametrize("what", ["rms", "softmax", "rope1", "rope2", "rope3", "pairwise", "ctc"])
def test_fused_operators(what):
    from habana_frameworks.torch.hpex import kernels
    from habana_frameworks.torch.hpex.normalization import FusedRMSNorm

    x = torch.randn(2, 3, 5, 8)
    angle = torch.randn(9, 8)
    sin, cos = angle.sin(), angle.cos()
    sin_d, cos_d = sin.to("hpu"), cos.to("hpu")
    ids = torch.tensor([[0, 3, 8, 1, 1], [4, 5, 6, 7, 8]])
    if what == "rms":
        same(
            lambda x, w: FusedRMSNorm.apply(x, w, 1e-5, True, 0, False),
            lambda x, w: F.rms_norm(x, (8,), w, 1e-5),
            x,
            torch.rand(8),
        )
    elif what == "softmax":
        same(lambda x: kernels.CustomSoftmax.apply(x, 0), lambda x: x.softmax(-1), x)
    elif what == "rope1":
        rows = slice(2, 7)
        same(
            lambda x: kernels.RotaryPosEmbeddingHelperV1.apply(x, cos_d, sin_d, 2),
            lambda x: x * cos[rows] + turned(x) * sin[rows],
            x,
        )
    elif what == "rope2":
        same(
            lambda x: kernels.RotaryPosEmbeddingHelperV2.apply(
                x, cos_d[None, None], sin_d[None, None], ids.to("hpu")
            ),
            lambda x: x * cos[ids][:, None] + turned(x) * sin[ids][:, None],
            x,
        )
    elif what == "rope3":
        cache = torch.stack((cos[:5, :2], sin[:5, :2]), -1)

        def plain(x):
            pairs = torch.view_as_complex(x[..., :4].reshape(5, 2, 3, 2, 2).contiguous())
            by = torch.view_as_complex(cache.contiguous())[:, None, None]
            return torch.cat((torch.view_as_real(pairs * by).reshape(5, 2, 3, 4), x[..., 4:]), -1)

        same(
            lambda x: kernels.RotaryPosEmbeddingHelperV3.apply(x, cache.to("hpu")),
            plain,
            torch.randn(5, 2, 3, 8),
        )
    elif what == "pairwise":
        even, odd = cos[:5].repeat_interleave(2, -1)[:, :8], sin[:5].repeat_interleave(2, -1)[:, :8]

        def plain(x):
            return x * even + torch.stack((-x[..., 1::2], x[..., ::2]), -1).flatten(-2) * odd

        mode = kernels.RotaryPosEmbeddingMode.PAIRWISE
        same(
            lambda x: kernels.apply_rotary_pos_emb(x, even.to("hpu"), odd.to("hpu"), None, 0, mode), plain, x
        )
    else:
        lengths = torch.tensor([10, 8]), torch.tensor([3, 2])
        targets = torch.randint(1, 5, (2, 3))
        same(
            lambda x: kernels.CTCLoss.apply(
                x.log_softmax(-1), targets.to("hpu"), *[n.to("hpu") for n in lengths], 0, "mean", True
            ),
            lambda x: F.ctc_loss(x.log_softmax(-1), targets, *lengths, 0, "mean", True),
            torch.randn(10, 2, 5),
        )


@covers("optimizers")
@pytest.mark.parametrize(
    ("name", "reference", "options"),
    [
        ("FusedAdamW", "AdamW", {"weight_decay": 0.1, "eps": 0.0}),
        ("FusedSGD", "SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
        ("FusedAdagrad", "Adagrad", {"lr_decay": 0.1}),
        ("Adam", "Adam", {}),
        ("AdamW", "AdamW", {}),
    ],
)
def test_optimizers(mode, name, reference, options):
    import habana_frameworks.torch.core as htcore
    from habana_frameworks.torch.hpex import optimizers
    from habana_frameworks.torch.hpu.metrics import metric_localcontext

    start = torch.randn(5)
    host, device = nn.Parameter(start.clone()), nn.Parameter(start.to("hpu"))
    plain = getattr(torch.optim, reference)([host], **options)
    fused = getattr(optimizers, name)([device], **options)
    schedules = [torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5) for optimizer in (plain, fused)]
    for step in range(4):
        grad = torch.randn(5)
        host.grad, device.grad = grad, grad.to("hpu")
        plain.step()
        with metric_localcontext("graph_compilation") as metric:
            fused.step()
            if mode == "lazy":
                htcore.mark_step()
        assert not name.startswith("Fused") or step < 2 or metric.stats()[0] == ("TotalNumber", 0)
        for schedule in schedules:
            schedule.step()
    torch.testing.assert_close(device.cpu(), host)


def test_layerwise_optimizers():
    from habana_frameworks.torch.hpex.optimizers import FusedLamb, FusedLars, FusedResourceApplyMomentum

    start, grad = torch.tensor([3.0, 4.0]), torch.tensor([0.0, 2.0])

    def stepped(make):
        parameter = nn.Parameter(start.to("hpu"))
        parameter.grad = grad.to("hpu")
        make(parameter).step()
        return parameter.detach().cpu() - start

    # The first step of LAMB is as long as the parameter, times the rate: |p| = 5.
    moved = stepped(lambda p: FusedLamb([p], lr=0.1, weight_decay=0.0, use_lamb=True))
    assert moved.norm().item() == pytest.approx(0.5, rel=1e-4)
    moved = stepped(lambda p: FusedLars(torch.optim.SGD([p], lr=1.0), [1], eeta=0.01))
    torch.testing.assert_close(moved, -0.01 * 5 / 2 * grad)
    moved = stepped(lambda p: FusedResourceApplyMomentum([p], lr=0.5))
    torch.testing.assert_close(moved, -0.5 * grad)


@covers("clip-and-average")
def test_clip_and_average():
    from habana_frameworks.torch.hpex.movingavrg import FusedEMA
    from habana_frameworks.torch.hpex.normalization import FusedClipNorm

    model = nn.Linear(3, 3)
    device = nn.Linear(3, 3).to("hpu")
    device.load_state_dict(model.state_dict())
    for a, b in zip(model.parameters(), device.parameters(), strict=True):
        a.grad = torch.randn_like(a) * 10
        b.grad = a.grad.to("hpu")
    norm = nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    torch.testing.assert_close(
        FusedClipNorm(device.parameters(), 1.0).clip_norm(device.parameters()).cpu(), norm
    )
    for a, b in zip(model.parameters(), device.parameters(), strict=True):
        torch.testing.assert_close(b.grad.cpu(), a.grad)
    average = FusedEMA(device, decay=0.5, tau=1e-9)  # warm at once
    before = device.weight.detach().clone()
    with torch.no_grad():
        device.weight.add_(2)
    average.update(device)
    torch.testing.assert_close(average.ema.weight.cpu(), (before + 1).cpu())


@covers("python-custom-op")
def test_custom_operator_in_python(mode):
    from habana_frameworks.torch.hpu import HPUGraph
    from habana_frameworks.torch.hpu.metrics import metric_localcontext

    @torch.library.custom_op(f"contract::squares_{mode}", mutates_args=())
    def squares(x: torch.Tensor) -> torch.Tensor:
        return x * x

    x = torch.arange(3.0, device="hpu")
    with metric_localcontext("cpu_fallback") as metric:
        assert squares(x).tolist() == [0.0, 1.0, 4.0]
    if mode == "lazy":  # no fake kernel: no graph can hold it
        assert metric.stats()[0][1] == 1
        captured = HPUGraph()
        captured.capture_begin()
        with pytest.raises(RuntimeError, match="cpu fallback is not supported"):
            squares(x)
        captured.reset()
    squares.register_fake(torch.empty_like)
    assert squares(x).tolist() == [0.0, 1.0, 4.0]


def test_no_headers_for_cpp():
    from habana_frameworks.torch.utils.lib_utils import get_include_dir, get_lib_dir

    for refuse in (get_include_dir, get_lib_dir):
        with pytest.raises(RuntimeError, match=r"torch\.library\.custom_op"):
            refuse()
