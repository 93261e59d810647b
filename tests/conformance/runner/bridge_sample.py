"""A pytest plugin: keeps a sample of the bridge's own tests, and writes down what became of each case as it ends.

It runs inside the suite's own pytest, beside its unmodified conftest. `bridge_suite` loads it with ``-p`` and tells
it by the environment what to do.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import defaultdict
from typing import Any, TextIO

import pytest

LINES = "GAUDI_LAB_BRIDGE_LINES"
MOST = "GAUDI_LAB_BRIDGE_MOST"
DONE = "GAUDI_LAB_BRIDGE_DONE"
_SEED = "bridge 1.19"


class CaseLines:
    """Writes one line of JSON when a case begins and one when it has ended.

    Attributes
    ----------
    file
        Where to.
    """

    def __init__(self, file: TextIO) -> None:
        self.file = file
        self._problems: list[str] = []
        self._skipped = False

    def pytest_collectreport(self, report: Any) -> None:
        """Note a file that cannot be imported: it counts as one case."""
        if report.failed:
            self._write(case=report.nodeid, problems=[_last_line(str(report.longrepr))], skipped=False)

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Say which case begins: it is to blame if the process ends."""
        self._problems, self._skipped = [], False
        self._write(began=nodeid)

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Note what a phase of the case says. A failure that the suite expects is none."""
        if report.failed:
            # Not a class of `Exception` and its module only: the line that pytest marks with E says why.
            self._problems.append(f"{report.when}: {_last_line(str(report.longrepr))}")
        elif report.skipped:
            self._skipped = True

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """Say what became of the case."""
        self._write(case=nodeid, problems=self._problems, skipped=self._skipped)

    def _write(self, **line: Any) -> None:
        self.file.write(json.dumps(line) + "\n")
        self.file.flush()


def _last_line(text: str) -> str:
    marked = [line[1:].strip() for line in text.splitlines() if line.startswith("E ")]
    lines = [line for line in marked or text.splitlines() if line.strip()]
    # The error is the first line that pytest marks; a mismatch of numbers goes on for many.
    return next((x for x in lines if "Error" in x or "Exception" in x), lines[0] if lines else "")[:300]


def pytest_configure(config: pytest.Config) -> None:
    """Begin to write down."""
    if LINES in os.environ:
        config.pluginmanager.register(CaseLines(open(os.environ[LINES], "a")))  # noqa: SIM115 - open to the end


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep at most so many cases of each test function, always the same ones, without those that are done."""
    most = int(os.environ.get(MOST, "0"))
    done = set(json.loads(os.environ.get(DONE, "[]")))
    by_function: dict[str, list[pytest.Item]] = defaultdict(list)
    for item in items:
        by_function[item.nodeid.partition("[")[0]].append(item)
    kept = set()
    for cases in by_function.values():
        chosen = sorted(cases, key=_lot)[: most or None]
        kept.update([item.nodeid for item in chosen])
    kept -= done
    config.hook.pytest_deselected(items=[item for item in items if item.nodeid not in kept])
    items[:] = [item for item in items if item.nodeid in kept]


def _lot(item: pytest.Item) -> str:
    return hashlib.sha256(f"{_SEED} {item.nodeid}".encode()).hexdigest()
