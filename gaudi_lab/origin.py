"""Where in somebody's program something happens: which line, not of a library, and in which module."""

from __future__ import annotations

import functools
import inspect
import os
import site
import sysconfig
import warnings
import weakref
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import nn


# The frame of every call of a module is one of its functions. Not imported: this is used before torch is there.
_MODULES = "torch.nn.modules.module"


class Line(NamedTuple):
    """A line of source.

    Attributes
    ----------
    file
        The name of the file as Python knows it; of a notebook's cell, a made-up one.
    number
        From 1.
    """

    file: str
    number: int


class Origin(NamedTuple):
    """Where something comes from.

    Attributes
    ----------
    line
        The innermost line that belongs to no library; None if all do.
    call
        The line outside of all modules that led there.
    outer, inner
        The outermost module that was being called, and the innermost. Neither is kept alive.
    """

    line: Line | None
    call: Line | None
    outer: weakref.ref[nn.Module] | None
    inner: weakref.ref[nn.Module] | None

    @property
    def module(self) -> str:
        """The path of the innermost module in the outermost one; empty if it is the same, or either is gone."""
        outer, inner = (ref() if ref is not None else None for ref in (self.outer, self.inner))
        if outer is None or inner is None:
            return ""
        return next((name for name, module in outer.named_modules() if module is inner), "")


watched = False
"""Whether anybody wants to know: walking the stack costs about ten microseconds for every new step."""


def here() -> Origin | None:
    """Return where the running step comes from; None while nobody wants to know."""
    return trace(inspect.currentframe()) if watched else None


def trace(innermost: FrameType | None) -> Origin:
    """Return what is known of a frame and of those that called it."""
    line: Line | None = None
    call: Line | None = None
    modules: list[nn.Module] = []
    for frame in frames(innermost):
        code = frame.f_code
        if (module := _called(frame)) is not None:
            modules.append(module)
            call = None
        elif (line is None or call is None) and not is_library(code.co_filename):
            found = Line(code.co_filename, frame.f_lineno)
            line = line or found
            call = call or found
    outer, inner = (weakref.ref(modules[-1]), weakref.ref(modules[0])) if modules else (None, None)
    return Origin(line, call, outer, inner)


def running_modules(innermost: FrameType | None) -> list[nn.Module]:
    """Return the modules that are being called around a frame, innermost first."""
    return [module for frame in frames(innermost) if (module := _called(frame)) is not None]


def _called(frame: FrameType) -> nn.Module | None:
    """Return the module whose call a frame is; None for another frame."""
    if frame.f_code.co_name == "_call_impl" and frame.f_globals.get("__name__") == _MODULES:
        module: nn.Module = frame.f_locals["self"]
        return module
    return None


def caller() -> Line | None:
    """Return the innermost line that belongs to no library; None if all do."""
    # Asked at each call of a watched model: a plain loop takes half as long as `frames`.
    frame = inspect.currentframe()
    while frame is not None:
        if not is_library(file := frame.f_code.co_filename):
            return Line(file, frame.f_lineno)
        frame = frame.f_back
    return None


def warn(text: str) -> None:
    """Warn of something at the innermost line that belongs to no library: the line that its author can change."""
    frame = next((x for x in frames(inspect.currentframe()) if not is_library(x.f_code.co_filename)), None)
    if frame is None:
        warnings.warn(text, stacklevel=2)
        return
    module, told = frame.f_globals, frame.f_globals.setdefault("__warningregistry__", {})
    warnings.warn_explicit(
        text,
        UserWarning,
        frame.f_code.co_filename,
        frame.f_lineno,
        module.get("__name__"),
        told,
    )


def frames(frame: FrameType | None) -> Iterator[FrameType]:
    """Yield `frame` and those that called it."""
    while frame is not None:
        yield frame
        frame = frame.f_back


@functools.cache
def is_library(file: str) -> bool:
    """Return True for a file of Python, of an installed package, or of this one."""
    return file.startswith(("<frozen", "<string", "<eval", "<__array")) or file.startswith(_LIBRARIES)


_LIBRARIES = tuple(
    {
        os.path.join(os.path.abspath(str(path)), "")
        for path in (
            *(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")),
            *site.getsitepackages(),
            Path(__file__).parent,  # this package
        )
    }
)
