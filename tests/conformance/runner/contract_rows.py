"""The contract's lines in the table: rows whose tests pass, of all rows."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from xml.etree import ElementTree

from conformance_table import Row

_TESTS = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(_TESTS))  # the contract, and the tests that cover it

from contract import contract, covered, messages, raised  # noqa: E402


def rows() -> list[Row]:
    """Run the contract's tests and count."""
    tests = sorted(_TESTS.glob("test_contract*.py"))
    outcomes = _outcomes(tests)
    for test in tests:
        __import__(test.stem)
    names = [outcome for name, outcome in outcomes if name.startswith("test_name[")]
    by_test: dict[str, list[str]] = {}
    for name, outcome in outcomes:
        by_test.setdefault(name.partition("[")[0], []).append(outcome)
    behaviours = {row["id"]: covered.get(row["id"], []) for row in contract()["behaviour"]}
    texts = {identity: raised.get(identity, []) for identity in messages()}
    absent = len(contract()["absent"])
    return [
        Row("contract: names", "both", names.count("passed"), len(contract()["name"])),
        _row("contract: behaviours", behaviours, by_test, absent),
        _row("contract: messages", texts, by_test, 0),
    ]


def _outcomes(tests: Iterable[Path]) -> list[tuple[str, str]]:
    """Run `tests` and return the name and the outcome of each: ``passed``, ``failed`` or ``not run``."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        subprocess.run(
            [sys.executable, "-m", "pytest", "-q", f"--junitxml={report}", *map(str, tests)],
            check=False,
            stdout=subprocess.DEVNULL,
        )
        cases = list(ElementTree.parse(report).getroot().iter("testcase"))
    return [(case.get("name", ""), _outcome(case)) for case in cases]


def _outcome(case: ElementTree.Element) -> str:
    if case.find("skipped") is not None:
        return "not run"
    return "failed" if len(case) else "passed"


def verdict(tests: Sequence[str], by_test: dict[str, list[str]]) -> str:
    """Return what the tests of one row say together: ``passed``, ``failed``, ``not run`` or ``no test``.

    A row of which one case could not run here has not passed.
    """
    found = [outcome for test in tests for outcome in by_test.get(test, [])]
    return next((x for x in ("failed", "not run", "passed") if x in found), "no test")


def _row(what: str, tests: dict[str, list[str]], by_test: dict[str, list[str]], absent: int) -> Row:
    verdicts = {identity: verdict(of_row, by_test) for identity, of_row in tests.items()}
    notes = [f"{absent} absent"] if absent else []
    for bad in ("failed", "not run", "no test"):
        ids = [identity for identity, found in verdicts.items() if found == bad]
        notes += [f"{bad}: {', '.join(ids)}"] if ids else []
    passed = list(verdicts.values()).count("passed")
    return Row(what, "both", passed, len(verdicts) + absent, "; ".join(notes))
