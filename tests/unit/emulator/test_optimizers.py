import copy

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


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_moments_of_float8_have_a_scale(device, dtype):
    from habana_frameworks.torch.hpex.optimizers import FusedAdamW
    from habana_frameworks.torch.hpex.optimizers.distributed import FusedAdamW as Given

    kinds = (torch.float8_e4m3fn, torch.float8_e5m2)
    host, on_device, given = (
        nn.Parameter(torch.ones(3, dtype=dtype, device=place)) for place in ("cpu", "hpu", "hpu")
    )
    plain = torch.optim.AdamW([host], 0.1, eps=1e-6)
    plain.param_groups[0]["weight_decay"] = 0.0
    fused = FusedAdamW([on_device], 0.1, moments_dtype=kinds)
    handed = Given([given], 0.1, moments_dtype=kinds)
    for _ in range(3):
        host.grad = torch.tensor([0.01, 0.0, -3.0], dtype=dtype)
        on_device.grad = host.grad.to("hpu")
        plain.step()
        fused.step()
        handed.step([on_device.grad])
    for parameter, optimizer in ((on_device, fused), (given, handed)):
        torch.testing.assert_close(parameter.cpu(), host, atol=0.05, rtol=0.1)
        kept = optimizer.state[parameter]
        assert (kept["exp_avg"].dtype, kept["exp_avg_sq"].dtype) == kinds
        mean = kept["exp_avg"].cpu().to(dtype)
        assert 120 <= mean.abs().max() <= 240, "the scale fills the dtype's range"
        torch.testing.assert_close(
            mean / kept["exp_avg_scale"].cpu(), plain.state[host]["exp_avg"], atol=0.01, rtol=0.1
        )


def test_moments_of_float8_that_are_all_zero(device):
    from habana_frameworks.torch.hpex.optimizers import FusedAdamW

    parameter = nn.Parameter(torch.ones(3, device="hpu"))
    optimizer = FusedAdamW([parameter], 0.1, moments_dtype=torch.float8_e5m2)
    parameter.grad = torch.zeros(3, device="hpu")
    optimizer.step()
    assert parameter.tolist() == [1.0, 1.0, 1.0]
    assert optimizer.state[parameter]["exp_avg_scale"].item() == 1.0


@pytest.mark.parametrize("named", [None, "correct_bias"])
def test_the_state_of_another_adamw_can_be_loaded(device, named):
    from habana_frameworks.torch.hpex.optimizers import FusedAdamW

    host = nn.Parameter(torch.ones(3))
    plain = torch.optim.AdamW([host], 0.1, eps=1e-6)
    host.grad = torch.tensor([1.0, 2.0, 3.0])
    plain.step()
    state = copy.deepcopy(plain.state_dict())
    if named:
        state["param_groups"][0][named] = True
    on_device = nn.Parameter(host.detach().to("hpu"))
    fused = FusedAdamW([on_device])
    fused.load_state_dict(state)
    on_device.grad = host.grad.to("hpu")
    plain.step()
    fused.step()
    torch.testing.assert_close(on_device.cpu(), host, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ["FusedAdamW", "FusedLamb", "FusedLars"])
def test_a_copy_steps_as_the_optimizer_does(device, name):
    from habana_frameworks.torch.hpex import optimizers

    parameter = nn.Parameter(torch.ones(3, device="hpu"))
    if name == "FusedLars":
        made = optimizers.FusedLars(torch.optim.SGD([parameter], 0.1), [1])
    else:
        made = getattr(optimizers, name)([parameter], 0.1)
    parameter.grad = torch.tensor([1.0, 2.0, 3.0], device="hpu")
    copied = copy.deepcopy(made)
    (other,) = copied.param_groups[0]["params"]
    other.grad = parameter.grad.clone()
    for optimizer in (made, copied):
        optimizer.step()
    assert other.tolist() == parameter.tolist() != [1.0, 1.0, 1.0]


def test_lars_puts_the_weight_decay_back_after_an_error(device):
    from habana_frameworks.torch.hpex.optimizers import FusedLars

    parameter = nn.Parameter(torch.ones(3, device="hpu"))
    optimizer = FusedLars(torch.optim.SGD([parameter], 0.1, weight_decay=0.5), [1])

    def closure():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        optimizer.step(closure)
    assert optimizer.param_groups[0]["weight_decay"] == 0.5


def test_gradients_that_were_handed_over_do_not_stay_after_an_error(device):
    from habana_frameworks.torch.hpex.optimizers.distributed import FusedAdamW

    parameter = nn.Parameter(torch.ones(3, device="hpu"))
    optimizer = FusedAdamW([parameter], 0.1)
    optimizer._optimizer.param_groups[0]["betas"] = None
    with pytest.raises(TypeError):
        optimizer.step([torch.ones(3, device="hpu")])
    assert parameter.grad is None
