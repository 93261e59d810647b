"""What is compared, as far as comparing has to know it."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from gaudi_lab.comparison.candidates import Candidate


@dataclass(frozen=True)
class WhatRan:
    """What really ran, whatever was asked for.

    Attributes
    ----------
    mode
        The mode of the process, and whether models were compiled: "lazy", "eager", "compile".
    graphs, replays
        HPU graphs that were captured, and how often they were replayed.
    attention
        The attention of the models; empty if they have none, or it is not known.
    fallbacks
        Operators that ran on the host, each with how often in one call.
    """

    mode: str
    graphs: int = 0
    replays: int = 0
    attention: str = ""
    fallbacks: tuple[tuple[str, int], ...] = ()


class Subject(Protocol):
    """Something that runs under settings. Models, Trainers, pipelines and functions fulfil it."""

    @property
    def name(self) -> str:
        """What it is called."""

    def put(self, candidate: Candidate) -> AbstractContextManager[None]:
        """Have a candidate's settings on meanwhile, and everything as it was afterwards."""

    def rewind(self) -> None:
        """Put random numbers where they were at first, so that every run draws the same."""

    def run(self) -> Any:
        """Run once, with the settings that are on, and return what came out."""

    def outputs(self, result: Any) -> Any:
        """Return what of a result has to be equal under all settings."""

    def samples(self, result: Any) -> int | None:
        """Return how many samples a run is for; None if that is not known."""

    def graphs(self) -> list[int]:
        """Return for each captured HPU graph how often it was replayed."""

    def ran(self) -> WhatRan:
        """Return what is on now, without fallbacks."""
