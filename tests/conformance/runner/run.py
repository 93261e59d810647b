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
from conformance_table import Row, text


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
    # First: some of the contract's tests need the environments that the suites make.
    of_suites, complaints = suites.rows(options.workers) if options.suites else ([], [])
    rows: list[Row] = contract_rows.rows()
    of_reasons, reasons = planted_reason_rows.rows()
    complaints += [f"{row.what} {row.mode}: not all named" for row in of_reasons if row.passed < row.total]
    rows += of_reasons
    of_generate, generated = generate_rows.rows()
    complaints += [f"{row.what} {row.mode}: other tokens" for row in of_generate if row.passed < row.total]
    rows += of_generate
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
            rows.append(row)
            complaints += verdict.complaints(f"{database} {row.mode}")
    print(
        f"running {op_db_rows.INDUCTOR_CASES} of these cases with Inductor ...", file=sys.stderr, flush=True
    )
    for row, verdict in op_db_rows.by_inductor(options.workers):
        rows.append(row)
        complaints += verdict.complaints(f"{row.what} {row.mode}")
    rows += of_suites
    print(text(rows))
    print(f"\n{reasons}\n\n{generated}")
    print("\n".join(["", *complaints]) if complaints else "")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
