"""Tensors made on the device."""

from __future__ import annotations

import pytest
import torch
from torch.utils.checkpoint import checkpoint

MAKERS = {
    "zeros": lambda **k: torch.zeros(2, 3, **k),
    "full": lambda **k: torch.full((2,), 7, **k),
    "arange": lambda **k: torch.arange(2, 9, 3, **k),
    "arange_float": lambda **k: torch.arange(0.5, 2, 0.5, **k),
    "linspace": lambda **k: torch.linspace(0, 1, 5, **k),
    "eye": lambda **k: torch.eye(3, **k),
    "rand": lambda **k: torch.rand(4, **k),
    "randn": lambda **k: torch.randn(4, dtype=torch.bfloat16, **k),
    "randint": lambda **k: torch.randint(3, 9, (5,), **k),
    "randperm": lambda **k: torch.randperm(6, **k),
    "tensor": lambda **k: torch.tensor([1.5, 2.5], **k),
    "tril_indices": lambda **k: torch.tril_indices(3, 3, **k),
    "hann_window": lambda **k: torch.hann_window(6, **k),
    "normal": lambda **k: torch.normal(0.0, 1.0, (4,), **k),
    "efficientzerotensor": lambda **k: torch._efficientzerotensor(3, **k),
    "ones_like": lambda **k: torch.ones_like(torch.zeros(2), **k),
}


@pytest.mark.parametrize("name", sorted(MAKERS))
def test_a_factory_makes_what_the_host_makes(mode, name):
    for _ in range(2):
        torch.manual_seed(5)
        got = MAKERS[name](device="hpu")
        torch.manual_seed(5)
        expected = MAKERS[name](device="cpu")
        assert got.device.type == "hpu"
        assert got.dtype == expected.dtype
        assert torch.equal(got.cpu(), expected)


@pytest.mark.filterwarnings(
    "ignore:`torch.jit.script` is:DeprecationWarning"
)  # PyTorch's first import of them
@pytest.mark.usefixtures("stock_scatter")  # PyTorch scripts what it needs for them, once
def test_forward_mode_derivatives_have_zeros_where_nothing_flows(mode):
    x, tangent = torch.tensor([1.0, 2.0], device="hpu"), torch.tensor([3.0, 4.0], device="hpu")
    _, derivative = torch.func.jvp(lambda x: torch.stack([x * x, torch.ones_like(x)]), (x,), (tangent,))
    assert derivative.tolist() == [[6.0, 16.0], [0.0, 0.0]]


def test_seeds_set_between_recorded_draws_count(mode):
    torch.manual_seed(1)
    first = torch.randn(3, device="hpu")
    torch.manual_seed(2)
    second = torch.randn(3, device="hpu")

    torch.manual_seed(1)
    assert torch.equal(first.cpu(), torch.randn(3))
    torch.manual_seed(2)
    assert torch.equal(second.cpu(), torch.randn(3))


def test_a_draw_on_the_device_leaves_the_host_generator_alone(mode):
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    torch.rand(5, device="hpu").cpu()

    assert torch.equal(torch.rand(2), expected)


def test_out_of_a_composite_is_written(mode):
    out = torch.ones(2, 2, dtype=torch.int64).to("hpu")
    rank = torch.tensor(1).to("hpu")
    torch.linalg.matrix_rank(torch.eye(3).to("hpu"), out=rank)
    torch.matmul(out, out, out=out)

    assert rank.item() == 3
    assert out.tolist() == [[2, 2], [2, 2]]


@pytest.mark.parametrize("reentrant", [True, False])
def test_checkpointing_draws_the_same_dropout_again(mode, reentrant):
    x = torch.ones(64, device="hpu", requires_grad=True)
    y = checkpoint(torch.nn.functional.dropout, x, 0.5, use_reentrant=reentrant)
    y.sum().backward()

    assert torch.equal(y.detach().cpu(), x.grad.cpu())


_HOST = [torch.ones(2, 3), torch.ones(4, 3)]


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning")
@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.nested.nested_tensor([x.to("hpu") for x in _HOST]),
        lambda: torch.nested.as_nested_tensor([x.to("hpu") for x in _HOST]),
        lambda: torch.nested.nested_tensor(_HOST).to("hpu"),
        lambda: torch.nested.nested_tensor(_HOST, device="hpu").unbind(),
        lambda: repr(torch.nested.nested_tensor(_HOST, device="hpu")),
    ],
)
def test_nested_tensors_are_refused(mode, make):
    with pytest.raises(NotImplementedError, match="hpu has no nested tensors"):
        make()
