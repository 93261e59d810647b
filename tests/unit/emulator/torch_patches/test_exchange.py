"""DLPack: a tensor of the device is handed to no other library, in the protocol's own exception."""

from __future__ import annotations

import numpy
import pytest
import torch


@pytest.mark.parametrize(
    "hand_over",
    [torch.from_dlpack, torch.utils.dlpack.from_dlpack, numpy.from_dlpack, lambda x: torch.to_dlpack(x)],
    ids=["torch", "torch.utils", "numpy", "capsule"],
)
def test_the_device_is_refused_and_the_host_is_not(mode, hand_over):
    x = torch.arange(3.0)
    assert hand_over(x) is not None
    with pytest.raises(BufferError, match=r"cannot hand over an hpu tensor.*tensor\.cpu\(\)"):
        hand_over(x.to("hpu"))
