"""How a call hands its arguments over: by position or by name, and which it leaves out.

A model computes the same either way, and a recorded program is the same. The bridge's key of an HPU graph is not: it is
made of what was given, as it was given.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from gaudi_lab.measure.causes.cause import Difference


class Passing(NamedTuple):
    """How one call was given its arguments.

    Attributes
    ----------
    by_position
        How many came first, without a name.
    by_name
        The names of the others, in their order.
    """

    by_position: int
    by_name: tuple[str, ...]

    def differences(self, now: Passing, positional: Sequence[str]) -> tuple[Difference, ...]:
        """Return what is handed over in another way `now`.

        Parameters
        ----------
        now
            How the later call was given them.
        positional
            The names of the arguments that can be given by position.
        """
        before, after = self._ways(positional), now._ways(positional)
        found = [
            Difference(name, "passing", before.get(name, _LEFT_OUT), after.get(name, _LEFT_OUT))
            for name in dict.fromkeys([*before, *after])
            if before.get(name) != after.get(name)
        ]
        if not found and self != now:
            orders = [", ".join(x.by_name) for x in (self, now)]
            found = [Difference("the order", "passing", *orders)]
        return tuple(found)

    def _ways(self, positional: Sequence[str]) -> dict[str, str]:
        first = positional[: self.by_position]
        return {**dict.fromkeys(first, "by position"), **dict.fromkeys(self.by_name, "by name")}


_LEFT_OUT = "left out"
