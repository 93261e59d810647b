"""The table of README.md: models run in every mode of the emulated bridge, by PyTorch and by other runtimes.

Each model is measured in a process of its own, where all ways take turns. A peer that is not installed is left out:
`pip install gaudi-lab[bench]` brings them. The figures as they were measured are written as JSON beside this file's
folder, and the table into README.md between its two marks with `--write`.

Run: python benchmarks/peers_table.py [--quick] [--write]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

from peers import report
from peers.cases import CASES

FOLDER = Path(__file__).parent
README = FOLDER.parent / "README.md"
MARK = "<!-- bench -->"

QUICK = ["tiny", "minilm1", "minilm32", "unet"]
QUICK_SECONDS = 460.0
QUICK_WITHOUT = ["hpu lazy, replay", "HPU graph, replay", "hpu compile, replay", "hpu compile, inductor"]


def main() -> None:
    """Measure, print, and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="four models in at most eight minutes")
    parser.add_argument("--cases", nargs="*", choices=CASES, help="these models only")
    parser.add_argument("--raw", type=Path, default=Path("peers.json"), help="where the figures go")
    parser.add_argument("--write", action="store_true", help="write the table into README.md")
    options = parser.parse_args()
    rounds, seconds = (11, 20) if options.quick else (31, 180)
    end = time.monotonic() + (QUICK_SECONDS if options.quick else 24 * 3600.0)
    measured = []
    for case in options.cases or (QUICK if options.quick else list(CASES)):
        left = end - time.monotonic()
        print(f"{CASES[case].label} ...", file=sys.stderr, flush=True)
        asked = [
            str(FOLDER / "peers" / "one_case.py"),
            case,
            "--rounds",
            str(rounds),
            "--seconds",
            str(seconds),
        ]
        if options.quick:
            asked += ["--without", *QUICK_WITHOUT]
        try:
            done = subprocess.run(
                [sys.executable, *asked],
                capture_output=True,
                text=True,
                timeout=left,
            )
        except subprocess.TimeoutExpired:
            print(f"{CASES[case].label}: no time left for it", file=sys.stderr)
            break
        if done.returncode:
            raise SystemExit(f"{case} failed:\n{done.stderr[-3000:]}")
        measured.append(json.loads(done.stdout.splitlines()[-1]))
    about = report.environment()
    options.raw.write_text(json.dumps({"environment": about, "cases": measured}, indent=1), encoding="utf-8")
    table = report.make_table(measured, about)
    print(table)
    if options.write:
        before, _, after = README.read_text(encoding="utf-8").split(MARK)
        README.write_text(f"{before}{MARK}\n{table}\n{MARK}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
