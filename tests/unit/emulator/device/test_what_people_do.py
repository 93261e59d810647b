"""Lines that people write, each beside what the same line gives for a tensor on the host."""

from __future__ import annotations

import copy
import io
import pickle

import numpy as np
import pytest
import torch
from torch import nn


def saved(x):
    file = io.BytesIO()
    torch.save(x, file)
    file.seek(0)
    return torch.load(file)


# Each is given a matrix of floats [[1.25, -2.5], [3.0, 0.5]] and its 0-dim loss.
LINES = {
    "f'{loss:.4f}'": lambda x, loss: f"{loss:.4f}",
    "format with requires_grad": lambda x, loss: f"{(loss.clone().requires_grad_() * 2):.3e}",
    "'{:.2f}'.format": lambda x, loss: "{:.2f}".format(loss),  # noqa: UP032
    "f'{loss}'": lambda x, loss: f"{loss}",
    "f'{count:d}'": lambda x, loss: f"{(x > 0).sum():d}",
    "f'{hit:>5}'": lambda x, loss: f"{(x > 0).any():>5}",
    "'%.3f' %": lambda x, loss: "%.3f" % loss,  # noqa: UP031
    "round(float)": lambda x, loss: round(float(loss), 2),
    "round(item)": lambda x, loss: round(loss.item(), 2),
    "torch.round": lambda x, loss: torch.round(loss, decimals=1).item(),
    "int": lambda x, loss: int(loss),
    "bool": lambda x, loss: bool(loss > 0),
    "len": lambda x, loss: len(x),
    "list": lambda x, loss: [row.tolist() for row in x],
    "in": lambda x, loss: 3.0 in x,
    "==": lambda x, loss: (x == 3).tolist(),
    "max": lambda x, loss: max(x[0]).item(),
    "sum": lambda x, loss: sum(x).tolist(),
    "sorted": lambda x, loss: [v.item() for v in sorted(x[1])],
    "unpack": lambda x, loss: [v.item() for v in (lambda a, b: (b, a))(*x[0])],
    "index": lambda x, loss: [10, 20, 30][x.argmax() // 2],
    "range": lambda x, loss: list(range((x > 0).sum())),
    "mask": lambda x, loss: x[x > 0].tolist(),
    "numpy": lambda x, loss: x.cpu().numpy().sum(),
    "np.array": lambda x, loss: np.array(x.tolist()).tolist(),
    "+=": lambda x, loss: x.clone().add_(1).tolist(),
    "x[0] = ": lambda x, loss: x.clone().index_fill_(0, torch.tensor([0], device=x.device), 9.0).tolist(),
    "copy.copy": lambda x, loss: copy.copy(x).tolist(),
    "copy.deepcopy": lambda x, loss: copy.deepcopy(x).tolist(),
    "pickle": lambda x, loss: pickle.loads(pickle.dumps(x)).tolist(),
    "torch.save": lambda x, loss: saved(x).tolist(),
    "hash": lambda x, loss: len({x: 1, loss: 2}),
    "view bool and back": lambda x, loss: x.view(torch.bool).view(torch.float32).tolist(),
    "view uint8": lambda x, loss: x.view(torch.uint8).tolist(),
    "view int32 and back": lambda x, loss: (x.view(torch.int32) + 0).view(torch.float32).tolist(),
    "dtype by name": lambda x, loss: x.type().replace(".hpu", ""),
}


@pytest.mark.parametrize("line", LINES)
def test_a_line_gives_what_it_gives_on_the_host(mode, line):
    host = torch.tensor([[1.25, -2.5], [3.0, 0.5]])
    for _ in range(2):
        device = host.to("hpu")
        assert LINES[line](device, device.mean()) == LINES[line](host, host.mean())


def test_what_no_tensor_can_be_formatted_as(mode):
    for device in ("cpu", "hpu"):
        with pytest.raises(TypeError, match="unsupported format string"):
            f"{torch.ones(2, device=device):.2f}"


@pytest.mark.parametrize("kind", [lambda x: x, nn.Parameter], ids=["tensor", "parameter"])
@pytest.mark.parametrize(("before", "after"), [("cpu", "hpu"), ("hpu", "cpu")])
def test_data_of_another_device_moves_the_tensor(mode, kind, before, after):
    tensor = kind(torch.zeros(2, device=before))
    tensor.tag = "mine"
    is_parameter, needs_grad = isinstance(tensor, nn.Parameter), tensor.requires_grad
    other = torch.tensor([1.0, 2.0, 3.0], device=after)
    tensor.data = other
    assert tensor.device.type == after
    assert tensor.tag == "mine"
    assert (isinstance(tensor, nn.Parameter), tensor.requires_grad) == (is_parameter, needs_grad)
    tensor.data.add_(1)
    assert tensor.tolist() == other.tolist() == [2.0, 3.0, 4.0]
    tensor.data = torch.zeros(1, device=after)
    assert tensor.tolist() == [0.0]


def test_a_model_is_offloaded_and_brought_back(mode):
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)).to("hpu")
    held = list(model.parameters())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model(torch.ones(3, 2, device="hpu")).sum().backward()
    for device in ("cpu", "hpu"):
        for x in (*model.parameters(), *model.buffers()):
            x.data = x.data.to(device)
        assert all(
            x is y and y.grad.device.type == device for x, y in zip(held, model.parameters(), strict=True)
        )
        optimizer.step()
        optimizer.zero_grad(set_to_none=False)
        model(torch.ones(3, 2, device=device)).sum().backward()


def test_old_names_of_types(mode):
    x = torch.hpu.FloatTensor([1, 2])
    assert (x.type(), x.tolist()) == ("torch.hpu.FloatTensor", [1.0, 2.0])
    assert torch.hpu.LongTensor(2, 3).shape == (2, 3)
    assert isinstance(x, torch.hpu.FloatTensor)
    assert not isinstance(x.long(), torch.hpu.FloatTensor)
    assert not isinstance(x.cpu(), torch.hpu.FloatTensor)
    assert torch.ones(2).type(torch.hpu.LongTensor).type() == "torch.hpu.LongTensor"
