"""What every magic does about `-h`, a comment, and what it cannot do: the reason, and the line to run instead."""

from __future__ import annotations

import argparse
import functools
import re
from collections.abc import Callable
from difflib import get_close_matches
from typing import Any, NoReturn, TypeVar

from IPython.core.error import UsageError

from gaudi_lab.errors import LabError

Method = TypeVar("Method", bound=Callable[..., Any])


_COMMENT = re.compile(r"""((?:'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|.)*?)(?:^|\s)#.*""")
"""What is in front of a comment on a line, and the comment: a # within quotes begins none."""


class _HelpWanted(Exception):
    """Raised by `-h`, which is neither an error nor something to do."""


class PrintHelp(argparse.Action):
    """Prints the help of a magic and ends it."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> NoReturn:  # noqa: D102 - argparse's
        # The text is made for documentation: it starts with the mark of a literal block.
        print(parser.format_help().removeprefix("::").strip())  # noqa: T201 - the reader asked for it
        raise _HelpWanted


HELP: dict[str, Any] = {
    "action": PrintHelp,
    "nargs": 0,
    "default": argparse.SUPPRESS,
    "help": "Show this text.",
}
"""How `-h` is declared, for a parser."""


def explain_refusals(method: Method) -> Method:
    """Turn what the workbench refuses into a `UsageError`, let `-h` end without one, and pass comments over."""

    @functools.wraps(method)
    def magic(self: Any, line: str, *cell: Any) -> Any:
        line = without_comment(line)
        try:
            return method(self, line, *cell)
        except _HelpWanted:
            return None
        except LabError as error:
            raise UsageError(error.for_notebook()) from error
        except UsageError as error:
            if "Run: " in str(error):
                raise
            # The parser says what is wrong, not what to run.
            raise UsageError(f"{error}. {_advise(method.__name__, line, str(error))}") from error

    return magic  # type: ignore[return-value]


def without_comment(line: str) -> str:
    """Return the line of a magic without the comment at its end, which IPython hands over with it."""
    found = _COMMENT.fullmatch(line)
    return line if found is None else found[1].rstrip()


def _advise(magic: str, line: str, error: str) -> str:
    """Return the line to run instead of one that the parser refused: with the nearest choice, or for help."""
    refused = re.search(r"invalid choice: '(.*?)' \(choose from (.*)\)", error)
    near = get_close_matches(refused[1].lower(), re.findall(r"\w+", refused[2]), 1) if refused else []
    return f"Run: %{magic} {line.replace(refused[1], near[0]) if refused and near else '-h'}"
