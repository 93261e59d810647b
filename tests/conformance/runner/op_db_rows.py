"""Runs PyTorch's cases, judges them, and says it as rows of the table."""

from __future__ import annotations

import hashlib

import op_db_shards
from conformance_table import Row
from known_failures import Verdict, judge

DATABASES = ("op_db", "module_db")
# Inductor takes seconds for each program: these many cases of both, always the same, and the first sample of each.
INDUCTOR_CASES = 300
INDUCTOR_SAMPLES = 1
# OpenVINO takes a tenth of a second for each program, and what it makes of an operator seldom depends on the sample.
OPENVINO_SAMPLES = 3


def by_inductor(workers: int = 1, cases: int = INDUCTOR_CASES) -> list[tuple[Row, Verdict]]:
    """Run a fixed lot of cases of both databases in lazy mode with Inductor; return a row of each."""
    everything = [(database, case) for database in DATABASES for case in op_db_shards.names(database)]
    lot = sorted(everything, key=lambda x: hashlib.sha256(" ".join(x).encode()).hexdigest())[:cases]
    return [
        _run(
            database,
            "lazy",
            sorted([case for where, case in lot if where == database]),
            compiler="inductor",
            samples=INDUCTOR_SAMPLES,
            workers=workers,
        )
        for database in DATABASES
    ]


def row(
    database: str,
    mode: str,
    *,
    compiler: str = "replay",
    every: int = 1,
    samples: int | None = None,
    workers: int = 1,
) -> tuple[Row, Verdict]:
    """Run every `every`-th case of `database` in `mode`; return its row and how it compares with what is known.

    Parameters
    ----------
    database, mode
        ``"op_db"`` or ``"module_db"``; ``"eager"`` or ``"lazy"``.
    compiler
        What compiles recorded programs: ``"replay"``, ``"openvino"`` or ``"inductor"``.
    every, samples
        Which cases, and at most how many samples of each (None: all, `OPENVINO_SAMPLES` with OpenVINO).
    workers
        How many processes at a time.
    """
    cases = op_db_shards.names(database)[::every]
    if compiler == "openvino" and samples is None:
        samples = OPENVINO_SAMPLES
    return _run(database, mode, cases, compiler=compiler, samples=samples, workers=workers)


def _run(
    database: str, mode: str, cases: list[str], *, compiler: str, samples: int | None, workers: int
) -> tuple[Row, Verdict]:
    outcomes = op_db_shards.run(
        database, mode, cases, compiler=compiler, workers=workers, samples=samples, shard=_SHARD[compiler]
    )
    mode = mode if compiler == "replay" else f"{mode}, {compiler}"
    verdict = judge(database, mode, outcomes, all_samples=samples is None)
    asked = [outcome for outcome in outcomes if outcome.samples or outcome.problems]
    failed = sum(1 for outcome in asked if outcome.problems)
    note = (
        f"{sum(outcome.samples for outcome in asked)} samples, {verdict.known} known failures, "
        f"{len(outcomes) - len(asked)} cases without a sample that the CPU takes"
    )
    if compiler != "replay":
        disagreed = sum(len(outcome.disagreements) for outcome in outcomes)
        note = (
            f"{sum(outcome.compiled for outcome in outcomes)} programs compiled, "
            f"{sum(outcome.passed_over for outcome in outcomes)} passed over, {disagreed} not believed; {note}"
        )
    return Row(database, mode, len(asked) - failed, len(asked), note), verdict


# What a compiler leaves in a process is large.
_SHARD = {"replay": 250, "openvino": 60, "inductor": 60}
