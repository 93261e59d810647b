"""Models run in every mode of the emulated bridge, by PyTorch and by other runtimes: the table of `bench.py` alone.

Each model is measured in a process of its own, where all ways take turns. A peer that is not installed is left out:
`pip install gaudi-lab[bench]` brings them.

Run: python benchmarks/peers_table.py [--quick] [--cases tiny llama]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from peers import report
from peers.cases import CASES

ONE_CASE = Path(__file__).parent / "peers" / "one_case.py"

QUICK = ["tiny", "minilm1", "minilm32", "unet"]
QUICK_SECONDS = 380.0
QUICK_WITHOUT = ["hpu compile, inductor"]


def measure_peers(cases: Sequence[str] = (), *, quick: bool = False) -> list[dict[str, Any]]:
    """Return what `one_case` measured of each model.

    Parameters
    ----------
    cases
        These models only, by name.
    quick
        Four models and fewer ways, in at most `QUICK_SECONDS`; a model that would take longer is left out.
    """
    rounds, seconds = (11, 20) if quick else (31, 90)
    end = time.monotonic() + (QUICK_SECONDS if quick else 24 * 3600.0)
    measured = []
    for case in cases or (QUICK if quick else list(CASES)):
        print(f"{CASES[case].label} ...", file=sys.stderr, flush=True)
        command = [sys.executable, str(ONE_CASE), case, "--rounds", str(rounds), "--seconds", str(seconds)]
        command += ["--without", *QUICK_WITHOUT] if quick else []
        try:
            left = end - time.monotonic()
            done = subprocess.run(command, capture_output=True, text=True, timeout=left, check=False)
        except subprocess.TimeoutExpired:
            print(f"{CASES[case].label}: no time left for it", file=sys.stderr)
            break
        if done.returncode:
            raise SystemExit(f"{case} failed:\n{done.stderr[-3000:]}")
        measured.append(json.loads(done.stdout.splitlines()[-1]))
    return measured


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="four models in a few minutes")
    parser.add_argument("--cases", nargs="*", default=[], choices=CASES, help="these models only")
    options = parser.parse_args()
    measured = measure_peers(options.cases, quick=options.quick)
    print(report.make_table(measured, report.environment()))


if __name__ == "__main__":
    main()
