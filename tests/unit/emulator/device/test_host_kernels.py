"""The functions that stand for an overload reach it, and no other, whatever it is dispatched with."""

from __future__ import annotations

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from gaudi_lab.emulator.device import host_kernels
from gaudi_lab.emulator.device.host_kernels import host_kernel
from gaudi_lab.emulator.device.random import is_random
from gaudi_lab.emulator.device.schema import written

aten = torch.ops.aten

X = torch.rand(4, 4) + 0.5
ROW = torch.rand(4) + 0.5
IMAGE = torch.rand(2, 4, 3, 3)
NUMBERS = (2, 2.5, True, 1 + 2j)

# For each overload what it may be given: also the numbers that PyTorch passes in the place of tensors.
GIVEN = {
    aten._log_softmax.default: [((X, -1, False), {})],
    aten._safe_softmax.default: [((X, -1), {}), ((X, -1), {"dtype": torch.float64})],
    aten._softmax.default: [((X, -1, False), {})],
    aten.add.Tensor: [((X, X), {"alpha": 2}), ((X, ROW), {}), *[((X, x), {}) for x in NUMBERS]],
    aten.addmm.default: [((ROW, X, X), {}), ((ROW, X, X), {"beta": 2, "alpha": 0.5})],
    aten.baddbmm.default: [((X, X[None], X[None]), {"beta": 2, "alpha": 0.5})],
    aten.bmm.default: [((X[None], X[None]), {})],
    aten.cat.default: [(([X, X],), {}), (([X, X.double()], -1), {})],
    aten.clone.default: [((X,), {}), ((X,), {"memory_format": torch.contiguous_format})],
    aten.convolution.default: [
        ((IMAGE, torch.rand(2, 4, 3, 3), bias, [1, 1], [1, 1], [1, 1], False, [0, 0], 1), {})
        for bias in (None, torch.rand(2))
    ],
    aten.div.Tensor: [((X, X), {}), *[((X, x), {}) for x in NUMBERS]],
    aten.embedding.default: [
        ((X, torch.tensor([1, 2]), -1, False, False), {}),
        ((X, torch.tensor([1, 2])), {}),
    ],
    aten.expand.default: [((X, [2, 4, 4]), {}), ((X, [2, -1, 4]), {"implicit": True})],
    aten.gelu.default: [((X,), {}), ((X,), {"approximate": "tanh"})],
    aten.linear.default: [((X, X), {}), ((X[None], X, ROW), {})],
    aten.matmul.default: [((X, X), {}), ((X[None], ROW), {})],
    aten.mean.dim: [((X, [-1], True), {}), ((X, None), {}), ((X, []), {"dtype": torch.float64})],
    aten.mm.default: [((X, X), {})],
    aten.mul.Tensor: [((X, X), {}), ((X, torch.tensor(2.0)), {}), *[((X, x), {}) for x in NUMBERS]],
    aten.native_group_norm.default: [((IMAGE, ROW, ROW, 2, 4, 9, 2, 1e-5), {})],
    aten.native_layer_norm.default: [((X, [4], ROW, ROW, 1e-5), {}), ((X, [4], None, None, 1e-5), {})],
    aten.permute.default: [((X, [1, 0]), {})],
    aten.select.int: [((X, 0, -1), {})],
    aten.sub.Tensor: [((X, X), {"alpha": 2}), *[((X, x), {}) for x in NUMBERS if x is not True]],
    aten.transpose.int: [((X, 0, -1), {})],
    aten.unsqueeze.default: [((X, -1), {})],
    aten.upsample_nearest2d.default: [((IMAGE, [6, 6]), {}), ((IMAGE, [6, 6], 2.0, 2.0), {})],
    aten.view.default: [((X, [2, -1]), {})],
    aten.where.self: [((X > 1, X, ROW), {}), ((X > 1, X, torch.tensor(2.0)), {})],
}


class Seen(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.operators = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.operators.append(func)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("func", host_kernels._GENERATED, ids=str)
def test_a_generated_function_reaches_just_the_overload_that_it_stands_for(func):
    for args, kwargs in GIVEN.get(func, [((X,), {})]):
        with torch.inference_mode(), Seen() as seen:  # where an operator made of others is seen whole
            found = host_kernel(func)(*args, **kwargs)
        expected = func(*args, **kwargs)

        assert seen.operators[0] is func, args
        if not isinstance(found, tuple):
            found, expected = (found,), (expected,)
        for x, y in zip(found, expected, strict=True):
            assert torch.equal(x, y)
            assert x.stride() == y.stride()
            assert x.dtype == y.dtype


def test_no_overload_that_draws_or_writes_has_another_entry():
    for func in host_kernels._GENERATED:
        assert not is_random(func)
        assert not written(func, [X] * len(func._schema.arguments), {})


def test_an_overload_without_a_generated_function_has_its_own_entry():
    assert host_kernel(aten.mul.Scalar) is aten.mul.Scalar._op
