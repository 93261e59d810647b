"""What an evaluation cost, from a timeline that is known."""

import pytest

from gaudi_lab.bridge import Counters, Memory
from gaudi_lab.measure.causes.cause import Cause
from gaudi_lab.measure.timeline import Iteration, Timeline
from gaudi_lab.transformers.evaluation_metrics import Metrics, summarize

NEW = (Cause("shape", "new shape 4×8"),)
# Two batches of warm-up, three steady ones, and a last batch that compiles anew.
TIMELINE = Timeline(
    tuple(
        Iteration(number, seconds, causes=NEW if new else ())
        for number, (seconds, new) in enumerate(
            [(3.0, True), (1.0, True), (0.5, False), (0.4, False), (0.1, False), (2.0, True)], 1
        )
    )
)
SIZES = [4, 4, 4, 4, 4, 2]


@pytest.mark.parametrize(
    ("warmup_steps", "warmup", "rate"),
    [
        (0, 6.0, 12 / 1.0),
        (2, 6.0, 12 / 1.0),
        (3, 6.5, 8 / 0.5),
        (5, 6.0, 12 / 1.0),  # nothing steady would be left, so all that is steady counts
        (50, 6.0, 12 / 1.0),
    ],
)
def test_warm_up_is_apart_from_steady_batches(warmup_steps, warmup, rate):
    cost = summarize(TIMELINE, SIZES, Counters(), warmup_steps=warmup_steps)
    assert cost["warmup_runtime"] == pytest.approx(warmup)
    assert cost["steady_samples_per_second"] == pytest.approx(rate)


def test_without_a_steady_batch_there_is_no_throughput():
    cost = summarize(Timeline(TIMELINE.iterations[:2]), [4, 4], Counters(), warmup_steps=0)
    assert cost["steady_samples_per_second"] is None
    assert cost["warmup_runtime"] == 4.0
    assert summarize(Timeline(), [], Counters(), warmup_steps=0)["warmup_runtime"] == 0


def test_counters_are_those_of_the_whole_evaluation():
    cost = summarize(TIMELINE, SIZES, Counters(7, 1.23456, 2, {"aten::nonzero": 2}), warmup_steps=0)
    assert (cost["graph_compilations"], cost["graph_compilation_time"], cost["cpu_fallbacks"]) == (
        7,
        1.2346,
        2,
    )


def test_the_names_of_optimum_habana_are_understood_and_not_listed():
    memory = Memory(1 << 30, 3 << 30, 96 << 30)
    metrics = Metrics({"test_warmup_runtime": 2.5, "test_loss": 0.1}, "test", memory)
    assert metrics["test_graph_compliation_duration"] == metrics["test_graph_compilation_duration"] == 2.5
    assert metrics["max_memory_allocated (GB)"] == 3
    assert "total_memory_available (GB)" in metrics
    assert "test_throughput" not in metrics  # nor is what it stands for
    assert list(metrics) == ["test_warmup_runtime", "test_loss"]
    assert metrics.get("test_throughput", 7) == 7
    with pytest.raises(KeyError, match="unheard_of"):
        metrics["unheard_of"]
