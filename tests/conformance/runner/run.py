"""Prints one table of everything that someone else's tests say about the emulated bridge.

    python tests/conformance/runner/run.py [--every K] [--samples N] [--workers W] [--no-suites]

The exit status is 1 if a case fails that known_failures.toml does not know, or one passes that it does.
"""

from __future__ import annotations

import argparse
import sys

import contract_rows
import generate_rows
import op_db_rows
import planted_reason_rows
import suites
from conformance_table import Results, Row, text


def main() -> int:
    """Run what was asked for and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--every", type=int, default=1, help="run every K-th case only")
    parser.add_argument(
        "--samples", type=int, help="run at most N samples of a case (default: all, 3 with OpenVINO)"
    )
    parser.add_argument("--workers", type=int, default=1, help="processes at a time")
    parser.add_argument(
        "--suites",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="also fetch and run other projects' suites",
    )
    options = parser.parse_args()
    results = Results()
    for database in op_db_rows.DATABASES:
        for mode, compiler in (("eager", "replay"), ("lazy", "replay"), ("lazy", "openvino")):
            print(f"running {database} in {mode} mode, {compiler} ...", file=sys.stderr, flush=True)
            row, verdict = op_db_rows.row(
                database,
                mode,
                compiler=compiler,
                every=options.every,
                samples=options.samples,
                workers=options.workers,
            )
            results.add(row, verdict.complaints(f"{database} {row.mode}"))
    print(
        f"running {op_db_rows.INDUCTOR_CASES} of these cases with Inductor ...", file=sys.stderr, flush=True
    )
    for row, verdict in op_db_rows.by_inductor(options.workers):
        results.add(row, verdict.complaints(f"{row.what} {row.mode}"))
    if options.suites:  # Before the contract: some of its tests need the environments that the suites make.
        suites.run(results, options.workers)
    for row in contract_rows.rows():
        results.add(row)
    reasons = _add(results, planted_reason_rows.rows(), "not all named")
    generated = _add(results, generate_rows.rows(), "other tokens")
    print("\n\n".join([text(results.rows), reasons, generated, "\n".join(results.complaints)]).rstrip())
    return 1 if results.complaints else 0


def _add(results: Results, found: tuple[list[Row], str], complaint: str) -> str:
    """Add lines that have to be whole, with `complaint` where one is not; return the table that goes with them."""
    rows, table = found
    for row in rows:
        results.add(row, [f"{row.what} {row.mode}: {complaint}"] if row.passed < row.total else ())
    return table


if __name__ == "__main__":
    sys.exit(main())
