"""What compiling has cost, by cause and by call."""

import json
import sys

import pytest
import torch

import gaudi_lab
from gaudi_lab.errors import LabError
from gaudi_lab.measure.causes.cause import Cause, Difference, Place
from gaudi_lab.measure.causes.history import LATEST, MOST_CAUSES, OTHERS, Compile, History
from gaudi_lab.measure.why import Why


def shape(before, now, call=None):
    difference = Difference("x", "shape", before, now)
    return Cause("shape", str(difference), (difference,), call=call, remedy="pad x")


def why(*compiles):
    history = History()
    for compiled in compiles:
        history.add(compiled)
    return Why(history.costs, emulated=True)


def test_equal_causes_are_one_row_whatever_the_values():
    found = why(
        Compile("recipe", shape("2×3", "4×3"), 1.0),
        Compile("recipe", shape("4×3", "5×3"), 2.0),
        Compile("Dynamo", Cause("first", "first call"), 9.0),
    )
    assert [(cost.count, cost.seconds) for cost in found.costs] == [(1, 9.0), (2, 3.0)]
    assert found.costs[1].cause.text == "x 4×3 → 5×3"
    assert (found.count, found.seconds) == (3, 12.0)
    assert [cost.seconds for cost in found.again] == [3.0]


def test_what_came_on_top_of_an_earlier_answer():
    one, other = Compile("recipe", shape("2", "3"), 1.0), Compile("recipe", Cause("first", "first call"), 4.0)
    (cost,) = why(one, one, other).since(why(one, other)).costs
    assert (cost.cause.kind, cost.count, cost.seconds) == ("shape", 1, 1.0)
    assert why(one).since(why(one)).costs == ()


def test_a_cause_for_which_several_layers_compiled_says_how_often_each_did():
    both = [Compile("recipe", shape("2", "3"), 1.0), Compile("HPU graph", shape("2", "3"), 1.0)]
    assert "2 × recipe, 1 × HPU graph" in repr(why(*both, both[0]))
    assert "2 × recipe" not in repr(why(both[0], both[0])), "it is all of them"
    assert why(*both, both[0]).since(why(*both)).costs[0].layers == {"recipe": 1}


def test_costs_by_call():
    here, there = Place("a.py", 3), Place("", 2, cell=7)
    found = why(
        Compile("recipe", shape("1", "2", here), 1.0),
        Compile("recipe", shape("1", "2", there), 5.0),
        Compile("recipe", Cause("first", "first call", call=here), 1.5),
    )
    assert [(str(site.call), site.count, site.seconds) for site in found.sites] == [
        ("cell 7, line 2", 1, 5.0),
        ("a.py:3", 2, 2.5),
    ]


def test_memory_is_bounded():
    history = History()
    for number in range(MOST_CAUSES + LATEST):
        history.add(Compile("recipe", Cause("first", f"first call of {number}"), 1.0))
    assert len(history.costs) == MOST_CAUSES + 1
    assert max(history.costs, key=lambda cost: cost.count).cause == OTHERS
    assert sum(cost.count for cost in history.costs) == MOST_CAUSES + LATEST
    assert len(history.since(0)) == LATEST
    assert len(history.since(history.number - 2)) == 2


def test_records_and_json_have_every_fact():
    found = why(Compile("recipe", shape("2", "3", Place("a.py", 3)), 1.0, loaded=True))
    (record,) = found.to_records()
    assert record["why"] == "x 2 → 3"
    assert (record["count"], record["loaded"], record["call"], record["remedy"]) == (1, 1, "a.py:3", "pad x")
    (cost,) = json.loads(found.to_json())
    assert cost["cause"]["differences"] == [{"what": "x", "kind": "shape", "before": "2", "now": "3"}]


def test_a_frame_without_pandas_says_what_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(LabError, match="pip install pandas"):
        why().to_frame()


def test_a_warm_up_says_which_part_was_compiling_and_compiling_again(net, workbench):
    gaudi_lab.mode("lazy")
    gaudi_lab.attach(net, "net")
    sizes = iter((17, 19, 19))
    timeline = gaudi_lab.warmup(lambda: net(torch.randn(next(sizes), 4).to("hpu")).cpu(), n=3)
    first, second, third = timeline.iterations
    assert first.compiling_again in (0, None) or first.causes[0].differences
    assert second.compiling_again > 0
    assert str(second.causes[0]).endswith("17×4 → 19×4")
    assert third.causes == ()
    assert "compiling" in str(timeline)
    assert "again" in str(timeline)


def test_a_warm_up_with_torch_compile_counts_what_it_traces(net, workbench):
    gaudi_lab.mode("compile")
    gaudi_lab.attach(net, "net")
    sizes = iter((3, 5, 5))
    timeline = gaudi_lab.warmup(lambda: net(torch.randn(next(sizes), 4).to("hpu")).cpu(), n=3)
    first, second, third = timeline.iterations
    assert 0 < first.tracing < first.compiling <= first.wall_time
    assert first.compiling_again == 0
    assert 0 < second.compiling_again <= second.compiling
    assert third.compiling == 0
    assert "of tracing for torch.compile" in str(timeline)
    assert "100% of that again" not in str(timeline)


def test_without_a_model_nothing_was_compiled(workbench):
    assert "nothing was compiled" in str(gaudi_lab.why(since=gaudi_lab.why()))


def test_text_and_html_have_cause_place_and_remedy():
    cause = shape("2×3", "4×3", Place("", 4, cell=2, source="model(x)"))
    found = why(Compile("recipe", cause, 0.25))
    for form in (repr(found), found._repr_html_()):
        for fact in ("x 2×3 → 4×3", "cell 2, line 4", "pad x", "250 ms", "emulated on CPU"):
            assert fact in form


def test_a_call_that_runs_without_a_graph_is_there_with_what_to_do(workbench):
    class Counting(torch.nn.Module):
        def forward(self, x):
            self.calls = getattr(self, "calls", 0) + 1
            return x * self.calls

    model = Counting().eval().to("hpu")
    gaudi_lab.attach(model, "counting")
    gaudi_lab.mode("lazy")
    gaudi_lab.hpu_graphs(model)
    before = gaudi_lab.why()
    with pytest.warns(UserWarning, match="runs without a graph"):
        assert [model(torch.ones(3, device="hpu")).cpu().tolist() for _ in range(2)] == [[1.0] * 3, [2.0] * 3]
    found = gaudi_lab.why(since=before)
    (refused,) = [cost.cause for cost in found.costs if cost.cause.kind == "refused"]
    assert "calls" in refused.text
    assert refused.model == "counting"
    assert found.count == sum(cost.count for cost in found.costs) - 1
