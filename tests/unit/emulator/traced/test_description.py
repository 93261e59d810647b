"""`torch.export` of a module on the device."""

from __future__ import annotations

import io

import pytest
import torch
from torch.export.passes import move_to_device_pass

pytestmark = pytest.mark.usefixtures("mode")


class _Module(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(4, 8)
        self.norm = torch.nn.LayerNorm(8)
        self.register_buffer("shift", torch.arange(8.0))

    def forward(self, x):
        return self.norm(torch.relu(self.linear(x))) + self.shift + torch.arange(8, device=x.device)


@pytest.mark.filterwarnings("ignore:While compiling, we found certain side effects:UserWarning")
@pytest.mark.parametrize("strict", [False, True])
def test_an_exported_program_runs_on_the_device_and_returns_what_the_module_does(strict):
    torch.manual_seed(0)
    module, x = _Module().eval(), torch.randn(2, 4)
    expected = module(x)
    exported = torch.export.export(module.to("hpu"), (x.to("hpu"),), strict=strict)
    found = exported.module()(x.to("hpu"))
    assert found.device.type == "hpu"
    assert torch.equal(found.cpu(), expected)

    file = io.BytesIO()
    torch.export.save(exported, file)
    file.seek(0)
    assert torch.equal(torch.export.load(file).module()(x.to("hpu")).cpu(), expected)


class _OfTwo(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(4, 3)

    def forward(self, x, y):
        return self.linear(x).relu() + self.linear(y).sum()


@pytest.mark.filterwarnings("ignore:While compiling, we found certain side effects:UserWarning")
@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("related", [False, True], ids=["two names", "one derived"])
def test_dimensions_with_a_name_vary_in_an_exported_program_within_their_range(strict, related):
    rows = torch.export.Dim("rows", min=2, max=64)
    others = rows + 1 if related else torch.export.Dim("others", min=2)
    module = _OfTwo().to("hpu")

    def arguments(n):
        return torch.randn(n, 4, device="hpu"), torch.randn(n + 1, 4, device="hpu")

    exported = torch.export.export(
        module, arguments(5), dynamic_shapes={"x": {0: rows}, "y": {0: others}}, strict=strict
    ).module()
    for n in (5, 7):
        given = arguments(n)
        torch.testing.assert_close(exported(*given).cpu(), module(*given).cpu())
    with pytest.raises(AssertionError, match=r"x\.size\(\)\[0\] <= 6[34]"):
        exported(*arguments(100))


@pytest.mark.filterwarnings("ignore:`isinstance:FutureWarning")  # PyTorch copies a class that it deprecates
def test_an_exported_program_is_decomposed_on_the_host_and_moved():
    module, x = _Module().eval(), torch.randn(2, 4)
    expected = module(x)
    exported = torch.export.export(module, (x,)).run_decompositions()
    moved = move_to_device_pass(exported, "hpu")
    torch.testing.assert_close(moved.module()(x.to("hpu")).cpu(), expected)

    on_device = torch.export.export(module.to("hpu"), (x.to("hpu"),))
    with pytest.raises(RuntimeError, match=r"torch\.export\.passes\.move_to_device_pass"):
        on_device.run_decompositions()
