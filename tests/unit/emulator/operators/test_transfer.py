"""Copies between host and device."""

from __future__ import annotations

import pytest
import torch


def test_a_copy_does_not_see_later_writes(mode):
    source = torch.ones(2)
    x = source.to("hpu")
    source.fill_(9)
    back = x.cpu()
    x.add_(1)

    assert back.tolist() == [1.0, 1.0]
    assert x.tolist() == [2.0, 2.0]


def test_a_host_tensor_copied_in_may_change_afterwards(mode):
    source = torch.ones(2)
    x = torch.zeros(2, device="hpu")
    before = x + 0
    x.copy_(source)
    source.fill_(9)

    assert (before.tolist(), x.tolist()) == ([0.0, 0.0], [1.0, 1.0])


def test_copies_convert(mode):
    x = torch.tensor([1.7, -2.2]).to("hpu")

    assert x.to(torch.int64).tolist() == [1, -2]
    assert torch.zeros(2, 2).to("hpu").copy_(torch.tensor([1, 2])).tolist() == [[1.0, 2.0], [1.0, 2.0]]
    assert x.to("cpu", torch.float64).dtype == torch.float64


def test_strides_travel(mode):
    x = torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last)

    assert x.to("hpu").stride() == x.stride()
    assert x.to("hpu").cpu().stride() == x.stride()
    assert x[0, 0].t().to("hpu").cpu().equal(x[0, 0].t())


@pytest.mark.parametrize("value", [True, 3, 2.5, 1 + 2j])
def test_items_are_of_the_right_class(mode, value):
    item = torch.tensor(value).to("hpu").item()

    assert item == value
    assert type(item) is type(value)


def test_the_same_tensor_comes_back_if_nothing_changes(mode):
    x = torch.ones(2).to("hpu")

    assert x.to("hpu") is x
    assert x.float() is x


def test_moving_a_module_to_where_it_is_records_nothing(lazy):
    from gaudi_lab.emulator.lazy.record import tape

    model = torch.nn.Linear(3, 3).to("hpu")
    tape.flush()
    weights = [parameter._cell for parameter in model.parameters()]
    model.to("hpu")
    assert tape.recording.steps == 0
    assert [parameter._cell for parameter in model.parameters()] == weights


def test_a_detached_tensor_is_the_same_memory(mode):
    x = torch.ones(3, device="hpu", requires_grad=True)
    y = x.detach()
    y.add_(1)
    assert not y.requires_grad
    assert x.tolist() == [2.0, 2.0, 2.0]


@pytest.mark.filterwarnings("ignore:To copy construct from a tensor")
def test_a_list_of_device_scalars_makes_a_host_tensor(mode):
    x = torch.arange(4.0).to("hpu") * 2

    assert torch.tensor([x[1], x[3]]).tolist() == [2.0, 6.0]
    assert torch.tensor(x[2], device="hpu").item() == 4.0


def test_what_was_made_in_inference_mode_can_be_written_into(mode):
    with torch.inference_mode():
        x = torch.ones(2).to("hpu")
        y = torch.empty(2, device="hpu").copy_(torch.ones(2))
        y.mul_(3)
        x += y
        assert x.is_inference()
    assert x.tolist() == [4.0, 4.0]


def test_a_graph_captured_and_replayed_in_inference_mode(lazy):
    graph = torch.hpu.wrap_in_hpu_graph(torch.nn.Flatten(0).to("hpu").eval())
    for value in (1.0, 2.0, 3.0):
        with torch.inference_mode():
            assert graph(torch.full((2, 1), value).to("hpu")).tolist() == [value, value]


def test_a_graph_of_a_model_that_puts_its_result_into_its_input(lazy):
    class Features(torch.nn.Module):
        def forward(self, features):
            features["doubled"] = features["x"] * 2
            return features

    graph = torch.hpu.wrap_in_hpu_graph(Features().to("hpu").eval())
    for value in (1.0, 2.0, 3.0):
        with torch.inference_mode():
            assert graph({"x": torch.tensor([value]).to("hpu")})["doubled"].tolist() == [2 * value]


_OF_A_FORM = {
    "empty_like": lambda x, **to: torch.empty_like(x, **to),
    "zeros_like": lambda x, **to: torch.zeros_like(x, **to),
    "full_like": lambda x, **to: torch.full_like(x, 3, **to),
    "randn_like": lambda x, **to: torch.randn_like(x, **to),
    "randint_like": lambda x, **to: torch.randint_like(x, 5, **to),
    "new_empty": lambda x, **to: x.new_empty((4,), **to),
    "new_full": lambda x, **to: x.new_full((4,), 3, **to),
    "new_empty_strided": lambda x, **to: x.new_empty_strided((4,), (1,), **to),
}


@pytest.mark.parametrize("place", ["cpu", "meta"])
@pytest.mark.parametrize("name", _OF_A_FORM)
def test_what_takes_another_tensors_form_lies_where_it_was_asked_for(mode, name, place):
    host = torch.randn(2, 3, 4, 5, dtype=torch.bfloat16).to(memory_format=torch.channels_last)
    make = _OF_A_FORM[name]
    torch.manual_seed(0)
    made = make(host.to("hpu"), device=place)
    torch.manual_seed(0)
    expected = make(host, device=place)

    assert type(made) is torch.Tensor
    assert (made.device, made.dtype, made.stride()) == (expected.device, expected.dtype, expected.stride())
    if place == "cpu" and "empty" not in name:
        torch.testing.assert_close(made, expected, rtol=0, atol=0)


def test_a_parameter_moves_to_the_host_by_what_takes_its_form(mode):
    parameter = torch.nn.Parameter(torch.randn(3, device="hpu"))
    parameter.data = torch.zeros_like(parameter.data, device="cpu", dtype=torch.float64)

    assert (parameter.device.type, parameter.dtype, parameter.tolist()) == ("cpu", torch.float64, [0, 0, 0])


def test_a_copy_into_new_memory_waits_for_who_reads_a_view_of_it_in_another_mode():
    from gaudi_lab.emulator import set_lazy

    try:
        set_lazy(False)
        x = torch.empty(2, device="hpu")
        view = x[0]
        x.copy_(torch.zeros(2))
        set_lazy(True)
        later = view + 1
        x.copy_(torch.ones(2))
        assert (later.item(), view.item(), x.tolist()) == (1.0, 1.0, [1.0, 1.0])
    finally:
        set_lazy(False)
