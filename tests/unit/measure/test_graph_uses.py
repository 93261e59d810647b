"""Which graphs are found again, which never, and which lie in the shadow of another."""

import json

import pytest
import torch
from torch import nn

import gaudi_lab
from gaudi_lab import bridge


class Branching(nn.Module):
    """Its graph depends on an attribute."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.kind = "plain"

    def forward(self, x):
        return self.linear(x) * (2 if self.kind == "plain" else 3)


@pytest.fixture
def model(workbench):
    torch._dynamo.reset()
    torch.manual_seed(0)
    model = Branching().eval().to("hpu")
    gaudi_lab.attach(model, "model")
    yield model
    torch._dynamo.reset()


def call(model, rows, times=1):
    with torch.no_grad():
        for _ in range(times):
            model(torch.ones(rows, 4).to("hpu")).cpu()


def uses(before, layer):
    return [graph for graph in gaudi_lab.why(since=before).graphs if graph.layer == layer]


def test_recorded_programs_count_what_they_are_found_for(model):
    gaudi_lab.mode("lazy")
    before = gaudi_lab.why()
    call(model, 101, times=4)
    call(model, 103)
    often, once = uses(before, "recipe")
    assert (often.hits, once.hits) == (3, 0)
    assert not often.never_hit
    assert not once.never_hit, "nothing was called since"
    call(model, 101)
    assert uses(before, "recipe")[1].never_hit
    assert "101×4 → 103×4" in once.cause.text
    later = gaudi_lab.why()
    call(model, 103, times=2)
    assert [(graph.name, graph.hits) for graph in uses(later, "recipe")] == [(once.name, 2)]


def test_a_captured_graph_counts_its_replays(model):
    gaudi_lab.mode("lazy")
    gaudi_lab.hpu_graphs(model)
    before = gaudi_lab.why()
    call(model, 105, times=4)
    call(model, 107)
    often, once = uses(before, "HPU graph")
    assert (often.hits, once.hits) == (3, 0)
    (status,) = gaudi_lab.status().models
    assert [graph.replays for graph in status.graphs] == [often.hits, once.hits]
    gaudi_lab.detach("model")
    assert uses(before, "HPU graph") == []


def test_graphs_of_torch_compile_count_their_calls(model):
    gaudi_lab.mode("compile")
    before = gaudi_lab.why()
    call(model, 5, times=4)
    call(model, 6)
    often, once = uses(before, "Dynamo")
    assert (often.hits, once.hits) == (3, 0)
    # Each has calls of its own.
    assert (often.shadow, once.shadow) == ("", "")


def test_a_graph_of_any_size_takes_the_calls_of_an_older_one(model):
    """As `torch.compile` does it by itself for a second size."""
    gaudi_lab.mode("eager")
    compiled = torch.compile(model, backend=bridge.COMPILE_BACKEND)
    before = gaudi_lab.why()
    call(compiled, 5)
    call(compiled, 6)
    call(compiled, 5, times=3)
    older, newer = uses(before, "Dynamo")
    assert older.shadow == newer.name
    assert older.shadow_cause == newer.cause
    assert "mark_dynamic(x, 0) before the first call" in older.remedy
    assert newer.shadow == ""
    # That is what happens: none of the three calls came to the older one.
    assert (older.hits, newer.hits) == (0, 3)


def test_where_something_else_has_changed_no_shadow_is_claimed(model):
    gaudi_lab.mode("eager")
    compiled = torch.compile(model, backend=bridge.COMPILE_BACKEND)
    before = gaudi_lab.why()
    call(compiled, 5)
    model.kind = "other"
    call(compiled, 5)
    call(compiled, 6)
    # The first graph's own guards do not hold now: no call could come to it, whatever is newer.
    assert [bool(graph.shadow) for graph in uses(before, "Dynamo")] == [False, True, False]
    model.kind = "plain"
    assert [bool(graph.shadow) for graph in uses(before, "Dynamo")] == [False, False, False]


def test_the_question_compiles_records_and_keeps_nothing(model):
    gaudi_lab.mode("eager")
    compiled = torch.compile(model, backend=bridge.COMPILE_BACKEND)
    before = gaudi_lab.why()
    call(compiled, 5)
    call(compiled, 6)
    (older, _) = uses(before, "Dynamo")
    count = gaudi_lab.why().count
    gaudi_lab.mode("lazy")
    recorded = bridge.recording()
    assert uses(before, "Dynamo")[0].shadow == older.shadow
    assert bridge.recording() == recorded
    assert gaudi_lab.why().count == count
    torch._dynamo.reset()
    assert uses(before, "Dynamo") == []


def test_every_form_tells_it(model):
    gaudi_lab.mode("eager")
    compiled = torch.compile(model, backend=bridge.COMPILE_BACKEND)
    before = gaudi_lab.why()
    call(compiled, 5)
    call(compiled, 6, times=2)
    why = gaudi_lab.why(since=before)
    (unused,) = why.unused
    older, newer = why.graphs
    for form in (repr(why), why._repr_html_()):
        assert f"in the shadow of {newer.name}, which takes its calls (x 5×4" in form
        assert unused.remedy in form
    assert "1 graph never found again · 1 graph in the shadow of another" in str(why)
    first, again = sorted(why.to_records(), key=lambda record: record["kind"])
    assert (first["graphs"], first["hits"], first["never_hit"], first["shadowed"]) == (1, 0, 1, 1)
    assert (again["graphs"], again["hits"], again["never_hit"], again["shadowed"]) == (1, 1, 0, 0)
    told = [x for x in json.loads(why.to_json()) if "hits" in x]
    assert [(x["name"], x["hits"], x["shadow"]) for x in told] == [
        (older.name, 0, newer.name),
        (newer.name, 1, ""),
    ]


def test_where_nobody_tells_nothing_is_claimed(model, monkeypatch):
    monkeypatch.setattr(bridge, "hits_of", lambda name: None)
    gaudi_lab.mode("compile")
    before = gaudi_lab.why()
    call(model, 5)
    (graph,) = uses(before, "Dynamo")
    assert graph.hits is None
    assert not graph.never_hit
    why = gaudi_lab.why(since=before)
    assert why.unused == ()
    assert [record["never_hit"] for record in why.to_records()] == [None]
