"""`torch.export` of a module on the device."""

from __future__ import annotations

import io

import pytest
import torch

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
