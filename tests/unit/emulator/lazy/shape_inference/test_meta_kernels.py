"""What a kernel for meta tensors says is what the host's kernel returns."""

from __future__ import annotations

import itertools
import warnings

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from gaudi_lab.emulator.device.tensor import wrap
from gaudi_lab.emulator.lazy.shape_inference.meta_kernels import OPERATORS, run_on_meta

aten = torch.ops.aten


def laid(out):
    return [
        (x.shape, x.stride(), x.storage_offset(), x.dtype) if isinstance(x, torch.Tensor) else x
        for x in tree_leaves(out)
    ]


X = torch.rand(3, 4)
IMAGE = torch.rand(2, 3, 6, 5).to(memory_format=torch.channels_last)
# What no sample of the same name reaches.
MORE = [
    *[
        (getattr(aten, name).Scalar, (X.t(), 0.5))
        for name in ("add", "div", "mul", "rsub", "eq", "ne", "lt", "le", "gt", "ge")
    ],
    (aten._safe_softmax.default, (X.t(), -1)),
    (aten._unsafe_view.default, (X, [2, -1])),
    (aten.add_.Tensor, (X.clone(), X[0])),
    (aten.clamp.default, (X.t(), 0.2, None)),
    (aten.copy_.default, (X.clone(), X[0])),
    (aten.masked_fill_.Scalar, (X.clone(), X > 0.5, 0)),
    (aten.max_pool2d_with_indices.default, (IMAGE, [2, 2])),
    (aten.mul_.Tensor, (X.clone(), X[0])),
    (aten.pow.Tensor_Scalar, (X.t(), 2)),
    (aten.upsample_nearest2d.default, (IMAGE, [7, 9])),
]


class Compared(TorchDispatchMode):
    """Holds each operator that runs on the host against its kernel for meta tensors."""

    def __init__(self):
        super().__init__()
        self.differing = {}
        self.agreeing = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        given = [x for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
        plain = all(x.layout is torch.strided and not x.is_conj() and not x.is_neg() for x in given)
        said = None
        if func in OPERATORS and plain:
            said = run_on_meta(func, on_device(args), {name: on_device(x) for name, x in kwargs.items()})
        out = func(*args, **kwargs)
        if said is not None:
            if laid(said) == laid(out):
                self.agreeing.add(func)
            else:
                self.differing[func] = laid(given), laid(said), laid(out)
        return out


def on_device(x):
    if isinstance(x, torch.Tensor):
        return wrap(x.detach())
    return [on_device(y) for y in x] if isinstance(x, (list, tuple)) else x


@pytest.fixture(scope="module")
def compared():
    # Only here: the worker that does not run this need not wait for it.
    from torch.testing._internal.common_methods_invocations import op_db

    torch.manual_seed(0)
    seen = Compared()
    with torch.no_grad(), seen:
        for func, args in MORE:
            func(*args)
    packets = {func.overloadpacket.__name__.strip("_") for func in OPERATORS}
    for op in op_db:
        if packets.isdisjoint({op.name.rpartition(".")[2].strip("_"), op.aten_name.strip("_")}):
            continue
        for dtype in (
            torch.float32,
            torch.bfloat16,
            torch.float16,
            torch.float64,
            torch.int64,
            torch.int32,
            torch.bool,
            torch.complex64,
        ):
            if not op.supports_dtype(dtype, "cpu") or "sparse" in op.name:
                continue
            # Not `op.sample_inputs`, which looks through all modules for the test that asks.
            for sample in itertools.islice(op.sample_inputs_func(op, "cpu", dtype, False), 20):
                # In inference mode an operator made of others is seen whole.
                whole = op.name in ("matmul", "nn.functional.linear")
                with torch.inference_mode(whole), torch.no_grad(), warnings.catch_warnings(), seen:
                    warnings.simplefilter("ignore")
                    op.op(sample.input, *sample.args, **sample.kwargs)
    return seen


def test_it_agrees_with_the_host_on_pytorchs_own_samples(compared):
    assert compared.differing == {}


def test_each_of_the_operators_was_among_the_samples(compared):
    assert OPERATORS - compared.agreeing == set()
