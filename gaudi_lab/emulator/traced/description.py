"""What PyTorch takes down of a tensor before it makes a fake one: wrapper and host have memory of their own there.

`torch.export` without Dynamo makes fake weights while no mode says that anything is traced.
"""

from __future__ import annotations

from typing import Any

from torch._subclasses.meta_utils import MetaTensorDescriber

from gaudi_lab.emulator.device.tensor import described


def register() -> None:
    """Let a tensor of the device know while it is described."""
    stock: Any = MetaTensorDescriber.describe_tensor

    def describe_tensor(self: MetaTensorDescriber, *args: Any, **kwargs: Any) -> Any:
        outer, described.now = described.now, True
        try:
            return stock(self, *args, **kwargs)
        finally:
            described.now = outer

    MetaTensorDescriber.describe_tensor = describe_tensor  # type: ignore[method-assign]
