"""An operator in a live model: compared first, counted, and taken out without a trace."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref
from dataclasses import dataclass
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gaudi_lab import bridge
from gaudi_lab.custom_ops import define
from gaudi_lab.errors import LabError, LabValueError
from gaudi_lab.instruments.fused_operators.class_layers import StandIns

GELU = """
def NAME(x: Tensor, approximate: str = "none") -> Tensor:
    return torch.nn.functional.gelu(x, approximate=approximate)
"""


class Calls(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(4, 4)

    def forward(self, x):
        return F.gelu(self.inner(x))


@dataclass
class Answer:
    value: Any


class Box:
    """What nobody can look into."""

    def __init__(self, value):
        self.value = value


class Returns(Calls):
    """Returns what it computes in something."""

    def __init__(self, made):
        super().__init__()
        self.made = made

    def forward(self, x):
        return self.made(super().forward(x))


@dataclass(frozen=True)
class Plain:
    """A layer that leaves a forward as it is."""

    operator: str = "plain"

    def around(self, forward, stand_ins):
        return lambda module, *args: forward(module, *args)


def everything(model):
    return [(dict(vars(module)), dict(module._modules)) for module in model.modules()], list(
        model.state_dict()
    )


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.Dropout(0.5), nn.Linear(8, 4), nn.GELU()).to("hpu")


@pytest.fixture
def x():
    return torch.randn(3, 4).to("hpu")


@pytest.mark.parametrize("lazy", [False, True], ids=["eager", "lazy"])
def test_it_stands_in_for_a_type_and_leaves_no_trace(cell, model, x, lazy):
    operator = cell(GELU)
    before, random = everything(model), torch.get_rng_state()
    with bridge.in_mode(lazy=lazy):
        with operator.stand_in(model, x, for_=nn.GELU) as standing:
            assert standing.places == ("1", "4")
            assert standing.difference.agrees
            (listed,) = [listed for listed in define.listing() if listed.name == operator.__name__]
            assert listed.stands_in == ("GELU at 1, 4",)
            seen = operator.calls
            model(x).cpu()
            assert operator.calls == seen + 2
        assert everything(model) == before
        assert model.training
        assert torch.equal(torch.get_rng_state(), random)
        seen = operator.calls
        model(x).cpu()
        assert operator.calls == seen


def test_it_stands_in_for_a_function(cell, x):
    operator, model = cell(GELU), Calls().to("hpu")
    before = everything(model)
    standing = operator.stand_in(model, x, for_=F.gelu)
    seen = operator.calls
    model(x)
    assert operator.calls == seen + 1
    F.gelu(x)  # of somebody else
    assert operator.calls == seen + 1
    standing.remove()
    assert everything(model) == before


def test_arguments_are_made_of_the_modules(cell, x):
    operator = cell(
        "def NAME(x: Tensor, slope: float) -> Tensor: return torch.nn.functional.leaky_relu(x, slope)"
    )
    model = nn.Sequential(nn.LeakyReLU(0.1), nn.LeakyReLU(0.3)).to("hpu")
    with operator.stand_in(model, x, for_=nn.LeakyReLU, arguments=lambda relu, x: (x, relu.negative_slope)):
        copied = copy.deepcopy(model)
        copied[0].negative_slope = 0.5
        assert not torch.equal(copied(x).cpu(), model(x).cpu())
        assert "forward" not in vars(pickle.loads(pickle.dumps(nn.ReLU())))


@pytest.mark.parametrize("for_", [nn.GELU, F.gelu], ids=["type", "function"])
def test_the_same_again_takes_the_place_of_the_first(cell, x, for_):
    operator = cell(GELU)
    model = (Calls() if for_ is F.gelu else nn.Sequential(nn.Linear(4, 4), nn.GELU())).to("hpu")
    before = everything(model)
    first = operator.stand_in(model, x, for_=for_)
    second = operator.stand_in(model, x, for_=for_)
    assert not first.active
    seen = operator.calls
    model(x).cpu()
    assert operator.calls == seen + 1
    cell(GELU.replace("return ", "return 1.01 * "), name=operator.__name__)
    assert "not compared again" in repr(second)
    # It is held against the model without it, and stays if that refuses.
    with pytest.raises(LabError, match="elements differ, by up to"):
        operator.stand_in(model, x, for_=for_)
    assert second.active
    seen = operator.calls
    model(x).cpu()
    assert operator.calls == seen + 1
    second.remove()
    assert everything(model) == before


def test_one_over_another_goes_first(cell, model, x):
    lower, upper = cell(GELU), cell(GELU)
    below = lower.stand_in(model, x, for_=nn.GELU)
    above = upper.stand_in(model, x, for_=nn.GELU)
    with pytest.raises(LabError, match=f"The operator {upper.__name__} was put over the forward of a GELU"):
        below.remove()
    above.remove()
    below.remove()
    assert "forward" not in vars(model[1])


def test_another_result_is_refused_and_undone(cell, model, x):
    operator = cell(GELU.replace("return ", "return 1.01 * "))
    before = everything(model)
    with pytest.raises(LabError, match="elements differ, by up to"):
        operator.stand_in(model, x, for_=nn.GELU)
    assert everything(model) == before
    standing = operator.stand_in(model, x, for_=nn.GELU, beyond_rounding=True)
    assert standing.difference.largest > 0
    standing.remove()
    assert everything(model) == before


def test_what_cannot_be_is_said(cell, model, x):
    operator = cell(GELU)
    with pytest.raises(LabValueError, match=r"no Tanh.*Linear, GELU"):
        operator.stand_in(model, x, for_=nn.Tanh)
    with pytest.raises(LabValueError, match="needs inputs"):
        operator.stand_in(model, for_=nn.GELU)
    with pytest.raises(LabError, match="no call of the model reached it"):
        operator.stand_in(model, x, for_=F.silu)


def test_hpu_graphs_are_captured_anew_with_it_and_without(cell, x):
    operator = cell(GELU)
    with bridge.in_mode(lazy=True), torch.no_grad():
        model = nn.Sequential(nn.Linear(4, 8), nn.GELU()).eval().to("hpu")
        plain = model(x).cpu()
        wrapped = bridge.wrap_in_hpu_graph(model)
        for _ in range(3):
            wrapped(x)
        seen = operator.calls
        standing = operator.stand_in(model, x, for_=nn.GELU)
        for _ in range(3):
            assert torch.equal(wrapped(x).cpu(), plain)
        assert operator.calls > seen
        standing.remove()
        seen = operator.calls
        for _ in range(3):
            assert torch.equal(wrapped(x).cpu(), plain)
        assert operator.calls == seen


def test_a_new_body_reaches_models_that_hold_the_operator(cell, model, x):
    operator = cell(GELU)
    with bridge.in_mode(lazy=True), torch.no_grad():
        wrapped = bridge.wrap_in_hpu_graph(model.eval())
        with operator.stand_in(model, x, for_=nn.GELU):
            before = [wrapped(x).cpu() for _ in range(3)][-1]
            cell(GELU.replace("return ", "return 0 * "), name=operator.__name__)
            after = [wrapped(x).cpu() for _ in range(3)][-1]
    assert not torch.equal(before, after)
    assert not after.any()


@pytest.mark.parametrize("for_", [nn.GELU, F.gelu])
def test_another_signature_says_what_to_do_and_an_earlier_one_fits_again(cell, model, x, for_):
    operator = cell(GELU)
    handle = operator.stand_in(model.eval(), x, for_=for_)
    expected = model(x)
    cell("def NAME(x: Tensor, a: float, b: float) -> Tensor: return x * a * b", name=operator.__name__)
    with pytest.raises(LabError) as refused:
        model(x)
    assert f"stands in for {handle.replaced} as {operator.__name__}(Tensor x, str approximate=" in str(
        refused.value
    )
    assert "(Tensor x, float a, float b) -> Tensor, which the same calls do not fit" in str(refused.value)
    assert f"Run: {operator.__name__}.stand_in(model, x, for_={handle.replaced}" in str(refused.value)
    cell(GELU, name=operator.__name__)
    torch.testing.assert_close(model(x), expected)
    handle.remove()
    torch.testing.assert_close(model(x), expected)


def test_outputs_in_a_dataclass_are_compared(cell, x):
    operator = cell(GELU.replace("return ", "return 1.01 * "))
    with pytest.raises(LabError, match="elements differ, by up to"):
        operator.stand_in(Returns(Answer).to("hpu"), x, for_=F.gelu)


def test_outputs_in_which_nothing_is_found_are_not_called_equal(cell, x):
    operator, model = cell(GELU), Returns(Box).to("hpu")
    before = everything(model)
    with pytest.raises(LabError, match=r"no tensor was found.*could not be compared.*beyond_rounding=True"):
        operator.stand_in(model, x, for_=F.gelu)
    assert everything(model) == before
    with operator.stand_in(model, x, for_=F.gelu, beyond_rounding=True) as standing:
        assert "Outputs: could not be compared." in repr(standing)


@pytest.mark.parametrize("for_", [nn.GELU, F.gelu], ids=["type", "function"])
def test_a_model_is_not_kept_alive(cell, x, for_):
    operator = cell(GELU)
    model = (Calls() if for_ is F.gelu else nn.Sequential(nn.Linear(4, 4), nn.GELU())).to("hpu")
    standing, gone = operator.stand_in(model, x, for_=for_), weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None
    (listed,) = [listed for listed in define.listing() if listed.name == operator.__name__]
    assert listed.stands_in == ()
    cell(GELU.replace("return ", "return 0 * "), name=operator.__name__)
    standing.remove()


def test_a_forward_that_was_on_the_module_is_put_back(cell, x):
    operator, model = cell(GELU), nn.Sequential(nn.Linear(4, 4), nn.GELU()).to("hpu")
    own = model[1].forward = lambda x: F.gelu(x)
    with operator.stand_in(model, x, for_=nn.GELU):
        assert model[1].forward is not own
    assert vars(model[1])["forward"] is own


def test_a_module_with_a_fused_operator_is_of_its_own_type(cell, model, x):
    operator = cell(GELU)
    with (
        StandIns().put(model[1], Plain()),
        operator.stand_in(model, x, for_=nn.GELU) as standing,
    ):
        assert standing.places == ("1", "4")
