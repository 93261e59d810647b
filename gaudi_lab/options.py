"""What can be chosen of a switch while it is on: a row of choices, or names with values."""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gaudi_lab.errors import LabError, LabValueError


@dataclass(frozen=True)
class Option:
    """What a switch lets one choose while it is on.

    Attributes
    ----------
    field
        Its field of `Settings`; None there leaves the bridge's own default.
    label
        What it is called.
    flags
        Each value with the magic's flag for it.
    note
        What else is worth knowing, as a sentence.
    arguments
        Each value with the line of `GaudiTrainingArguments` for it, where there is one.
    default
        What there is as long as nothing is chosen.
    """

    field: str
    label: str
    flags: Mapping[Any, str]
    note: str = ""
    arguments: Mapping[Any, str] = dataclasses.field(default_factory=dict)
    default: str = "bridge's default"

    @property
    def words(self) -> dict[str, dict[str, Any]]:
        """Each flag, with the values that it can be given by the word for them; the word is empty for none."""
        found: dict[str, dict[str, Any]] = {}
        for value, flag in self.flags.items():
            first, _, word = flag.partition(" ")
            found.setdefault(first, {})[word] = value
        return found

    def describe(self, value: Any) -> str:
        """Return a value in words: "no recompute", "softmax fast"."""
        return self.flags.get(value, f"{self.field} {value}").removeprefix("--").replace("-", " ")

    def flag_of(self, value: Any) -> str:
        """Return the magic's flag for a value."""
        return self.flags[value]

    def write(self, value: Any) -> str:
        """Return a value as an argument in Python: `softmax="fast"`."""
        return f'{self.field}="{value}"' if isinstance(value, str) else f"{self.field}={value!r}"

    def problem_of(self, value: Any, name: str, magic: str) -> LabError | None:
        """Return why it cannot have a value; None if it can.

        Parameters
        ----------
        value
            The value.
        name, magic
            Function and magic of its switch.
        """
        if value in self.flags:
            return None
        first = next(iter(self.flags))
        return LabValueError(
            f"{value!r} is not a {self.field} mode; there are {', '.join(map(str, self.flags))}.",
            python=f"gaudi_lab.{name}(model, {self.field}={first!r})",
            magic=f"%{magic} on {self.flags[first]}",
        )

    @property
    def choices(self) -> tuple[Any, ...]:
        """Its values, to offer them."""
        return tuple(self.flags)

    def read(self, word: str) -> Any:
        """Return the value that `describe` writes so; None if it is none of its."""
        return next((value for value in self.flags if self.describe(value) == word.lower()), None)


@dataclass(frozen=True)
class NamedValues(Option):
    """Any names with values of their own, as pairs; `flags` has one flag for each pair.

    Which names there are is known by whoever takes them.
    """

    def describe(self, value: Any) -> str:
        """Return the names with their values: "force_static_compile=True"."""
        return ", ".join(f"{name}={one!r}" for name, one in value)

    def flag_of(self, value: Any) -> str:
        """Return the magic's flags for all pairs."""
        return " ".join(f"{self.flags['']} {name}={one!r}" for name, one in value)

    def write(self, value: Any) -> str:
        """Return the names and values as an argument in Python, a dict."""
        return f"{self.field}={dict(value)!r}"

    def problem_of(self, value: Any, name: str, magic: str) -> LabError | None:
        """Return why it cannot have a value; None if it can."""
        pairs = value if isinstance(value, tuple) else [value]
        if all(isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[0], str) for pair in pairs):
            return None
        return LabValueError(
            f"{self.field} are values by name, and not {value!r}.",
            python=f'gaudi_lab.{name}(model, {self.field}={{"force_static_compile": True}})',
            magic=f"%{magic} on {self.flags['']} force_static_compile=True",
        )

    @property
    def choices(self) -> tuple[Any, ...]:
        """None: whoever takes them knows which names there are."""
        return ()

    def read(self, word: str) -> Any:
        """Return the one pair that is written so, as a tuple of one; None if it is none."""
        return (read_pair(word),) if "=" in word else None


def read_pair(word: str) -> tuple[str, Any]:
    """Return name and value of a word such as "force_static_compile=True".

    Raises
    ------
    LabValueError
        It gives no value.
    """
    name, sign, value = word.partition("=")
    if not (name.strip() and sign and value.strip()):
        raise LabValueError(
            f"{word!r} gives no value.",
            python='gaudi_lab.compile(model, backend_options={"force_static_compile": True})',
            magic="%gaudi_compile on --option force_static_compile=True",
        )
    try:
        return name.strip(), ast.literal_eval(value.strip())
    except (SyntaxError, ValueError):
        return name.strip(), value.strip()
