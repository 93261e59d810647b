"""What a Gaudi has a kernel for is one step, unless somebody differentiates it or looks at its parts."""

from __future__ import annotations

import pytest
import torch
from torch.autograd import forward_ad
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from gaudi_lab.emulator.lazy.record import tape

aten = torch.ops.aten

WEIGHT, BIAS = torch.randn(5, 4), torch.randn(5)
CALLS = [
    *[
        (F.linear, (torch.randn(*shape, 4), WEIGHT, bias))
        for shape in ((), (3,), (2, 3))
        for bias in (None, BIAS)
    ],
    (F.linear, (torch.randn(4, 3).t(), WEIGHT, BIAS)),
    (F.linear, (torch.randn(2, 4).bfloat16(), WEIGHT.bfloat16(), BIAS.bfloat16())),
    *[
        (torch.matmul, (torch.randn(one), torch.randn(other)))
        for one, other in (((4,), (4,)), ((3, 4), (4,)), ((2, 3, 4), (4, 5)), ((2, 1, 3, 4), (6, 4, 5)))
    ],
]


def recorded():
    """Return the operators that are recorded and have not run."""
    return [step.func for step in tape.recording.node.program() if step.func is not None]


WITHOUT_GRADIENTS = pytest.mark.parametrize(
    "without_gradients", [torch.no_grad, torch.inference_mode], ids=["no_grad", "inference_mode"]
)


@pytest.mark.usefixtures("mode")
@WITHOUT_GRADIENTS
@pytest.mark.parametrize(("func", "args"), CALLS)
def test_it_returns_what_the_host_returns(without_gradients, func, args):
    with without_gradients():
        found = func(*[x if x is None else x.to("hpu") for x in args])
        expected = func(*args)

        assert torch.equal(found.cpu(), expected)
        assert found.stride() == expected.stride()


@pytest.mark.usefixtures("lazy")
@WITHOUT_GRADIENTS
def test_it_is_one_step(without_gradients):
    x, weight, bias = [x.to("hpu") for x in (torch.randn(2, 3, 4), WEIGHT, BIAS)]
    tape.flush()
    with without_gradients():
        out = F.linear(x, weight, bias)
        out = torch.matmul(out, out.transpose(1, 2))

        assert recorded() == [aten.linear.default, aten.transpose.int, aten.matmul.default]


@pytest.mark.usefixtures("lazy")
def test_what_needs_no_gradient_is_one_step_where_others_have_one():
    x, weight = [x.to("hpu") for x in (torch.randn(2, 4), WEIGHT)]
    tape.flush()
    out = F.linear(x, weight)

    assert recorded() == [aten.linear.default]
    assert not out.requires_grad


@pytest.mark.usefixtures("mode")
def test_gradients_are_those_of_the_host():
    found = []
    for device in ("cpu", "hpu"):
        x, weight, bias = [x.detach().to(device).requires_grad_() for x in (WEIGHT[:3, :4], WEIGHT, BIAS)]
        out = F.linear(x, weight, bias)
        torch.matmul(out, out.t()).sum().backward()
        found.append([x.grad.cpu() for x in (x, weight, bias)])

    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.usefixtures("mode", "stock_scatter")  # PyTorch scripts what it needs for them, once
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of PyTorch, in its own forward gradients
def test_forward_gradients_go_through_its_parts():
    x, tangent, weight = [x.to("hpu") for x in (torch.randn(2, 4), torch.randn(2, 4), WEIGHT)]
    with torch.no_grad(), forward_ad.dual_level():
        out = F.linear(forward_ad.make_dual(x, tangent), weight)

        torch.testing.assert_close(forward_ad.unpack_dual(out).tangent.cpu(), tangent.cpu() @ WEIGHT.t())


def test_who_looks_at_operators_sees_its_parts():
    class Seen(TorchDispatchMode):
        operators: list = []  # noqa: RUF012 - one for one look

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            self.operators.append(func)
            return func(*args, **(kwargs or {}))

    x, weight = torch.randn(2, 4).to("hpu"), WEIGHT.to("hpu")
    with torch.no_grad(), Seen():
        F.linear(x, weight)

    assert aten.mm.default in Seen.operators


@pytest.mark.usefixtures("mode")
def test_a_wrong_size_is_refused_in_the_words_of_the_host():
    x, weight = torch.randn(2, 3).to("hpu"), WEIGHT.to("hpu")
    with torch.no_grad(), pytest.raises(RuntimeError, match=r"cannot be multiplied \(2x3 and 4x5\)"):
        F.linear(x, weight).cpu()
