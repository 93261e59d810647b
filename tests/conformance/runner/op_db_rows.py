"""Runs PyTorch's cases, judges them, and says it as rows of the table."""

from __future__ import annotations

import op_db_shards
from conformance_table import Row
from known_failures import Verdict, judge


def row(
    database: str, mode: str, *, every: int = 1, samples: int | None = None, workers: int = 1
) -> tuple[Row, Verdict]:
    """Run every `every`-th case of `database` in `mode`; return its row and how it compares with what is known.

    Parameters
    ----------
    database, mode
        ``"op_db"`` or ``"module_db"``; ``"eager"`` or ``"lazy"``.
    every, samples
        Which cases, and at most how many samples of each (None: all).
    workers
        How many processes at a time.
    """
    cases = op_db_shards.names(database)[::every]
    outcomes = op_db_shards.run(database, mode, cases, workers=workers, samples=samples)
    verdict = judge(database, mode, outcomes, all_samples=samples is None)
    asked = [outcome for outcome in outcomes if outcome.samples or outcome.problems]
    failed = sum(1 for outcome in asked if outcome.problems)
    note = (
        f"{sum(outcome.samples for outcome in asked)} samples, {verdict.known} known failures, "
        f"{len(outcomes) - len(asked)} cases without a sample that the CPU takes"
    )
    return Row(database, mode, len(asked) - failed, len(asked), note), verdict
