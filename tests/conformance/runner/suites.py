"""Other people's programs and test suites, fetched and run unmodified on the emulated device.

    python tests/conformance/runner/suites.py [NAME ...]

What it needs, it makes or fetches: an environment for each suite with libraries of its own (`.venv-transformers`,
`.venv-optimum`, `.venv-deepspeed`) and checkouts from GitHub, because no package on PyPI carries the tests.
``GAUDI_LAB_SUITES`` names a folder that may hold the checkouts already, as ``optimum-habana`` and ``transformers``.
The bridge's own tests, ``gaudi-pytorch-bridge`` there, and PyTorch's for openreg, ``openreg/tests``, are not fetched.
What is not run is said in the table.
"""

from __future__ import annotations

import sys

import bridge_python_suite
import bridge_suite
import deepspeed_suite
import openreg_suite
import optimum_suite
import programs_suite
import transformers_suite
from conformance_table import Results, text

SUITES = {
    "transformers": transformers_suite,
    "optimum": optimum_suite,
    "bridge": bridge_suite,
    "bridge_python": bridge_python_suite,
    "openreg": openreg_suite,
    "programs": programs_suite,
    "deepspeed": deepspeed_suite,
}


def run(results: Results, workers: int, names: list[str] | None = None) -> None:
    """Run the suites named, or all, and add what they come to."""
    for name in names or SUITES:
        print(f"running the suite of {name} ...", file=sys.stderr, flush=True)
        for row, verdict in SUITES[name].runs(workers):
            results.add(row, verdict.complaints(f"{row.what} {row.mode}") if verdict is not None else ())


if __name__ == "__main__":
    found = Results()
    run(found, 2, sys.argv[1:] or None)
    print("\n".join([text(found.rows), "", *found.complaints]))
    sys.exit(1 if found.complaints else 0)
