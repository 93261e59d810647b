"""Operands on the host beside operands on the device: lazy mode takes them there, eager mode refuses."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

HOST = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
LABEL = torch.tensor([1, 0])

# Of a tensor on the device and the same on the host.
LINES = {
    "output.eq(label)": lambda x, h: x.max(1)[1].eq(LABEL),
    "label.eq(output)": lambda x, h: LABEL.eq(x.max(1)[1]),
    "==": lambda x, h: h == x,
    "allclose": lambda x, h: torch.allclose(h, x) and torch.allclose(x, h),
    "equal": lambda x, h: torch.equal(h, x),
    "isclose": lambda x, h: torch.isclose(h, x),
    "linear weight": lambda x, h: F.linear(x, h),
    "linear input": lambda x, h: F.linear(h, x),
    "matmul": lambda x, h: h @ x,
    "cat": lambda x, h: torch.cat([h, x]),
    "stack": lambda x, h: torch.stack([x, h]),
    "where": lambda x, h: torch.where(h > 2, x, h),
    "add_": lambda x, h: x.clone().add_(h),
    "cross_entropy": lambda x, h: F.cross_entropy(x, LABEL),
    "embedding": lambda x, h: F.embedding(LABEL, x),
    "masked_select": lambda x, h: x.masked_select(h > 2),
    "foreach": lambda x, h: torch._foreach_add([x], [h])[0],
}


@pytest.mark.parametrize("line", LINES)
def test_lazy_mode_takes_them_to_the_device(lazy, line):
    expected = LINES[line](HOST, HOST)
    for _ in range(2):
        got = LINES[line](HOST.to("hpu"), HOST)
        if isinstance(expected, bool):
            assert got is expected
        else:
            assert got.device.type == "hpu"
            torch.testing.assert_close(got.cpu(), expected)


@pytest.mark.parametrize("line", LINES)
def test_eager_mode_does_not(line):
    with pytest.raises(RuntimeError, match="same device"):
        LINES[line](HOST.to("hpu"), HOST)


def test_the_host_tensor_is_read_when_the_line_is_recorded(lazy):
    x, h = HOST.to("hpu"), HOST.clone()
    for value in (1.0, 2.0):
        h.fill_(value)
        y = x * h
        h.zero_()
        assert torch.equal(y.cpu(), HOST * value)


def test_other_values_of_the_same_shape_do_not_compile_again(lazy):
    from gaudi_lab import bridge

    def step(h):
        return (x + h).sum().item()

    x = HOST.to("hpu")
    assert step(HOST) == 20.0
    before = bridge.counters()
    assert step(HOST * 2) == 30.0
    assert bridge.counters().since(before).compilations == 0


def test_what_must_not_be_a_copy_is_refused(mode):
    x = HOST.to("hpu")
    norm = nn.BatchNorm1d(2, affine=False)  # would update its statistics in the copy
    for use in (
        lambda: HOST.clone().add_(x),
        lambda: torch.add(x, x, out=torch.empty(2, 2)),
        lambda: nn.Linear(2, 2)(x),  # no gradient could reach the weight
        lambda: norm(x),
    ):
        with pytest.raises(RuntimeError, match="same device"):
            use()
    assert norm.running_mean.tolist() == [0.0, 0.0]


def test_a_number_on_the_host_is_not_written_to(lazy):
    x, total = HOST.to("hpu"), torch.tensor(0.0)
    for write in (
        lambda: total.add_(x.sum()),
        lambda: torch.sum(x, [0, 1], out=total),
        lambda: torch.addcmul(total, x[0, 0], x[1, 1], out=total),
    ):
        for _ in range(2):  # what is refused leaves nothing that would be found the second time
            with pytest.raises(
                RuntimeError, match=r"same device.*cannot write into it.*total = total \+ loss"
            ):
                write()
    assert (x.sum() + total).item() == 10.0


def test_gradients_of_the_operand_on_the_device(lazy):
    w = HOST.to("hpu").requires_grad_()
    (w * HOST).sum().backward()
    assert torch.equal(w.grad.cpu(), HOST)
