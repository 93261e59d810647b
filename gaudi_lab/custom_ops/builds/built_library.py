"""Operators that were built for Intel's bridge: loaded by the documented way, the wrong build refused.

Such a library is linked with one of the bridge's own, and those differ by mode and by PyTorch; see `variant`.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import torch

from gaudi_lab.errors import LabError, LabValueError
from gaudi_lab.instruments import operator_ways

KERNELS_VARIABLE = "GC_KERNEL_PATH"
"""Names the libraries of TPC kernels, ours before Intel's own."""

_INTELS_KERNELS = "/usr/lib/habanalabs/libtpc_kernels.so"
_PLUGIN = re.compile(rb"libhabana_pytorch(2?)_plugin(\.upstream)?\.so")


def variant() -> str:
    """Return which build this process needs, such as "eager-upstream"; "emulated" without Intel's bridge."""
    return operator_ways.build()


def variant_of(library: Path) -> str | None:
    """Return for which bridge a library was built, such as "lazy-fork"; None if it names none."""
    found = _PLUGIN.search(library.read_bytes())
    if found is None:
        return None
    return f"{'eager' if found[1] else 'lazy'}-{'upstream' if found[2] else 'fork'}"


def load(library: str | Path, *, kernels: str | Path | None = None) -> None:
    """Load the operators of a library: `torch.ops` has them then.

    Parameters
    ----------
    library
        What `setup.py build` has made.
    kernels
        A library of TPC kernels, put into ``GC_KERNEL_PATH``.

    Raises
    ------
    LabValueError
        A file is not there.
    LabError
        The library was built for another mode, another PyTorch, or for a bridge that is not here.
    """
    path = Path(library)
    for needed in filter(None, [path, Path(kernels) if kernels else None]):
        if not needed.is_file():
            raise LabValueError(f"There is no library {needed}.", python="!python setup.py build")
    found, here = variant_of(path), variant()
    if found is not None and found != here:
        raise LabError(_wrong_build(path, found, here), python=_remedy(here))
    if kernels is not None:
        _name_kernels(Path(kernels))
    try:
        torch.ops.load_library(str(path))
    except OSError as error:
        text = str(
            error.__cause__ or error
        )  # PyTorch names the file alone, what is wrong comes from the linker
        if "undefined symbol" in text:
            raise LabError(
                f"{path.name} was built for another PyTorch than this {torch.__version__}. ({text})",
                python="!python setup.py build",
            ) from error
        raise LabError(f"{path.name} cannot be loaded: {text}") from error


def _wrong_build(path: Path, found: str, here: str) -> str:
    built = f"{path.name} was built for {_words(found)}"
    if here == "emulated":
        return f"{built}, and this process has the emulated bridge, which runs the body in Python."
    return f"{built}, and this process has {_words(here)}."


def _words(build: str) -> str:
    mode, _, pytorch = build.partition("-")
    return f"{mode} mode with {_PYTORCHS[pytorch]}"


_PYTORCHS = {"fork": "Intel's fork of PyTorch", "upstream": "the public PyTorch"}


def _remedy(here: str) -> str | None:
    if here == "emulated":
        return None
    return f"!PT_HPU_LAZY_MODE={int(here.startswith('lazy'))} python setup.py build"


def _name_kernels(kernels: Path) -> None:
    named = [name for name in os.environ.get(KERNELS_VARIABLE, _INTELS_KERNELS).split(os.pathsep) if name]
    if str(kernels) not in named:
        os.environ[KERNELS_VARIABLE] = os.pathsep.join([str(kernels), *named])
