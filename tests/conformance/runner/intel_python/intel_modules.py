"""Lets modules of the emulated bridge be Intel's own, on stand-ins for its compiled ones.

The stand-ins are backed by the emulator, so what runs is Intel's graphs, metrics, streams, memory and fused operators
in Python, on the emulated device. `TAKEN` says which modules are Intel's; the rest of the bridge stays the emulated
one: what loads it, what it changes in PyTorch, and `torch.compile`, which all belong to the compiled library.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

_BRIDGE = "habana_frameworks.torch"
TAKEN = (
    f"{_BRIDGE}.core.quantization",
    f"{_BRIDGE}.core.step_closure",
    f"{_BRIDGE}.core.torch_overwrites",  # its definitions; nothing calls what it does to PyTorch
    f"{_BRIDGE}.hpex",
    f"{_BRIDGE}.hpu",
    f"{_BRIDGE}.internal.fuse_conv_bn",
    f"{_BRIDGE}.utils._weights_only_unpickler",
    f"{_BRIDGE}.utils.experimental",
)
STAND_INS = {
    f"{_BRIDGE}._core_C": "stand_in_core",
    f"{_BRIDGE}._hpex_C": "stand_in_hpex",
    f"{_BRIDGE}._hpu_C": "stand_in_hpu",
    f"{_BRIDGE}.utils._experimental_C": "stand_in_experimental",
}


class IntelFinder:
    """The first finder of all: knows Intel's modules and the stand-ins."""

    def __init__(self, sources: Path) -> None:
        self._sources = sources

    def find_spec(
        self,
        name: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> importlib.machinery.ModuleSpec | None:
        """Return the spec of a module that is taken from Intel or stood in for."""
        here = Path(__file__).parent
        if name in STAND_INS:
            return importlib.util.spec_from_file_location(name, here / f"{STAND_INS[name]}.py")
        if not any(name == taken or name.startswith(taken + ".") for taken in TAKEN):
            return None
        file = self._sources.joinpath(*name.split("."))
        if (file / "__init__.py").exists():
            spec = importlib.util.spec_from_file_location(
                name, file / "__init__.py", submodule_search_locations=[str(file)]
            )
        elif not file.with_suffix(".py").exists():
            return None
        else:
            spec = importlib.util.spec_from_file_location(name, file.with_suffix(".py"))
        if name == f"{_BRIDGE}.hpu" and spec is not None:
            assert isinstance(spec.loader, importlib.machinery.SourceFileLoader)
            spec.loader = _DeviceModuleLoader(name, spec.loader.path)
        return spec


class _DeviceModuleLoader(importlib.machinery.SourceFileLoader):
    """Adds what PyTorch asks of a device that is not built into it. Intel's fork has its device built in."""

    def exec_module(self, module: ModuleType) -> None:
        import operator_stand_ins
        import torch

        operator_stand_ins.install()
        super().exec_module(module)

        for name, value in {
            "_is_in_bad_fork": lambda: False,
            "get_amp_supported_dtype": lambda: [torch.bfloat16, torch.float16],
            "is_current_stream_capturing": getattr(module, "is_current_stream_capturing", lambda: False),
        }.items():
            setattr(module, name, value)


def install(sources: str) -> None:
    """Put the finder before all others.

    Parameters
    ----------
    sources
        The folder ``python_packages`` of the bridge's sources.
    """
    sys.dont_write_bytecode = True  # the sources are only read
    sys.meta_path.insert(0, IntelFinder(Path(sources)))
