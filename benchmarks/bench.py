"""Everything that `make bench` measures: peers, growth and limits, as one table with its raw figures and plots.

What is written goes to `out/bench`; with `--write` to `benchmarks/results`, and the table into README.md between its
two marks. With `--only`, what is not measured stays as it was, if it was measured on such a machine and with the same
packages. Behind it, unless `--quick`, comes what has no limit here: the parts of the overhead, and comparing.

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
from limits.limit import AROUND, from_plain, make_limits_table
from limits.targets import read_limits
from peers import report
from peers_table import measure_peers

FOLDER = Path(__file__).parent
ROOT = FOLDER.parent
README = ROOT / "README.md"
MARK = "<!-- bench -->"

MEASURED = ("peers", "growth", "limits")
PARTS = (*MEASURED, "costs")
ADDITIONS = "a million additions in Python, ms"
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
    parts = options.only or (MEASURED if options.quick else PARTS)
    started = time.monotonic()
    folder = FOLDER / "results" if options.write else ROOT / "out" / "bench"
    raw: dict[str, Any] = {"environment": report.environment()}
    if options.write and (kept := [part for part in MEASURED if part not in parts]):
        raw |= _read(folder, kept)
    if "peers" in parts:
        raw["peers"] = measure_peers(quick=options.quick)
    if "growth" in parts:
        raw["growth"] = [_measure("growth/curves.py", axis, options.quick) for axis in AXES]
    if "limits" in parts:
        raw |= _measure_limits(options.quick)
    table = _write(folder, raw)
    print(table)
    if options.write:
        before, _, after = README.read_text(encoding="utf-8").split(MARK)
        README.write_text(f"{before}{MARK}\n{table}\n{MARK}{after}", encoding="utf-8")
    print(f"\n{(time.monotonic() - started) / 60:.0f} minutes; figures and plots are in {folder}", flush=True)
    for cost in COSTS if "costs" in parts else ():
        subprocess.run([sys.executable, str(FOLDER / cost)], check=True)


def _read(folder: Path, parts: Sequence[str]) -> dict[str, Any]:
    """Return these parts as they were measured before."""
    raw = json.loads((folder / "bench.json").read_text(encoding="utf-8"))
    if raw["environment"] != report.environment():
        raise SystemExit(
            f"{', '.join(parts)} were measured elsewhere, with {raw['environment']}: measure all."
        )
    return {part: raw[part] for part in (*parts, ADDITIONS) if part in raw}


def _measure_limits(quick: bool) -> dict[str, Any]:
    """Return what was measured of the limits, and how quick Python was before, between and after."""
    found, additions = [], [_time_additions()]
    for group in GROUPS:
        found += _measure("limits/measure.py", group, quick)
        additions.append(_time_additions())
    return {"limits": found, ADDITIONS: additions}


def _time_additions() -> float:
    """Return the milliseconds of a million additions in Python, in CPU time."""
    started, total = time.thread_time(), 0
    for number in range(1_000_000):
        total += number
    return 1000 * (time.thread_time() - started)


def _measure(script: str, what: str, quick: bool) -> Any:
    """Return what a script of this folder prints as JSON, run in a process of its own."""
    print(f"{what} ...", file=sys.stderr, flush=True)
    command = [sys.executable, str(FOLDER / script), what, *(["--quick"] if quick else [])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{script} {what} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def _write(folder: Path, raw: dict[str, Any]) -> str:
    """Write figures and plots into `folder`; return the table in Markdown."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bench.json").write_text(json.dumps(_rounded(raw)), encoding="utf-8")
    cases, curves, own = raw.get("peers", []), raw.get("growth", []), raw.get("limits", [])
    measured = list(map(from_plain, own))
    call = next((limit.median for limit in measured if limit.what == AROUND.format(2)), None)
    limits = read_limits(cases, curves, call) + measured
    said = [report.make_table(cases, raw["environment"])] if cases else []
    if limits:
        said.append(_LIMITS + _tell_additions(raw.get(ADDITIONS, [])) + "\n\n" + make_limits_table(limits))
    plots = [draw(curve, folder) for curve in curves]
    said += (
        [" ".join(f"![{plot.stem}]({plot.relative_to(ROOT).as_posix()})" for plot in plots)] if plots else []
    )
    return "\n\n".join(said)


_LIMITS = "What it is held to, by the median; half of the measurements lie in the range behind it."


def _tell_additions(took: Sequence[float]) -> str:
    """Say how quick Python was: microseconds are those of a machine, and of the state it is in."""
    if not took:
        return ""
    return f" A million additions in Python took {min(took):.0f} to {max(took):.0f} ms meanwhile."


def _rounded(x: Any) -> Any:
    """Return figures with five digits: more are noise, and bytes."""
    if isinstance(x, float):
        return float(f"{x:.5g}")
    if isinstance(x, dict):
        return {name: _rounded(y) for name, y in x.items()}
    return [_rounded(y) for y in x] if isinstance(x, (list, tuple)) else x


if __name__ == "__main__":
    main()
