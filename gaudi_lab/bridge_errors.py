"""Errors of the bridge in plain words: what they mean, what the machine says beside them, and the line to run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gaudi_lab.emulator.process.mode import LAZY_VARIABLE
from gaudi_lab.errors import LabError
from gaudi_lab.machine import habana_logs, holders
from gaudi_lab.settings import HPU_GRAPHS


@dataclass(frozen=True)
class KnownError:
    """An error of the bridge.

    Attributes
    ----------
    part
        A part of its text, by which it is known.
    meaning
        What it means, as full sentences.
    line
        The line to run, if there is one.
    looked_up
        What the machine says now, as full sentences; empty if it says nothing.
    """

    part: str
    meaning: str
    line: str | None = None
    looked_up: Callable[[], str] = lambda: ""


def who_holds_it() -> str:
    """Say which other processes have a Gaudi open."""
    found = holders.find()
    if not found:
        return "Which one cannot be seen from here: it may be another user's, or in another container."
    return f"It is {'; '.join(map(str, found))}."


def _why_not_compiled() -> str:
    errors = habana_logs.errors_just_now()
    if not errors:
        return (
            f"Nothing about it is in the logs below {habana_logs.folder()}; HABANA_LOGS says where they are."
        )
    return f"The logs below {habana_logs.folder()} say: {' · '.join(errors)}."


_KNOWN = (
    KnownError(
        "Device already acquired",
        "Another process holds the Gaudi, and keeps it until it ends; most often another notebook's kernel.",
        looked_up=who_holds_it,
    ),
    KnownError(
        "Device not found",
        "No Gaudi answered; most often another notebook kernel holds the only card.",
        looked_up=lambda: who_holds_it() if holders.find() else "",
    ),
    KnownError("Device acquire failed", "The Gaudi could not be acquired."),
    KnownError(
        "Graph compile failed",
        "The graph compiler gave up on a graph.",
        looked_up=_why_not_compiled,
    ),
    KnownError(
        "Wrong PT plugin library loaded",
        f"{LAZY_VARIABLE} was changed after the bridge had loaded. Restart the kernel and set it first.",
        f"%env {LAZY_VARIABLE}=1",
    ),
    KnownError(
        "is not supported in Lazy mode",
        "Lazy mode needs Intel's build of PyTorch, and this is the public one.",
        "%gaudi_mode eager",
    ),
    KnownError(
        "HPUGraph class is available in lazy mode only",
        f"{HPU_GRAPHS.why_off}.",
        "%gaudi_mode lazy",
    ),
    KnownError(
        "cpu fallback is not supported during hpu graph capturing",
        "The model uses an operator that the device has no kernel for, which a graph cannot contain.",
        "%gaudi_graphs off",
    ),
    KnownError(
        "is not supported during HPU Graph capturing",
        "The model does something that a graph cannot contain.",
        "%gaudi_graphs off",
    ),
)


def plain_words(error: BaseException) -> LabError | None:
    """Return what an error of the bridge means; None if it is not a known one, or is in plain words already."""
    text = str(error)
    if isinstance(error, LabError):
        return None
    for known in _KNOWN:
        if known.part in text:
            why = " ".join(filter(None, [known.meaning, known.looked_up()]))
            return LabError(why, python=known.line, magic=known.line)
    return None


class plain_errors:  # noqa: N801 - reads as a statement
    """Raise the bridge's known errors in plain words, its own text at the end; let all others through unchanged."""

    __slots__ = ()

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        if not isinstance(error, (RuntimeError, AssertionError)):
            return
        if (plain := plain_words(error)) is not None:
            said = f"{plain.why} (The bridge said: {str(error).strip()})"
            raise LabError(said, python=plain.python, magic=plain.magic) from error
