"""What a rule says is what the host's kernel returns; what it cannot know it leaves to others."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._pytree import tree_leaves

from gaudi_lab.emulator.device.tensor import wrap
from gaudi_lab.emulator.lazy.shape_inference import shape_rules

aten = torch.ops.aten

DTYPES = st.sampled_from([torch.float32, torch.bfloat16, torch.float64])
SIZES = st.lists(st.integers(1, 4), min_size=1, max_size=5)


@st.composite
def tensors(draw, sizes=SIZES, dtypes=DTYPES):
    """Draw a tensor whose dimensions are in any order, now and then with elements between its rows."""
    size = draw(sizes)
    order = draw(st.permutations(range(len(size))))
    wide = draw(st.sampled_from([0, 0, 0, 1]))
    held = torch.rand([*[size[d] for d in order[:-1]], size[order[-1]] + wide]).to(draw(dtypes))
    x = held.narrow(-1, 0, size[order[-1]])
    return x.permute([order.index(d) for d in range(len(size))])


def told(func, *args, **kwargs):
    """Return what the rule says, as the host's result looks."""
    said = shape_rules.tell(func, [wrap(x) if isinstance(x, torch.Tensor) else x for x in args], kwargs)
    if said is None:
        return None
    metas = said if isinstance(said[0], tuple) and not isinstance(said[0], torch.Size) else [said]
    return [(x.size, x.stride, x.dtype) for x in metas]


def agrees(func, *args, **kwargs):
    """Hold what the rule says against the host, and return whether it says anything."""
    said = told(func, *args, **kwargs)
    if said is None:
        return False
    with torch.inference_mode():  # in which a linear layer is seen whole
        out = func(*args, **kwargs)
    assert said == [(x.shape, x.stride(), x.dtype) for x in tree_leaves(out)]
    return True


@given(tensors(), st.sampled_from(["gelu", *shape_rules._POINTWISE.split()]))
@settings(max_examples=300, deadline=None)
def test_what_works_number_by_number(x, name):
    agrees(getattr(aten, name).default, x)


@given(tensors(), st.sampled_from([aten.add, aten.mul, aten.div]), st.sampled_from([2, 0.5]))
@settings(max_examples=200, deadline=None)
def test_a_tensor_and_a_number(x, packet, other):
    agrees(packet.Scalar, x, other)
    agrees(packet.Tensor, x, other)


@given(st.data())
@settings(max_examples=400, deadline=None)
def test_a_tensor_and_one_that_is_spread_over_it(data):
    size = data.draw(SIZES)
    part = [data.draw(st.sampled_from([n, 1])) for n in size[data.draw(st.integers(0, len(size) - 1)) :]]
    pair = [data.draw(tensors(st.just(sizes))) for sizes in (size, part)]
    first, second = data.draw(st.permutations(pair))
    agrees(data.draw(st.sampled_from([aten.add, aten.sub, aten.mul, aten.div])).Tensor, first, second)


@given(tensors(), st.data())
@settings(max_examples=200, deadline=None)
def test_softmax_along_any_dimension(x, data):
    dim = data.draw(st.integers(-x.dim(), x.dim() - 1))
    agrees(aten._softmax.default, x, dim, False)
    agrees(aten._safe_softmax.default, x, dim)


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_linear_and_addmm(data):
    dtype = st.just(data.draw(DTYPES))
    x = data.draw(tensors(dtypes=dtype))
    weight = data.draw(tensors(st.just([3, x.shape[-1]]), dtype))
    bias = data.draw(tensors(st.just([3]), dtype))
    agrees(aten.linear.default, x, weight, data.draw(st.sampled_from([bias, None])))
    if x.dim() == 2:
        agrees(aten.addmm.default, bias, x, weight.t())


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_layer_norm(data):
    x = data.draw(tensors())
    shape = list(x.shape[data.draw(st.integers(0, x.dim() - 1)) :])
    weight = data.draw(st.sampled_from([torch.rand(shape, dtype=x.dtype), None]))
    agrees(aten.native_layer_norm.default, x, shape, weight, None, 1e-5)


X = torch.rand(2, 3)
W, B = torch.rand(4, 3), torch.rand(4)


@pytest.mark.parametrize(
    ("func", "args"),
    [
        (aten.gelu.default, (X,)),
        (aten.add.Tensor, (X, X[0])),
        (aten.add.Tensor, (X[0], X)),
        (aten.mul.Scalar, (X.t(), 2.0)),
        (aten._softmax.default, (X, -1, False)),
        (aten.linear.default, (X, W, B)),
        (aten.linear.default, (X[None], W, None)),
        (aten.addmm.default, (B, X, W.t())),
        (aten.native_layer_norm.default, (X, [3], None, None, 1e-5)),
    ],
)
def test_of_these_a_rule_speaks(func, args):
    assert agrees(func, *args)


@pytest.mark.parametrize(
    ("func", "args", "kwargs"),
    [
        (aten.gelu.default, (X,), {"approximate": "nearly"}),
        (aten.add.Tensor, (X, torch.rand(3, 2)), {}),
        (aten.add.Tensor, (X, X.double()), {}),
        (aten.add.Tensor, (X, X), {"alpha": 2}),
        (aten.add.Tensor, (X, True), {}),
        (aten.exp.default, (torch.arange(3),), {}),
        (aten.relu.default, (torch.rand(0, 3),), {}),
        (aten._softmax.default, (X, 2, False), {}),
        (aten._softmax.default, (X.half(), 1, True), {}),
        (aten.linear.default, (X, W.t(), None), {}),
        (aten.linear.default, (X, W, torch.rand(3)), {}),
        (aten.linear.default, (X, W.double(), None), {}),
        (aten.addmm.default, (B, X, W), {}),
        (aten.native_layer_norm.default, (X, [2], None, None, 1e-5), {}),
        (aten.native_layer_norm.default, (X, [3], torch.rand(2), None, 1e-5), {}),
        (aten.native_layer_norm.default, (X.bfloat16(), [3], None, None, 1e-5), {}),
    ],
)
def test_what_the_host_refuses_or_lays_out_otherwise_is_left_to_it(func, args, kwargs):
    assert told(func, *args, **kwargs) is None
