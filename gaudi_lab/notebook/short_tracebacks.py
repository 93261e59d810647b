"""Leaves out of a cell's traceback what is not the user's to change: our frames, and those of PyTorch's compiler.

IPython counts what it leaves out, "[... skipping hidden 7 frame]", and shows the last frame in any case. To see all:
``get_ipython().InteractiveTB.skip_hidden = False``, then ``%tb``.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any

from gaudi_lab.errors import chain_of
from gaudi_lab.instruments.handle import Handle

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

HIDDEN = (
    "gaudi_lab",
    "habana_frameworks",
    "torch._decomp",
    "torch._dynamo",
    "torch._functorch",
    "torch._guards",
    "torch._higher_order_ops",
    "torch._inductor",
    "torch._prims_common",
    "torch._refs",
    "torch._subclasses",
    "torch._utils_internal",
    "torch.fx",
)
"""The packages whose frames are left out."""


def follow(shell: InteractiveShell) -> Handle:
    """Shorten the tracebacks of cells, unless somebody else shows them."""
    if shell.custom_exceptions:
        return Handle(lambda: None)

    def show(
        shell: InteractiveShell, kind: type, error: BaseException, traceback: Any, tb_offset: Any
    ) -> None:
        hide(error)
        shell.showtraceback((kind, error, traceback), tb_offset=tb_offset, running_compiled_code=True)

    shell.set_custom_exc((Exception, KeyboardInterrupt), show)
    return Handle(lambda: shell.set_custom_exc((), None))


def hide(error: BaseException) -> None:
    """Mark the frames to leave out of an error's traceback, and of those of the errors behind it."""
    for each in chain_of(error):
        for frame in _frames(each.__traceback__):
            # A module's own frame has the module's names for its locals: a mark would stay there.
            if _is_hidden(frame) and frame.f_locals is not frame.f_globals:
                frame.f_locals["__tracebackhide__"] = True


def _is_hidden(frame: FrameType) -> bool:
    name = frame.f_globals.get("__name__") or ""
    return any(name == package or name.startswith(f"{package}.") for package in HIDDEN)


def _frames(traceback: TracebackType | None) -> Iterator[FrameType]:
    while traceback is not None:
        yield traceback.tb_frame
        traceback = traceback.tb_next
