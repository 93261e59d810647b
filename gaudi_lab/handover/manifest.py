"""What a snapshot says of itself, as lines of JSON: which groups are in it, and where."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from gaudi_lab.errors import LabError
from gaudi_lab.handover.objects.blocks import Block

FORMAT = 2
"""To be raised with every change of what is written."""


@dataclass(frozen=True)
class GroupEntry:
    """A group in a snapshot.

    Attributes
    ----------
    names, hidden
        What it holds, in the order of the values in its pickle.
    offset, size
        Where its pickle is in the file of objects, in bytes.
    hash
        What to compare it by when it is loaded; None if that would not be the same twice.
    places
        How many of its tensors are on which device.
    given_up
        Whether its names were given up. It is here for whoever asks for them all the same.
    """

    names: tuple[str, ...]
    hidden: tuple[str, ...]
    offset: int
    size: int
    hash: str | None
    places: dict[str, int]
    given_up: bool = False

    @property
    def all_names(self) -> tuple[str, ...]:
        """Names and hidden entries, in the order of the values."""
        return (*self.names, *self.hidden)


@dataclass(frozen=True)
class Manifest:
    """All that is in a snapshot.

    It is written line by line, a group after its objects, so that of a process that was killed meanwhile the groups
    can be had that were whole by then.

    Attributes
    ----------
    groups, blocks
        What was written.
    dropped
        The names that were given up.
    unwritten
        The names and hidden entries that there was no time for.
    """

    groups: tuple[GroupEntry, ...]
    blocks: tuple[Block, ...]
    dropped: tuple[str, ...]
    unwritten: tuple[str, ...] = ()

    def wanted(self, names: Collection[str] | None) -> list[GroupEntry]:
        """Return the groups of these names; for None all but those that were given up."""
        if names is None:
            return [entry for entry in self.groups if not entry.given_up]
        return [entry for entry in self.groups if {*entry.all_names} & {*names}]

    @staticmethod
    def from_text(text: str) -> Manifest:
        """Return what the lines of a manifest say.

        Raises
        ------
        LabError
            They were written by another Python, in another format, or are no such lines.
        """
        whole = [line for line in text.splitlines(keepends=True) if line.endswith("\n")]
        try:
            opening, *others = [json.loads(line) for line in whole]
            if opening["format"] != FORMAT:
                raise LabError(
                    f"This snapshot is in format {opening['format']}, and this version of gaudi_lab reads {FORMAT}."
                )
            if opening["python"] != sys.version:
                raise LabError(
                    f"This snapshot was written by Python {opening['python'].split()[0]} ({opening['executable']}); "
                    f"code is only understood by the very same build, and this is {sys.version.split()[0]}."
                )
            groups, blocks = [], []
            for told in others:
                if "group" in told:
                    fields = {**told["group"]}
                    fields |= {key: tuple(fields[key]) for key in ("names", "hidden")}
                    groups.append(GroupEntry(**fields))
                    blocks += [Block(*block) for block in told["blocks"]]
            left = next((told["left"] for told in others if "left" in told), None)
            written = {name for entry in groups for name in entry.all_names}
            unwritten = [name for name in opening["names"] if name not in written] if left is None else []
            return Manifest(tuple(groups), tuple(blocks), tuple(opening["dropped"]), tuple(unwritten))
        except (ValueError, KeyError, TypeError) as error:
            raise LabError("This folder is no snapshot: its manifest cannot be read.") from error


def opening_line(names: Iterable[str], dropped: Iterable[str]) -> str:
    """Return the first line: by what it is written, the names that are to come, and those that were given up."""
    own = {"format": FORMAT, "python": sys.version, "executable": sys.executable}
    return json.dumps(own | {"names": list(names), "dropped": list(dropped)})


def group_line(entry: GroupEntry, blocks: Iterable[Block]) -> str:
    """Return the line of a group: what it is, and the blocks that no group before it has."""
    return json.dumps({"group": dataclasses.asdict(entry), "blocks": [list(block) for block in blocks]})


def closing_line(left: Iterable[str]) -> str:
    """Return the last line, without which something is missing: the names that could not be written."""
    return json.dumps({"left": list(left)})
