"""The contract's line in the table: rows whose test passes, of all rows."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree

from conformance_table import Row
from contract import contract, covered

_HERE = Path(__file__).parent


def rows() -> list[Row]:
    """Run the contract's tests and count."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        tests = sorted(_HERE.glob("test_contract*.py"))
        subprocess.run(
            [sys.executable, "-m", "pytest", "-q", f"--junitxml={report}", *map(str, tests)],
            check=False,
            stdout=subprocess.DEVNULL,
        )
        cases = ElementTree.parse(report).getroot().iter("testcase")
        outcomes = [(case.get("name", ""), not len(case)) for case in cases]
    for test in tests:
        __import__(test.stem)
    passed: dict[str, bool] = {}
    for name, good in outcomes:
        function = name.partition("[")[0]
        passed[function] = passed.get(function, True) and good
    names = [good for name, good in outcomes if name.startswith("test_name[")]
    behaviours = [passed.get(covered.get(row["id"], ""), False) for row in contract()["behaviour"]]
    return [
        Row("contract: names", "both", sum(names), len(contract()["name"]) + len(contract()["absent"])),
        Row("contract: behaviours", "both", sum(behaviours), len(behaviours)),
    ]
