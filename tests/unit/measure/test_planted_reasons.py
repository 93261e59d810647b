"""Reasons to compile again, planted one at a time: each is named as what it is, with the line and what to change."""

import pytest
import torch
from planted_reasons import CASES, observe, observe_uncomputed

import gaudi_lab
from gaudi_lab import bridge
from gaudi_lab.emulator.lazy.record import tape, trie


@pytest.fixture(autouse=True)
def nothing_compiled(workbench):
    """What a case plants, no other test has compiled before."""
    trie.clear()
    tape.restart()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_planted_reason_is_named(case, workbench):
    why = observe(case)
    causes = [cost.cause for cost in why.costs]
    assert causes, "nothing was compiled"
    found = {(x.what, x.kind) for cause in causes for x in cause.differences}
    assert case.expected <= found, causes
    if case.kind:
        causes = [cause for cause in causes if cause.kind == case.kind]
    assert len(causes) == 1, causes
    assert causes[0].established is ("likely" not in causes[0].text)
    shadowed = [graph for graph in why.graphs if graph.shadow]
    assert len(shadowed) == case.shadowed
    assert case.remedy in (shadowed[0].remedy if shadowed else causes[0].remedy)
    if case.line:
        assert causes[0].source.source == case.line


def test_what_a_compile_only_warm_up_leaves_behind_is_named(workbench):
    (told,) = observe_uncomputed()
    assert "scale" in told
    assert "planted_reasons.py" in told


@pytest.mark.parametrize("case", [case for case in CASES if case.number in (1, 15)], ids=str)
def test_the_same_call_again_has_no_cause(case, workbench):
    assert observe(case, again=True).costs == ()


def test_what_only_the_calls_tell_is_called_likely(net, workbench, monkeypatch):
    """Intel's bridge counts what it compiles, and tells of nothing one by one."""
    monkeypatch.setattr(bridge, "watch_programs", lambda *_: lambda: None)
    gaudi_lab.mode("lazy")
    gaudi_lab.attach(net, "net")
    rows = iter((31, 37, 37))
    timeline = gaudi_lab.warmup(lambda: net(torch.randn(next(rows), 4).to("hpu")).cpu(), n=3)
    first, second, third = timeline.iterations
    assert [str(cause) for cause in first.causes] == ["new shape 31×4 for net"]
    (cause,) = second.causes
    assert str(cause) == "likely input 31×4 → 37×4"
    assert not cause.established
    assert third.causes == ()


def test_without_a_difference_nothing_is_claimed(workbench):
    """What was recorded outside of every model differs in an operator, and no call is blamed for it."""
    gaudi_lab.mode("lazy")
    model = torch.nn.Linear(3, 3).to("hpu")
    gaudi_lab.attach(model, "model")
    x = torch.randn(61).to("hpu")
    model(torch.randn(2, 3).to("hpu")).cpu()
    x.erfinv().exp().add(1).cpu()
    before = gaudi_lab.why()
    x.erfinv().log().add(1).cpu()
    (cost,) = gaudi_lab.why(since=before).costs
    assert cost.cause.text == "operator aten.exp → aten.log"
    assert cost.cause.model == ""


def test_weights_that_are_constants_of_a_graph_and_change_are_named(workbench, monkeypatch):
    pytest.importorskip("openvino")
    monkeypatch.setenv("GAUDI_LAB_COMPILER", "openvino")
    gaudi_lab.mode("lazy")
    net = torch.nn.Linear(37, 3).eval().to("hpu")
    gaudi_lab.attach(net, "net")
    x = torch.randn(5, 37).to("hpu")
    with torch.no_grad():
        net(x).cpu()
        before = gaudi_lab.why()
        net(x).cpu()
        assert gaudi_lab.why(since=before).costs == ()
        net.weight.mul_(2)
        for _ in range(3):  # the second time in a row that they come they are constants
            net(x).cpu()
    (cost,) = [x for x in gaudi_lab.why(since=before).costs if x.cause.kind == "constants"]
    assert (cost.count, cost.cause.again, cost.cause.call.source) == (1, True, "net(x).cpu()")
    assert "GAUDI_LAB_COMPILER=replay" in cost.cause.remedy
