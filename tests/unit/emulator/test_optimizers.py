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
