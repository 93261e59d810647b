"""Models are followed from when they are attached, and nothing is left behind."""

import gc
import weakref

import pytest
import torch
from torch import nn
from torch._dynamo import callback, convert_frame
from torch._dynamo.utils import counters

import gaudi_lab
from gaudi_lab import origin
from gaudi_lab.emulator.lazy import record
from gaudi_lab.measure.causes.guards import listening
from gaudi_lab.measure.causes.watched.following import MOST_CALLS
from gaudi_lab.measure.causes.watching import watching
from tests.unit import tiny_models


class Own(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(6, 6)

    def forward(self, x):
        return self.linear(x).relu()


@pytest.mark.parametrize("mode", ["lazy", "compile"])
def test_a_growing_cache_is_named_with_what_holds_it_still(mode, workbench):
    torch._dynamo.reset()
    model = tiny_models.llama(vocab_size=64).to("hpu")
    gaudi_lab.mode(mode)
    gaudi_lab.attach(model, "llama")
    model.generate(torch.ones(1, 4, dtype=torch.long, device="hpu"), max_new_tokens=4, do_sample=False).cpu()
    before = gaudi_lab.why()
    model.generate(torch.ones(1, 4, dtype=torch.long, device="hpu"), max_new_tokens=7, do_sample=False).cpu()
    costs = gaudi_lab.why(since=before).costs
    assert any("cache.layers" in cost.cause.text for cost in costs)
    named = next(cost.cause for cost in costs if cost.cause.text.startswith("cache.layers"))
    assert 'cache_implementation="static"' in named.remedy
    torch._dynamo.reset()


def test_dynamo_is_watched_as_soon_as_the_process_leaves_lazy_mode(net, workbench):
    gaudi_lab.mode("lazy")
    handle = gaudi_lab.attach(net, "net")
    net(torch.ones(3, 4, device="hpu"))
    assert not listening._in_use
    gaudi_lab.mode("eager")
    assert listening._in_use
    handle.remove()
    assert not listening._in_use


def test_nothing_is_watched_while_nothing_is_attached(net, workbench):
    handle = gaudi_lab.attach(net, "net")
    assert record.watchers
    assert origin.watched
    handle.remove()
    assert not record.watchers
    assert not origin.watched
    assert "_compiled_call_impl" not in vars(net)
    assert convert_frame.get_and_maybe_log_recompilation_reasons.__module__ == "torch._dynamo.guards"
    assert not [
        x for x in callback.callback_handler.start_callbacks if "guards" in type(x.__self__).__module__
    ]


def test_neither_model_nor_inputs_are_kept_alive(workbench):
    model = Own().to("hpu")
    gaudi_lab.mode("lazy")
    gaudi_lab.attach(model, "own")
    x = torch.randn(3, 6).to("hpu")
    model(x).cpu()
    gone = weakref.ref(model), weakref.ref(x._cell)
    gaudi_lab.detach("own")
    del model, x
    gc.collect()
    assert [ref() for ref in gone] == [None, None]


def test_somebody_s_own_compile_traces_the_model_and_not_the_watch(workbench):
    def frames(watched):
        torch._dynamo.reset()
        counters.clear()
        model = Own().to("hpu")
        held = watching.follow("own", model) if watched else None
        compiled = torch.compile(model, backend="hpu_backend")
        compiled(torch.randn(2, 6).to("hpu"))
        compiled(torch.randn(2, 6).to("hpu"))
        if held is not None:
            held.remove()
        return dict(counters["frames"]), counters["stats"]["calls_captured"]

    assert frames(watched=False) == frames(watched=True)
    torch._dynamo.reset()


def test_a_reset_of_dynamo_does_not_end_the_watch(net, workbench):
    gaudi_lab.mode("compile")
    gaudi_lab.attach(net, "net")
    net(torch.randn(3, 4).to("hpu"))
    torch._dynamo.reset()
    before = gaudi_lab.why()
    net(torch.randn(3, 4).to("hpu"))
    assert [cost.cause.kind for cost in gaudi_lab.why(since=before).costs] == ["first"]


def test_many_different_calls_take_bounded_memory(workbench):
    model = nn.Identity().to("hpu")
    with watching.follow("identity", model):
        for rows in range(MOST_CALLS + 50):
            model(torch.empty(rows, 1, device="hpu"))
        assert len(watching._followed[model].signatures) == MOST_CALLS


def test_the_line_is_the_user_s_and_not_a_library_s(bert, workbench):
    gaudi_lab.mode("lazy")
    gaudi_lab.attach(bert, "bert")
    before = gaudi_lab.why()
    for length in (9, 11):
        bert(torch.ones(1, length, dtype=torch.long, device="hpu")).last_hidden_state.cpu()
    for cost in gaudi_lab.why(since=before).costs:
        for place in (cost.cause.source, cost.cause.call):
            assert place is None or place.file == "test_watching.py"
    shapes = [cost.cause for cost in gaudi_lab.why(since=before).costs if cost.cause.kind == "shape"]
    assert [x.what for cause in shapes for x in cause.differences] == ["input_ids"]
    assert shapes[0].source.source.startswith("bert(torch.ones")


def test_a_model_keeps_its_name_until_it_is_attached_under_another(net, workbench):
    gaudi_lab.attach(type("Trainer", (), {"model": net})(), "trainer")
    gaudi_lab.warmup(lambda: net(torch.randn(3, 4).to("hpu")), n=1)
    assert watching.memory_of(net).name == "trainer.model"
    gaudi_lab.attach(net, "mine")
    assert watching.memory_of(net).name == "mine"


@pytest.mark.parametrize("attached", [True, False])
def test_what_a_comparison_compiles_is_one_row_and_no_call_of_the_users(net, workbench, attached):
    if attached:
        gaudi_lab.attach(net, "net")
    x = torch.randn(3, 4).to("hpu")
    before = gaudi_lab.why()
    gaudi_lab.compare(net, x, settings=["lazy", "eager"], rounds=1, calls=2, quiet=True)
    tried = gaudi_lab.why(since=before)
    assert [cost.cause.text for cost in tried.costs] == ["tried by compare"]
    assert tried.graphs == ()
    before = gaudi_lab.why()
    gaudi_lab.attach(net, "net")
    gaudi_lab.mode("lazy")
    net(torch.randn(5, 4).to("hpu")).cpu()
    assert [cost.cause.kind for cost in gaudi_lab.why(since=before).costs] != ["trial"]


def test_a_graph_is_called_unused_only_after_another_call(net, workbench):
    gaudi_lab.mode("lazy")
    gaudi_lab.attach(net, "net")
    before = gaudi_lab.why()
    net(torch.randn(7, 4).to("hpu")).cpu()
    assert gaudi_lab.why(since=before).unused == ()
    net(torch.randn(9, 4).to("hpu")).cpu()
    assert sum(graphs.count for graphs in gaudi_lab.why(since=before).unused) == 1


def test_a_call_that_raises_leaves_no_trace(net, workbench):
    gaudi_lab.mode("lazy")
    gaudi_lab.attach(net, "net")
    with pytest.raises(RuntimeError):
        net(torch.randn(3, 5).to("hpu")).cpu()
    assert watching.running == []


def test_a_model_that_is_made_anew_in_a_loop_is_told_apart_from_a_first_one(workbench):
    """Cause 14 of the list: with HPU graphs only. Recorded programs and Dynamo's graphs are found again."""
    gaudi_lab.mode("lazy")
    causes = []
    for _ in range(2):
        model = Own().eval().to("hpu")
        gaudi_lab.attach(model, "own")
        gaudi_lab.hpu_graphs(model)
        before = gaudi_lab.why()
        with torch.no_grad():
            model(torch.randn(5, 6).to("hpu")).cpu()
        causes.append(
            [cost.cause for cost in gaudi_lab.why(since=before).costs if "HPU graph" in cost.layers]
        )
        gaudi_lab.detach("own")
        del model
        gc.collect()
    (first,), (second,) = causes
    assert first.text == "first HPU graph"
    assert second.text == "HPU graph for model is another Own object"
    assert second.remedy == "make the model once, outside of the loop"


def test_what_is_done_with_a_graphs_results_is_no_changed_copy_of_its_inputs(net, workbench):
    record.trie.clear()
    record.tape.restart()
    gaudi_lab.mode("lazy")
    gaudi_lab.attach(net, "net")
    gaudi_lab.hpu_graphs(net)
    before = gaudi_lab.why()
    for rows in (21, 23):
        net(torch.randn(rows, 4).to("hpu")).clone().cpu()
    texts = {cost.cause.text for cost in gaudi_lab.why(since=before).costs}
    assert "first use of an HPU graph's results" in texts
    assert not any("an input" in text for text in texts)
