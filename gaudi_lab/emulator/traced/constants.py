"""Constants in a traced graph: one that a program moves to the device is none any more for the compiler.

PyTorch's fake tensors compute on small constants while they trace, `torch.tensor(1.0).to(device)` included, and keep
the result as a constant. A tensor of the device is a subclass, which they cannot keep.
"""

from __future__ import annotations

from typing import Any

from torch._subclasses.fake_tensor import FakeTensorMode

from gaudi_lab.emulator.device.tensor import HpuTensor


def register() -> None:
    """Let no tensor of the device become a constant of a fake mode."""
    stock = FakeTensorMode.may_turn_const

    def may_turn_const(self: FakeTensorMode, t: Any) -> bool:
        return not isinstance(t, HpuTensor) and stock(self, t)

    FakeTensorMode.may_turn_const = may_turn_const  # type: ignore[method-assign]
