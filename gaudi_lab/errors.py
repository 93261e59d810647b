"""What Gaudi Lab says when it cannot do what was asked, why not and the line to run instead; and errors of others."""

from __future__ import annotations

import re
import sys


class LabError(RuntimeError):
    """A request that could not be met. Nothing was changed.

    The remedy depends on where the request was made, so it is kept apart from the reason: Python callers
    read a line of Python, magics show `for_notebook()`.

    Parameters
    ----------
    why
        What was asked and why it cannot be done, as full sentences.
    python
        The line of Python to run instead, if there is one.
    magic
        The same line for a notebook cell; `python` where it is not given.
    """

    def __init__(self, why: str, *, python: str | None = None, magic: str | None = None) -> None:
        self.why = why
        self.python = python
        self.magic = magic or python
        super().__init__(_with_remedy(why, python))

    def for_notebook(self) -> str:
        """Return the same message with the line to run in a notebook cell."""
        return _with_remedy(self.why, self.magic)


class LabValueError(LabError, ValueError):
    """An argument outside what is accepted: a mode, a model's name, an option."""


def _with_remedy(why: str, line: str | None) -> str:
    return f"{why} Run: {line}" if line else why


def chain_of(error: BaseException) -> list[BaseException]:
    """Return `error` and the errors that it was raised from or while handling: each has frames of its own."""
    found: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting:
        link = waiting.pop()
        if link is not None and link not in found:
            found.append(link)
            waiting += [link.__cause__, link.__context__]
    return found


def add_note(error: BaseException, line: str) -> None:
    """Add a line below what an error says; write it at once where Python is too old for that, before 3.11."""
    if sys.version_info >= (3, 11):
        error.add_note(line)
    else:
        sys.stderr.write(line + "\n")


def first_line(text: str) -> str:
    """Return the first line of what an error says; of one of Dynamo's that names no reason, what it met."""
    line = text.strip().partition("\n")[0]
    met = re.search(r": got (\w+\(.*\))$", text, re.MULTILINE) if line.endswith("fake tensor call") else None
    return met[1] if met is not None else line
