"""What is known to fail, from known_failures.toml, and whether a run agrees with it.

An entry names cases, modes, the reason, and the text that each of their failures must carry: so a wrong number
in a case that is known to raise is still a new failure.
"""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

from op_db_shards import Outcome

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FILE = Path(__file__).with_name("known_failures.toml")


@dataclass(frozen=True)
class Known:
    """One entry.

    Attributes
    ----------
    database, modes, cases
        Where it applies: also in these modes with a compiler, such as ``"lazy, openvino"``. Names and cases may hold
        ``*``.
    raises
        A regular expression that every failing sample's text matches.
    reason
        Why it fails, for people.
    applies
        False if the case asks for what the device is not meant to have: it is left out of what is counted.
    """

    database: str
    modes: tuple[str, ...]
    cases: tuple[str, ...]
    raises: str
    reason: str
    applies: bool = True


class Verdict(NamedTuple):
    """How a run compares with what is known.

    Attributes
    ----------
    passed, known
        How many cases passed, and how many failed as they are known to.
    new
        What failed and is not known to, one line each.
    healed
        Cases that are known to fail and passed: their entries have to go.
    left_out
        How many failed that do not apply.
    """

    passed: int
    known: int
    new: list[str]
    healed: list[str]
    left_out: int = 0

    def complaints(self, where: str) -> list[str]:
        """Return what the file did not expect, one line each, for the run `where`."""
        return [
            *[f"{where}: {x}" for x in self.new],
            *[f"{where}: {x} passes now: take it out of known_failures.toml" for x in self.healed],
        ]


@functools.cache
def entries() -> tuple[Known, ...]:
    """Return every entry of the file."""
    read = tomllib.loads(FILE.read_text())
    return tuple(
        [
            Known(
                x["database"],
                tuple(x["modes"]),
                tuple(x["cases"]),
                x["raises"],
                x["reason"],
                x.get("applies", True),
            )
            for x in read.get("known", [])
        ]
    )


def judge(database: str, mode: str, outcomes: Iterable[Outcome], *, all_samples: bool = True) -> Verdict:
    """Hold `outcomes` against the entries; with only some of the samples a known failure may well pass."""
    known = [entry for entry in entries() if fnmatchcase(database, entry.database) and _applies(entry, mode)]
    verdict = Verdict(0, 0, [], [])
    passed = failed = left_out = 0
    for outcome in outcomes:
        entry = next((x for x in known if any(fnmatchcase(outcome.case, case) for case in x.cases)), None)
        unexpected = [x for x in outcome.problems if entry is None or not re.search(entry.raises, x)]
        if unexpected:
            verdict.new.append(f"{outcome.case}: {unexpected[0]}")
        elif entry is not None and outcome.problems:
            failed += entry.applies
            left_out += not entry.applies
        else:
            passed += 1
            if entry is not None and all_samples:
                verdict.healed.append(outcome.case)
    return verdict._replace(passed=passed, known=failed, left_out=left_out)


def _applies(entry: Known, mode: str) -> bool:
    """A mode with another compiler, such as ``"lazy, openvino"``, knows what fails without it, and more."""
    return mode in entry.modes or mode.partition(",")[0] in entry.modes
