"""What a snapshot says of itself, as JSON: which groups are in it, and where."""

from __future__ import annotations

import dataclasses
import json
import sys
from dataclasses import dataclass

from gaudi_lab.errors import LabError
from gaudi_lab.handover.objects.blocks import Block

FORMAT = 1
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
    """

    names: tuple[str, ...]
    hidden: tuple[str, ...]
    offset: int
    size: int
    hash: str | None
    places: dict[str, int]


@dataclass(frozen=True)
class Manifest:
    """All that is in a snapshot.

    Attributes
    ----------
    groups, blocks
        What was written.
    dropped
        The names that were given up.
    """

    groups: tuple[GroupEntry, ...]
    blocks: tuple[Block, ...]
    dropped: tuple[str, ...]

    def to_json(self) -> str:
        """Return it as text."""
        own = {"format": FORMAT, "python": sys.version, "executable": sys.executable}
        return json.dumps(own | dataclasses.asdict(self) | {"blocks": [list(block) for block in self.blocks]})

    @staticmethod
    def from_json(text: str) -> Manifest:
        """Return what such a text says.

        Raises
        ------
        LabError
            It was written by another Python, in another format, or is no such text.
        """
        try:
            told = json.loads(text)
            if told["format"] != FORMAT:
                raise LabError(
                    f"This snapshot is in format {told['format']}, and this version of gaudi_lab reads {FORMAT}."
                )
            if told["python"] != sys.version:
                raise LabError(
                    f"This snapshot was written by Python {told['python'].split()[0]} ({told['executable']}); "
                    f"code is only understood by the very same build, and this is {sys.version.split()[0]}."
                )
            groups = [
                {**group, "names": tuple(group["names"]), "hidden": tuple(group["hidden"])}
                for group in told["groups"]
            ]
            return Manifest(
                groups=tuple(GroupEntry(**group) for group in groups),
                blocks=tuple(Block(*block) for block in told["blocks"]),
                dropped=tuple(told["dropped"]),
            )
        except (ValueError, KeyError, TypeError) as error:
            raise LabError("This folder is no snapshot: its manifest cannot be read.") from error
