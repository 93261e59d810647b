"""A subject that runs on a clock of its own, so that no test depends on how fast the machine is."""

from __future__ import annotations

import random
from contextlib import contextmanager

import pytest
import torch

from gaudi_lab.comparison import folding, records
from gaudi_lab.comparison.candidates import Candidate
from gaudi_lab.comparison.methods.resident import compare_resident
from gaudi_lab.comparison.plan import Procedure
from gaudi_lab.comparison.records import Journal
from gaudi_lab.comparison.subject import WhatRan
from gaudi_lab.settings import Mode, Settings

EAGER, LAZY = Settings(Mode.EAGER), Settings(Mode.LAZY)
GRAPHS = Settings(Mode.LAZY, hpu_graphs=True)


class Planted:
    """Runs for as long as it is told to, on a made-up clock with made-up noise.

    `seconds` are those of a call by the candidate's name, `warmups` what its first call takes more, `outputs` what
    comes out, `raises` what is raised, `captures` how many graphs each call captures after it is warm.
    """

    name = "planted"

    def __init__(self, seconds, *, noise=0.02, seed=0, warmups=None, outputs=None, raises=None, captures=()):
        self.seconds = seconds
        self.noise = noise
        self.random = random.Random(seed)
        self.warmups = warmups or {}
        self.planted_outputs = outputs or {}
        self.raises = raises or {}
        self.captures = captures
        self.now = 0.0
        self.on = ""
        self.warm = set()
        self.runs = []
        self.captured = []

    def clock(self):
        return self.now

    @contextmanager
    def put(self, candidate):
        self.on = str(candidate)
        yield
        self.on = ""

    def rewind(self):
        pass

    def run(self):
        if (error := self.raises.get(self.on)) is not None:
            raise error
        self.runs.append(self.on)
        self.now += self.seconds[self.on] * (1 + self.noise * self.random.gauss(0, 1))
        if self.on not in self.warm:
            self.warm.add(self.on)
            self.now += self.warmups.get(self.on, 0.0)
        if self.on in self.captures and self.runs.count(self.on) > 6:
            self.captured.append(0)
        return self.planted_outputs.get(self.on, torch.ones(4))

    def outputs(self, result):
        return result

    def samples(self, result):
        return 4

    def graphs(self):
        return self.captured

    def ran(self):
        return WhatRan("eager")


def head(candidates):
    return {
        "kind": "comparison",
        "format": records.FORMAT,
        "name": "planted",
        "what": "function",
        "candidates": [records.from_candidate(candidate) for candidate in candidates],
        "fingerprint": {},
        "emulated": False,
        "notes": [],
    }


@pytest.fixture
def compare(workbench):
    """Compare settings of a `Planted`, and return the result."""

    def run(planted, *settings, rounds=5, calls=5, journal=None, tolerance=None, limit=None):
        candidates = tuple(map(Candidate, settings))
        journal = journal or Journal()
        if not journal.records:
            journal.put(head(candidates))
        plan = Procedure(candidates, rounds, calls, tolerance, limit)
        try:
            compare_resident(planted, candidates, plan, journal, clock=planted.clock)
        except KeyboardInterrupt:
            journal.add("end", interrupted=True, seconds=planted.now)
        else:
            journal.add("end", interrupted=False, seconds=planted.now)
        return folding.fold(journal.records, journal.path)

    return run
