"""Lines that people write give on the device what they give on the host, or what CUDA documents where they differ."""

from __future__ import annotations

import copy
import io
import json
import math
import operator
import pickle
import statistics
import warnings
import weakref

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn


def saved(x, **options):
    file = io.BytesIO()
    torch.save(x, file)
    file.seek(0)
    return torch.load(file, **options)


NAMES = {
    "F": F, "copy": copy, "io": io, "json": json, "math": math, "nn": nn, "np": np, "operator": operator,
    "pickle": pickle, "saved": saved, "statistics": statistics, "torch": torch, "weakref": weakref,
}  # fmt: skip

# `x` is the matrix [[1.25, -2.5], [3.0, 0.5]], and `loss` its sum, 0-dim.
SAME = """
"%d" % loss
"{:>10.3f}".format(loss)
f"{loss:,.1f}"
f"{loss:e}"
f"{x.max():.1%}"
print(x, file=io.StringIO())
round(x, decimals=1).tolist()
math.floor(loss)
math.ceil(loss)
math.sqrt(x.max())
math.isnan(loss)
abs(loss).item()
float(loss)
complex(loss)
int(x[0, 0])
bool(x.any())
not loss
loss.__index__()
[1, 2, 3][x.argmax()]
operator.index(x.argmax())
list(range(x.argmax()))
(x // 1).tolist()
(x % 2).tolist()
(x ** 2).tolist()
(2 ** x).tolist()
(1 - x).tolist()
(1 / x).tolist()
(x @ x).tolist()
(-x).tolist()
(~(x > 0)).tolist()
((x > 0) & (x < 2)).tolist()
((x > 0) ^ (x < 2)).tolist()
(x.int() << 1).tolist()
(x == x).all().item()
x is x
x.equal(x.clone())
torch.equal(x, x)
torch.allclose(x, x + 1e-9)
torch.isclose(x, x).tolist()
(x == None)
(x != x).any().item()
loss < 5
(loss < 5).item()
max(loss, 3).__class__.__name__
min([v for v in x[0]]).item()
sum(v.item() for v in x.flatten())
any(x[0] > 0)
all(x[0] > 0)
3.0 in x
x[0].tolist()
x[-1, -1].item()
x[:, 1].tolist()
x[..., None].shape
x[None].shape
x[::2].tolist()
x[[1, 0]].tolist()
x[torch.tensor([1, 0])].tolist()
x[torch.tensor([True, False])].tolist()
x[x > 0].tolist()
x[x.argmax(0), 0].tolist()
x[np.array([1, 0])].tolist()
x[np.int64(1)].tolist()
x[loss.long() * 0].tolist()
(lambda y: (y.__setitem__(0, 7.0), y.tolist())[1])(x.clone())
(lambda y: (y.__setitem__((slice(None), 1), torch.tensor([5.0, 6.0])), y.tolist())[1])(x.clone())
(lambda y: (y.__setitem__(y < 0, 0), y.tolist())[1])(x.clone())
(lambda y: (y.__setitem__(0, torch.tensor([5.0, 6.0], device=x.device)), y.tolist())[1])(x.clone())
(lambda y: (y.__iadd__(1), y.tolist())[1])(x.clone())
(lambda y: (y.__imul__(2), y.tolist())[1])(x.clone())
(lambda y: (y.__itruediv__(2), y.tolist())[1])(x.clone())
x.numpy(force=True).tolist()
x.detach().cpu().numpy().tolist()
np.sum(x)
np.mean([v.item() for v in x[0]])
torch.from_numpy(np.ones(2)).to(x.device).tolist()
torch.tensor(np.ones(2), device=x.device).tolist()
torch.as_tensor(np.ones(2), device=x.device).tolist()
torch.tensor([x[0,0], 2.0], device=x.device).tolist()
torch.stack([v for v in x]).tolist()
torch.tensor(x).tolist()
torch.as_tensor(x) is x
x.new_tensor([1, 2]).dtype
x.new_zeros(2).device.type == x.device.type
torch.zeros_like(x).device.type == x.device.type
x.type()
x.type(torch.float16).dtype
x.type("torch.DoubleTensor").device.type
x.type_as(x.double()).dtype
x.dtype
x.layout
x.is_leaf
x.is_contiguous()
x.T.is_contiguous()
x.stride()
x.storage_offset()
x.element_size()
x.nbytes
x.itemsize
x.numel()
x.ndim
x.shape
x.size(0)
x.is_cuda
x.is_meta
x.is_sparse
x.is_floating_point()
x.is_shared()
x.is_inference()
x.device == torch.device(x.device)
torch.is_tensor(x)
isinstance(x, torch.Tensor)
isinstance(nn.Parameter(x), nn.Parameter)
len(x.untyped_storage())
x.untyped_storage().nbytes()
x.storage().size()
x.untyped_storage().data_ptr() == x.data_ptr()
x.data_ptr() == x[0].data_ptr()
x.T.data_ptr() == x.data_ptr()
len({x, loss, x})
x.view(torch.int32).shape
x.view(torch.uint8).tolist()
x.view(torch.bool).view(torch.float32).tolist()
x.view(torch.int16).shape
x.half().view(torch.int16).tolist()
x.view(torch.float64).shape
copy.copy(x).tolist()
copy.deepcopy(x).tolist()
copy.deepcopy([x, x])[0].tolist()
copy.deepcopy(x * 2).tolist()
pickle.loads(pickle.dumps(x)).tolist()
pickle.loads(pickle.dumps(nn.Parameter(x))).requires_grad
pickle.loads(pickle.dumps({"a": x, "b": x[0]}))["b"].tolist()
saved(x, map_location="cpu").device.type
saved(nn.Linear(2, 2).to(x.device).state_dict(), map_location="cpu")["weight"].device.type
saved(x[0]).tolist()
json.dumps(x.tolist())
statistics.mean(x[0].tolist())
(lambda y: (setattr(y, "data", torch.zeros(3, device=x.device)), y.shape)[1])(x.clone())
x.data.tolist()
x.detach().requires_grad
x.clone().requires_grad_().grad
(lambda y: ((y * 2).sum().backward(), y.grad.tolist())[1])(x.clone().requires_grad_())
(lambda y: ((y * 2).sum().backward(), y.grad.zero_().tolist())[1])(x.clone().requires_grad_())
(lambda y: (setattr(y, "grad", torch.ones(2, 2, device=x.device)), y.grad.tolist())[1])(x.clone().requires_grad_())
(lambda y: (setattr(y, "note", 1), y.note)[1])(x.clone())
x.to("cpu").device.type
x.cpu().tolist()
x.to(x).tolist()
x.to(torch.float64).dtype
x.to(x.device) is x
x.to(x.device, copy=True) is x
x.to("cpu", torch.float16, non_blocking=True).dtype
x.double().dtype
x.float() is x
x.contiguous() is x
x.reshape(4).tolist()
x.view(-1).tolist()
x.flatten().tolist()
x.unfold(0, 1, 1).shape
x.chunk(2)[0].tolist()
[v.tolist() for v in x.split(1)]
[v.tolist() for v in x.unbind()]
[v.item() for v in x[0]]
dict(zip("ab", x))["a"].tolist()
sorted(x[0].tolist())
[v.item() for v in reversed(x[0])]
x.sort().values.tolist()
x.topk(1).indices.tolist()
x.max(1)
x.max(1).values.tolist()
x.argmax().item()
x.nonzero().tolist()
x.nonzero(as_tuple=True)[0].tolist()
torch.where(x > 0, x, 0).tolist()
torch.where(x > 0)[0].tolist()
x.unique().tolist()
torch.histc(x, 4).tolist()
x.cumsum(0).tolist()
x.mean().item()
x.std().item()
x.norm().item()
torch.linalg.norm(x).item()
x.isnan().any().item()
hasattr(x, "__cuda_array_interface__")
x.tolist()
x.item()
loss.item()
loss.tolist()
x.clamp(min=0).tolist()
torch.cat([x, x]).shape
(x + torch.tensor(1.0)).tolist()
(x + np.float32(1)).tolist()
(np.float32(1) + x).tolist()
(x + True).tolist()
(x + 1j).dtype
F.one_hot(x.argmax(1), 3).tolist()
F.softmax(x, -1).shape
x.clone().resize_(4).tolist()
x.clone().copy_(torch.zeros(2, 2)).tolist()
torch.zeros(2, 2).copy_(x).tolist()
x.clone().fill_(loss).tolist()
x.clone().index_copy_(0, torch.tensor([0], device=x.device), torch.ones(1, 2, device=x.device)).tolist()
weakref.ref(x)() is x
torch.result_type(x, 1.0)
torch.can_cast(x.dtype, torch.int32)
torch.promote_types(x.dtype, torch.float64)
torch.broadcast_to(x, (3, 2, 2)).shape
x.expand(3, 2, 2).is_contiguous()
x.is_set_to(x)
x.is_same_size(x)
x.data.storage_offset()
x.is_complex()
x.is_signed()
x.is_conj()
x.H.tolist()
x.mT.tolist()
x.real.tolist()
x.dim()
x.nelement()
x.output_nr
x._version
x.grad_fn
(x.clone().requires_grad_() * 2).grad_fn.name()
x.retains_grad
x.is_nested
x.is_quantized
x.element_size() * x.nelement()
""".strip().splitlines()

# Beside what a tensor on CUDA gives, with the name of the device.
OF_A_DEVICE = {
    "repr(x)": "tensor([[ 1.2500, -2.5000],\n        [ 3.0000,  0.5000]], device='hpu:0')",
    "f'{x}'": "tensor([[ 1.2500, -2.5000],\n        [ 3.0000,  0.5000]], device='hpu:0')",
    "str(loss)": "tensor(2.2500, device='hpu:0')",
    "'%s' % loss": "tensor(2.2500, device='hpu:0')",
    "repr(x.int())": "tensor([[ 1, -2],\n        [ 3,  0]], device='hpu:0', dtype=torch.int32)",
    "repr(x[0] > 0)": "tensor([ True, False], device='hpu:0')",
    "repr(x[:0])": "tensor([], device='hpu:0', size=(0, 2))",
    "repr(x[0].clone().requires_grad_())": "tensor([ 1.2500, -2.5000], device='hpu:0', requires_grad=True)",
    "repr(x[0].clone().requires_grad_() * 2)": "tensor([ 2.5000, -5.0000], device='hpu:0', grad_fn=<MulBackward0>)",
    "repr(nn.Parameter(loss))": "Parameter containing:\ntensor(2.2500, device='hpu:0', requires_grad=True)",
    "repr(torch.arange(2000, device=x.device))": "tensor([   0,    1,    2,  ..., 1997, 1998, 1999], device='hpu:0')",
    "repr([loss])": "[tensor(2.2500, device='hpu:0')]",
    "x.device.type": "hpu",
    "x.device.index": 0,
    "x.get_device()": 0,
    "x.is_cpu": False,
    "x.is_hpu": True,
    "x.cpu().hpu().is_hpu": True,
    "torch.ones(2).to(0).device.type": "hpu",
    "x.type()": "torch.hpu.FloatTensor",
    "saved(x).device.type": "hpu",
    "saved({'a': x}, weights_only=True)['a'].device.type": "hpu",
    "copy.deepcopy(nn.Linear(2, 2).to(x.device)).weight.device.type": "hpu",
    "x.untyped_storage().device.type": "hpu",
    "torch.UntypedStorage(4, device='hpu').nbytes()": 4,
    "x.cpu().untyped_storage().hpu().device.type": "hpu",
    "x.cpu().storage().hpu().tolist()": [1.25, -2.5, 3.0, 0.5],
    "(torch.tensor(1.0) + x).device.type": "hpu",
    "torch.tensor([v for v in x[0]]).tolist()": [1.25, -2.5],
    "x.is_pinned()": False,
}

REFUSED = {
    "x.numpy()": "can't convert hpu:0 device type tensor to numpy",
    "np.asarray(x)": "can't convert hpu:0 device type tensor to numpy",
    "np.array([loss])": "can't convert hpu:0 device type tensor to numpy",
    "x * np.ones((2, 2), dtype=np.float32)": "can't convert hpu:0 device type tensor to numpy",
    "round(loss, 2)": "doesn't define __round__ method",
    "json.dumps(loss)": "not JSON serializable",
    "f'{x:.2f}'": "unsupported format string",
    "memoryview(x)": "a bytes-like object is required",
    "x.apply_(lambda v: v)": "only implemented on CPU tensors",
    "torch.from_dlpack(x)": "DLPack cannot hand over an hpu tensor",
    "x.__dlpack__()": "DLPack cannot hand over an hpu tensor",
    "copy.deepcopy(x.requires_grad_() * 2)": "Only Tensors created explicitly by the user",
    "x.clone().requires_grad_().numpy(force=False)": "can't convert hpu:0",
    "x.to('hpu:1')": "hpu:1 does not exist",
    "bool(x)": "Boolean value of Tensor with more than one value is ambiguous",
    "x.item()": "cannot be converted to Scalar",
    "list(loss)": "iteration over a 0-d tensor",
    "x[2]": "out of bounds",
}


def value(line, device):
    x = torch.tensor([[1.25, -2.5], [3.0, 0.5]], device=device)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # many lines here are deprecated, and are written all the same
        found = eval(line, {**NAMES, "x": x, "loss": x.sum()})
    if isinstance(found, torch.Tensor):
        return "tensor", found.tolist(), found.dtype
    return ("array", found.tolist(), found.dtype) if isinstance(found, np.ndarray) else found


def outcome(line, device):
    try:
        return repr(value(line, device)).replace(", device='hpu:0'", "").replace(".hpu.", ".")
    except Exception as error:  # the same line fails in the same way on both
        return type(error).__name__, str(error).replace("HpuTensor", "Tensor")


@pytest.mark.parametrize("line", SAME)
def test_what_a_line_gives_on_the_host(mode, line):
    assert outcome(line, "hpu") == outcome(line, "cpu")


@pytest.mark.parametrize("line", OF_A_DEVICE)
def test_what_a_line_gives_on_any_device(mode, line):
    assert value(line, "hpu") == OF_A_DEVICE[line]


@pytest.mark.parametrize("line", REFUSED)
def test_what_a_line_is_refused_with(mode, line):
    with pytest.raises((TypeError, ValueError, RuntimeError, IndexError, BufferError)) as caught:
        value(line, "hpu")
    assert REFUSED[line] in str(caught.value)
