"""Tensors that change shape or memory without computing, and bits that change how memory reads."""

from __future__ import annotations

import torch


def same(got: torch.Tensor, expected: torch.Tensor) -> bool:
    return torch.equal(got.cpu(), expected) and got.shape == expected.shape


def test_in_place_views(mode):
    results = []
    for device in ("cpu", "hpu"):
        x = torch.arange(6.0).view(2, 3).to(device)
        row = x[0]
        x.t_()
        x.unsqueeze_(0)
        x.add_(1)
        x.squeeze_()
        x.transpose_(0, 1)
        results.append((x, row))
    (cpu, cpu_row), (hpu, hpu_row) = results

    assert same(hpu, cpu)
    assert same(hpu_row, cpu_row)


def test_resize_keeps_the_values_that_fit(mode):
    x = torch.arange(6.0).to("hpu")
    x.resize_(2, 2)
    assert same(x, torch.arange(4.0).view(2, 2))
    assert x.resize_(4, 4).shape == (4, 4)


def test_data_gives_the_memory_of_another_tensor(mode):
    parameter = torch.nn.Parameter(torch.ones(3).to("hpu"))
    other = torch.arange(4.0).to("hpu")
    parameter.data = other
    other.add_(1)

    assert same(parameter.detach(), torch.arange(4.0) + 1)
    assert isinstance(parameter, torch.nn.Parameter)


def test_data_of_another_dtype(mode):
    parameter = torch.nn.Parameter(torch.ones(3).to("hpu"))
    parameter.data = parameter.data.to(torch.bfloat16)

    assert same((parameter + 1).detach(), torch.full((3,), 2.0, dtype=torch.bfloat16))


def test_set_lets_a_tensor_be_another(mode):
    x, y = torch.zeros(2).to("hpu"), torch.arange(3.0).to("hpu")
    x.set_(y)
    y.mul_(2)

    assert same(x, torch.arange(3.0) * 2)


def test_a_write_through_a_conjugate_view_reaches_the_base(mode):
    results = []
    for device in ("cpu", "hpu"):
        x = torch.tensor([1 + 2j, 3 + 4j]).to(device)
        view = x.conj()
        assert view.is_conj()
        view.mul_(2j)
        view[0] = 5 - 1j
        x.conj().imag.add_(1)
        results.append((x, view.resolve_conj(), x.conj() @ x, torch.fft.hfft(x)))
    for expected, got in zip(*results, strict=True):
        assert torch.allclose(got.cpu(), expected)


def test_a_conjugate_view_survives_what_copies_it(mode):
    x = torch.tensor([1 + 2j, 3 + 4j])
    view = x.to("hpu").conj()
    into = torch.zeros(2, dtype=torch.complex64)
    into.copy_(view)

    for got in (view.cpu(), view.clone(), view.detach(), into, view[:], view.to(torch.complex128)):
        assert torch.equal(got.cpu().resolve_conj().to(torch.complex64), x.conj().resolve_conj())


def test_a_view_taken_in_inference_mode_is_an_ordinary_one(mode):
    x = torch.zeros(3, device="hpu")
    with torch.inference_mode():
        x[1:].add_(5)
        x.mul_(2)
    x.add_(1)
    weight = torch.ones(3, device="hpu", requires_grad=True)
    (weight * x).sum().backward()

    assert same(weight.grad, torch.tensor([1.0, 11.0, 11.0]))


def test_lazy_modules_take_their_shape_on_the_device(mode):
    torch.manual_seed(0)
    module = torch.nn.LazyConv1d(2, 2).to("hpu")

    assert module(torch.ones(1, 3, 5).to("hpu")).shape == (1, 2, 4)
    assert isinstance(module.weight, torch.nn.Parameter)
    assert module.weight.shape == (2, 3, 2)


def test_recurrent_cells_train(mode):
    torch.manual_seed(0)
    host = torch.nn.LSTM(3, 4)
    x = torch.randn(5, 2, 3)
    host(x)[0].sum().backward()
    expected = [p.grad.clone() for p in host.parameters()]
    host.zero_grad()
    device = host.to("hpu")
    device(x.to("hpu"))[0].sum().backward()

    for parameter, grad in zip(device.parameters(), expected, strict=True):
        assert torch.allclose(parameter.grad.cpu(), grad, atol=1e-5)
