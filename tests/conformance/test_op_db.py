"""A slice of PyTorch's own samples; `make conformance` runs them all."""

from __future__ import annotations

import op_db_rows
import pytest
from conformance_table import text
from known_failures import entries


@pytest.mark.parametrize("mode", ["eager", "lazy"])
@pytest.mark.parametrize(("database", "every"), [("op_db", 7), ("module_db", 4)])
def test_cases_that_pytorch_wrote_agree_with_the_cpu(database, every, mode, capsys):
    row, verdict = op_db_rows.row(database, mode, every=every)
    with capsys.disabled():
        print("\n" + text([row]))
    assert verdict.new == []
    assert verdict.healed == [], "these pass now: take them out of known_failures.toml"
    assert row.passed / row.total >= {"eager": 0.99, "lazy": 0.97}[mode]


def test_cases_that_openvino_compiles_agree_with_the_cpu(capsys):
    pytest.importorskip("openvino")
    row, verdict = op_db_rows.row("op_db", "lazy", compiler="openvino", every=97)
    with capsys.disabled():
        print("\n" + text([row]))
    assert verdict.new == []
    assert not row.note.startswith("0 programs compiled")


def test_no_known_failure_is_a_wrong_number():
    assert [x for x in entries() if "wrong" in x.raises] == []
    assert all(x.reason and x.raises for x in entries())
