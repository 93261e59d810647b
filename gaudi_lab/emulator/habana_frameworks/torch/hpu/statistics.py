"""How often a cache of graphs had what was asked for."""

from __future__ import annotations

import sys


class Statistics:
    """Counts look-ups and prints them now and then.

    Attributes
    ----------
    every
        After how many look-ups to print; 0 for never.
    """

    def __init__(self, name: str, every: int = 0) -> None:
        self._name = name
        self.every = every
        self.hits = 0
        self.misses = 0

    def count(self, *, hit: bool, cached: int) -> None:
        """Count one look-up, made while `cached` graphs were there."""
        self.hits += hit
        self.misses += not hit
        calls = self.hits + self.misses
        if self.every and calls % self.every == 0:
            sys.stdout.write(
                f"{self._name} statistics: total cached graphs {cached}, cache hits {self.hits}, "
                f"cache misses {self.misses}\n"
            )
