"""Which operators a Gaudi has."""

from __future__ import annotations

import pytest
import torch

from gaudi_lab import bridge
from gaudi_lab.emulator.device.device_operators import has_kernel

bridge.load()  # the device's own operators come with it

aten = torch.ops.aten


@pytest.mark.parametrize(
    "func",
    [aten.nonzero.default, aten.clamp.Tensor_out, aten.eye.m_out, aten.view.default, aten._to_copy.default,
     torch.ops.hpu.rms_norm.default],
)  # fmt: skip
def test_it_has(func):
    assert has_kernel(func)


@pytest.mark.parametrize(
    "func", [aten.mode.default, aten.unique_consecutive.default, aten._linalg_svd.default]
)
def test_it_has_not(func):
    assert not has_kernel(func)
