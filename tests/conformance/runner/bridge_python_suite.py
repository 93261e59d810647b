"""Intel's own Python on the emulated device: tests of the contract and of the workbench, on the bridge's own files.

`intel_python/` stands in for its compiled modules, and says which of its files run. The files come from
``gaudi-pytorch-bridge`` in the folder that ``GAUDI_LAB_SUITES`` names, release 1.19, and are only read. A test that
asks for another release by itself gets the emulated bridge of that release, and says nothing here.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from conformance_table import Row
from foreign_tests import HERE, ROOT, SUITES, read_report
from known_failures import Verdict, judge
from op_db_shards import Outcome

SOURCES = SUITES / "gaudi-pytorch-bridge" / "python_packages"
RELEASE = "1.19"
TESTS = {
    "graphs": ["tests/conformance/test_contract_graphs.py"],
    "metrics": ["tests/conformance/test_contract_metrics.py"],
    "attention": ["tests/conformance/test_contract_attention.py"],
    "operators": ["tests/conformance/test_contract_operators.py"],
    "workbench": ["tests/unit/instruments/test_graphs.py"],
    # An error leaves a capture open there, which what runs behind it in the process would meet.
    "broken captures": ["tests/unit/instruments/test_broken_capture.py"],
    "lab": ["tests/unit/workbench/test_lab.py"],
}


def runs(workers: int) -> list[tuple[Row, Verdict | None]]:
    """Run everything; return the rows, with what known_failures.toml says of each."""
    if not SOURCES.is_dir():
        text = "not run: GAUDI_LAB_SUITES has no gaudi-pytorch-bridge"
        return [(Row("Intel's Python", "lazy", 0, 0, text), None)]
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(_run, TESTS))


def _run(name: str) -> tuple[Row, Verdict]:
    path = [HERE / "intel_python", ROOT]
    variables = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([*map(str, path), os.environ.get("PYTHONPATH", "")]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "INTEL_PYTHON": str(SOURCES),
        "INTEL_RELEASE": RELEASE,
        "PT_HPU_LAZY_MODE": "1",
        "GAUDI_LAB_COMPILER": "replay",
        "OMP_NUM_THREADS": "1",
    }
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch) / "report.xml"
        # Its files call what this PyTorch deprecates, which in our own tests is an error.
        command = ["-m", "pytest", "-q", "-W", "ignore", "-p", "no:cacheprovider", "--tb=line"]
        subprocess.run(
            [sys.executable, *command, f"--junitxml={report}", *TESTS[name]],
            check=False,
            capture_output=True,
            cwd=ROOT,
            env=variables,
        )
        outcomes, skipped = read_report(report) if report.exists() else ([], 0)
    outcomes = outcomes or [Outcome("collection", 1, ("the run ended without a report",))]
    what = f"Intel's Python: {name}"
    verdict = judge(what, "lazy", outcomes)
    failed = verdict.known + len(verdict.new)
    note = f"{failed} failed, {skipped} skipped; {verdict.known} known"
    return Row(what, "lazy", verdict.passed, verdict.passed + failed, note), verdict
