"""What an `hpu` tensor is to Python."""

import pytest
import torch


def test_a_parameter_is_rebuilt_by_its_type(mode):
    # accelerate's offloading does this to every parameter it brings to the device.
    parameter = torch.nn.Linear(2, 2).to("hpu").weight
    for data in (torch.ones(2, 2), torch.ones(2, 2, device="hpu")):
        rebuilt = type(parameter)(data, requires_grad=False)
        assert isinstance(rebuilt, torch.nn.Parameter)
        assert rebuilt.device == data.device
        assert not rebuilt.requires_grad
        assert type(parameter)(data).requires_grad


def test_a_parameter_is_rebuilt_from_its_attributes_as_init_empty_weights_does(mode):
    from accelerate import init_empty_weights

    with init_empty_weights():
        layer = torch.nn.Linear(2, 3, device="hpu")
    assert layer.weight.device.type == "meta"
    assert type(layer.weight) is torch.nn.Parameter
    parameter = torch.nn.Parameter(torch.ones(2, device="hpu"))
    parameter.seen = True
    with pytest.raises(TypeError, match="seen"):
        type(parameter)(parameter.to("cpu"), **vars(parameter))


def test_a_module_offloaded_to_the_host_computes_on_the_device(mode):
    from accelerate import cpu_offload

    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4)).eval()
    x = torch.randn(2, 3)
    with torch.no_grad():
        expected = model(x)
        got = cpu_offload(model, execution_device="hpu")(x.to("hpu"))
    assert model[0].weight.device.type == "meta"
    torch.testing.assert_close(got.cpu(), expected)


def test_a_jagged_tensor_is_made_on_the_host_and_moved(mode):
    rows = [torch.ones(2, 3), torch.ones(4, 3)]
    moved = torch.nested.nested_tensor(rows, layout=torch.jagged).to("hpu")
    assert moved.values().device.type == "hpu"
    assert (moved * 2).sum().item() == 36.0
    assert moved.to_padded_tensor(0.0).shape == (2, 4, 3)
    assert torch.equal(moved.cpu().unbind()[1], rows[1])
    with pytest.raises(NotImplementedError, match=r"Make it on the host and move it: nested\.to\('hpu'\)"):
        torch.nested.nested_tensor(rows, layout=torch.jagged, device="hpu")
