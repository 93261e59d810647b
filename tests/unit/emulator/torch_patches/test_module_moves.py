"""Modules that move while a graph of autograd holds their parameters."""

import pytest
import torch
from torch import nn


def tied():
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    model[1].weight = model[0].weight
    return model


def test_a_loss_on_the_host_survives_the_move_of_its_model(mode):
    model, x = tied(), torch.randn(2, 3)
    old = model[0].weight
    loss = model(x).sum()
    expected = torch.autograd.grad(loss, old, retain_graph=True)[0]

    model.to("hpu")
    torch.testing.assert_close(model(x.to("hpu")).sum().cpu(), loss)
    assert model[0].weight is model[1].weight, "what was shared stays shared"
    loss.backward()
    torch.testing.assert_close(old.grad, expected)
    assert model[0].weight.grad is None


@pytest.mark.parametrize("move", [lambda m: m.cpu(), lambda m: m.double()], ids=["to the host", "to a dtype"])
def test_a_loss_on_the_device_survives_the_move_of_its_model(mode, move):
    model, x = tied().to("hpu"), torch.randn(2, 3, device="hpu")
    old = model[0].weight
    loss = model(x).sum()
    move(model)
    assert next(model.parameters()).device.type == "cpu" or next(model.parameters()).dtype == torch.float64
    loss.backward()
    assert old.grad is not None


def test_a_move_to_where_it_is_keeps_the_parameters_that_an_optimizer_holds(mode):
    model, x = tied().to("hpu"), torch.randn(2, 3, device="hpu")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    loss = model(x).sum()
    before = model[0].bias.detach().cpu()
    model.to("hpu")
    loss.backward()
    optimizer.step()
    assert not torch.equal(model[0].bias.detach().cpu(), before)


def test_a_gradient_moves_too(mode):
    model, x = nn.Linear(3, 2), torch.randn(4, 3)
    model(x).sum().backward()
    held = model(x)
    model.to("hpu")
    assert held.requires_grad
    torch.testing.assert_close(model.weight.grad.cpu(), x.sum(0).expand(2, 3))


@pytest.mark.filterwarnings("ignore:.*is deprecated:DeprecationWarning")
def test_a_module_of_torchscript_is_made_on_the_device_and_not_moved_there(mode):
    model, x = nn.Sequential(nn.Linear(3, 2), nn.ReLU()), torch.randn(4, 3)
    scripted = torch.jit.script(model)
    with pytest.raises(RuntimeError, match=r"torch\.jit\.script\(module\.to\('hpu'\)\)"):
        nn.Sequential(scripted).to("hpu")
    torch.testing.assert_close(scripted(x), model(x))

    expected = model(x)
    for made in (torch.jit.script(model.to("hpu")), torch.jit.trace(model.to("hpu"), x.to("hpu"))):
        torch.testing.assert_close(made.to("hpu")(x.to("hpu")).cpu(), expected)


def test_a_module_moves_there_and_back_in_inference_mode(mode):
    with torch.inference_mode():
        module = nn.Linear(2, 2)
        there = module.to("hpu").weight.device.type
        module.to(torch.bfloat16)
        back = module.to("cpu").weight

    assert (there, back.device.type, back.dtype) == ("hpu", "cpu", torch.bfloat16)
