"""What a part of the program brings along that the namespace does not show: attached models, a panel."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Protocol


class Companion(Protocol):
    """Something that travels with the notebook and takes its own care.

    When the namespace is there and the extensions are loaded, the new process calls the function `unpack` with what
    `pack` returned. That function returns lines worth telling; an error of it is told as such a line, and stops
    nothing.
    """

    @property
    def name(self) -> str:
        """What a refusal calls it, and the line that gives it up."""

    @property
    def unpack(self) -> str:
        """The import path of that function: "package.module:function"."""

    def trusted(self) -> Mapping[str, Any]:
        """Return the user's objects that can travel once `pack` has taken its edits off, by any key.

        What is sure to hinder elsewhere is found before that: taking edits off may cost what they hold.
        """

    def pack(self, given_up: Collection[Any]) -> dict[str, Any]:
        """Return a hidden entry that travels in one graph with the namespace, and may refer to its objects.

        Edits of the user's objects are taken off here. Called once before anything is saved.

        Parameters
        ----------
        given_up
            Objects that do not travel, and so nothing that is about them.
        """

    def stay(self) -> None:
        """Put everything back as it was before `pack`, if that was called: the process is not replaced after all."""


Unpack = Iterable[str]
"""What a companion's `unpack` function returns."""
