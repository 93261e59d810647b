"""What PyTorch takes down of a tensor before it makes a fake one: wrapper and host have memory of their own there.

`torch.export` without Dynamo makes fake weights while no mode says that anything is traced. To decompose an exported
program it takes a tensor of the device apart into wrapper and host, and what comes out runs nowhere.
"""

from __future__ import annotations

from typing import Any

from torch._subclasses.meta_utils import MetaTensorDescriber

from gaudi_lab.emulator.device.tensor import HpuTensor, described
from gaudi_lab.on_import import when_loaded


def register() -> None:
    """Let a tensor of the device know while it is described, and refuse to decompose a program that holds some."""
    when_loaded("torch.export.exported_program", _refuse_decompositions)
    stock: Any = MetaTensorDescriber.describe_tensor

    def describe_tensor(self: MetaTensorDescriber, *args: Any, **kwargs: Any) -> Any:
        outer, described.now = described.now, True
        try:
            return stock(self, *args, **kwargs)
        finally:
            described.now = outer

    MetaTensorDescriber.describe_tensor = describe_tensor  # type: ignore[method-assign]


def _refuse_decompositions() -> None:
    from torch.export import ExportedProgram

    stock: Any = ExportedProgram.run_decompositions

    def run_decompositions(self: ExportedProgram, *args: Any, **kwargs: Any) -> Any:
        if any(isinstance(x, HpuTensor) for x in self.state_dict.values()):
            raise RuntimeError(
                "A program that was exported on the emulated hpu cannot be decomposed there. Do so on the host, and "
                "move what comes out: torch.export.export(module.cpu(), args).run_decompositions(), and then "
                "torch.export.passes.move_to_device_pass(program, 'hpu')"
            )
        return stock(self, *args, **kwargs)

    ExportedProgram.run_decompositions = run_decompositions  # type: ignore[method-assign]
