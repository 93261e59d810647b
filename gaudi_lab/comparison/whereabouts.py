"""Where something was measured: what has to be the same for two times to be comparable."""

from __future__ import annotations

import importlib.metadata
import os
import platform

from gaudi_lab import bridge

_LIBRARIES = ("torch", "transformers", "diffusers", "accelerate", "gaudi-lab")
_VARIABLES = ("PT_HPU", "PT_", "HABANA", "GAUDI_LAB", "OMP_", "LOG_LEVEL")


def take_fingerprint() -> dict[str, str]:
    """Return versions, device, threads, machine, and the variables that a bridge reads."""
    import torch

    found = {
        "device": str(bridge.identity()),
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "system": platform.system(),
        "threads": str(torch.get_num_threads()),
    }
    installed = {name: version for name in _LIBRARIES if (version := _version(name))}
    return {**found, **installed, **variables()}


def variables() -> dict[str, str]:
    """Return the variables of the environment that a bridge or what runs on it reads."""
    return {
        name: value
        for name, value in sorted(os.environ.items())
        if name.startswith(_VARIABLES) and "TOKEN" not in name and "KEY" not in name
    }


def _version(library: str) -> str:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return ""
