import pytest
import torch
from torch import nn


def test_lamb_scales_down_the_gradients_of_the_closure(device):
    from habana_frameworks.torch.hpex.optimizers import FusedLamb

    def moved(length: float):
        parameter = nn.Parameter(torch.tensor([3.0, 4.0], device="hpu"))
        optimizer = FusedLamb([parameter], lr=0.1, eps=1e-2, bias_correction=False)

        def closure():
            parameter.grad = torch.tensor([0.6, 0.8], device="hpu") * length

        optimizer.step(closure)
        return parameter.detach().cpu()

    # Both are longer than the limit of 1, so they are one gradient.
    torch.testing.assert_close(moved(5.0), moved(50.0))


def test_sgd_takes_its_arguments_in_the_bridges_order(device):
    from habana_frameworks.torch.hpex.optimizers import FusedSGD

    host, on_device = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(3, device="hpu"))
    plain = torch.optim.SGD([host], 0.1, 0.9, weight_decay=0.5)
    fused = FusedSGD([on_device], 0.1, 0.9, 0.5)  # the fourth is the weight decay, not the dampening
    for _ in range(3):
        host.grad, on_device.grad = torch.ones(3), torch.ones(3, device="hpu")
        plain.step()
        fused.step()
    torch.testing.assert_close(on_device.cpu(), host)
    with pytest.raises(ValueError, match="Invalid dampening value: -1"):
        FusedSGD([on_device], 0.1, dampening=-1)


def test_an_optimizer_that_is_handed_its_gradients(device):
    from habana_frameworks.torch.hpex.optimizers.distributed import FusedAdamW

    host, on_device = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(3, device="hpu"))
    plain = torch.optim.AdamW([host], 0.1, eps=1e-6, weight_decay=0.1)
    given = FusedAdamW([on_device], 0.1, weight_decay=0.1)
    for _ in range(3):
        host.grad = torch.tensor([1.0, 2.0, 3.0])
        plain.step()
        given.step([host.grad.to("hpu")])
    torch.testing.assert_close(on_device.cpu(), host, atol=1e-4, rtol=1e-4)
    assert on_device.grad is None
    with pytest.raises(ValueError, match="does not equal"):
        given.step([])
    with pytest.raises(ValueError, match="empty parameter list"):
        FusedAdamW([])
