"""Reasons to compile again, planted one at a time: each is named as what it is, with the line and what to change."""

import pytest
from planted_reasons import CASES, observe


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_planted_reason_is_named(case, workbench):
    costs = observe(case)
    causes = [cost.cause for cost in costs]
    assert causes, "nothing was compiled"
    found = {(x.what, x.kind) for cause in causes for x in cause.differences}
    assert case.expected <= found, causes
    if case.kind:
        causes = [cause for cause in causes if cause.kind == case.kind]
    assert len(causes) == 1, causes
    assert causes[0].established
    assert case.remedy in causes[0].remedy
    if case.line:
        assert causes[0].source.source == case.line


@pytest.mark.parametrize("case", [case for case in CASES if case.number in (1, 15)], ids=str)
def test_the_same_call_again_has_no_cause(case, workbench):
    assert observe(case, again=True) == ()
