"""Everything that `make bench` measures: peers, growth and limits, as one table with its raw figures and plots.

What is written goes to `out/bench`; with `--write` to `benchmarks/results`, and the table into README.md between its
two marks. Behind it, unless `--quick`, comes what has no limit here: the parts of the overhead, and comparing.

Run: python benchmarks/bench.py [--quick] [--write] [--only peers|growth|limits|costs ...]
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

from growth import AXES
from growth.plots import draw
from limits import GROUPS
from limits.limit import AROUND, Limit, as_plain, from_plain, make_limits_table
from limits.targets import read_limits
from peers import report
from peers_table import measure_peers

FOLDER = Path(__file__).parent
ROOT = FOLDER.parent
README = ROOT / "README.md"
MARK = "<!-- bench -->"

PARTS = ("peers", "growth", "limits", "costs")
COSTS = ("overhead.py", "comparing.py")


def main() -> None:
    """Measure, print, and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="less of everything, in at most ten minutes")
    parser.add_argument("--write", action="store_true", help="write README.md and benchmarks/results")
    parser.add_argument("--only", nargs="*", choices=PARTS, help="these parts only")
    options = parser.parse_args()
    if options.write and options.only:
        parser.error("--write writes the whole table: run it without --only")
    parts = options.only or (PARTS[:3] if options.quick else PARTS)
    started = time.monotonic()
    cases = measure_peers(quick=options.quick) if "peers" in parts else []
    curves = [_measure("growth/curves.py", axis, options.quick) for axis in AXES] if "growth" in parts else []
    own: list[Limit] = []
    for group in GROUPS if "limits" in parts else ():
        own += map(from_plain, _measure("limits/measure.py", group, options.quick))
    call = next((limit.median for limit in own if limit.what == AROUND.format(2)), None)
    limits = read_limits(cases, curves, call) + own
    folder = FOLDER / "results" if options.write else ROOT / "out" / "bench"
    table = _write(folder, cases, curves, limits)
    print(table)
    if options.write:
        before, _, after = README.read_text(encoding="utf-8").split(MARK)
        README.write_text(f"{before}{MARK}\n{table}\n{MARK}{after}", encoding="utf-8")
    print(f"\n{(time.monotonic() - started) / 60:.0f} minutes; figures and plots are in {folder}", flush=True)
    for cost in COSTS if "costs" in parts else ():
        subprocess.run([sys.executable, str(FOLDER / cost)], check=True)


def _measure(script: str, what: str, quick: bool) -> Any:
    """Return what a script of this folder prints as JSON, run in a process of its own."""
    print(f"{what} ...", file=sys.stderr, flush=True)
    command = [sys.executable, str(FOLDER / script), what, *(["--quick"] if quick else [])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{script} {what} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def _write(folder: Path, cases: Sequence[Any], curves: Sequence[Any], limits: Sequence[Limit]) -> str:
    """Write figures and plots into `folder`; return the table in Markdown."""
    folder.mkdir(parents=True, exist_ok=True)
    about = report.environment()
    raw = {"environment": about, "cases": cases, "growth": curves, "limits": list(map(as_plain, limits))}
    (folder / "bench.json").write_text(json.dumps(_rounded(raw)), encoding="utf-8")
    said = [report.make_table(cases, about)] if cases else []
    said += [f"{_LIMITS}\n\n{make_limits_table(limits)}"] if limits else []
    plots = [draw(curve, folder) for curve in curves]
    said += (
        [" ".join(f"![{plot.stem}]({plot.relative_to(ROOT).as_posix()})" for plot in plots)] if plots else []
    )
    return "\n\n".join(said)


_LIMITS = "What it is held to, by the median; half of the measurements lie in the range behind it."


def _rounded(x: Any) -> Any:
    """Return figures with five digits: more are noise, and bytes."""
    if isinstance(x, float):
        return float(f"{x:.5g}")
    if isinstance(x, dict):
        return {name: _rounded(y) for name, y in x.items()}
    return [_rounded(y) for y in x] if isinstance(x, (list, tuple)) else x


if __name__ == "__main__":
    main()
