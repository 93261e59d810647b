"""What every magic does about `-h`, quotes, a comment, and what it cannot do: why not, and the line to run instead."""

from __future__ import annotations

import argparse
import functools
import re
from collections.abc import Callable
from difflib import get_close_matches
from typing import Any, NoReturn, TypeVar

from IPython.core.error import UsageError
from IPython.utils.process import arg_split

from gaudi_lab.errors import LabError

Method = TypeVar("Method", bound=Callable[..., Any])


_QUOTED_OR_COMMENT = re.compile(r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|(?<!\S)#""")
"""What is in quotes, where a # begins no comment, or where one begins."""


_IN_QUOTES = re.compile(r"""(--[\w-]+=)?(['"])(.*)\2""")
"""A word that is in quotes, or what an option is given is."""


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
    for found in _QUOTED_OR_COMMENT.finditer(line):
        if found[0] == "#":
            return line[: found.start()].rstrip()
    return line


def read_arguments(magic: Any, line: str) -> argparse.Namespace:
    """Return the arguments that a magic's parser reads from a line."""
    arguments: argparse.Namespace = magic.parser.parse_args(words_of(line))
    return arguments


def words_of(line: str) -> list[str]:
    """Return the words of a line; what is in quotes is one, without them. Quotes within a word stay."""
    try:
        words = arg_split(line)
    except ValueError as error:
        raise UsageError(str(error).rstrip(".")) from error
    return [unquote(word) for word in words]


def unquote(word: str) -> str:
    """Return a word without the quotes that it is in."""
    found = _IN_QUOTES.fullmatch(word)
    return word if found is None else (found[1] or "") + found[3]


def _advise(magic: str, line: str, error: str) -> str:
    """Return the line to run instead of one that the parser refused: with the nearest choice, or for help."""
    refused = re.search(r"invalid choice: '(.*?)' \(choose from (.*)\)", error)
    near = get_close_matches(refused[1].lower(), re.findall(r"\w+", refused[2]), 1) if refused else []
    if refused is None or not near:
        return f"Run: %{magic} -h"
    whole_word = rf"(?<![^\s'\"]){re.escape(refused[1])}(?![^\s'\"])"
    return f"Run: %{magic} {re.sub(whole_word, near[0], line, count=1)}"
