"""Evaluation and prediction: the same results in every configuration, and what they cost."""

import functools

import numpy as np
import pytest
import torch

from gaudi_lab.measure.causes.cause import Cause
from gaudi_lab.measure.recorder import Recorder
from gaudi_lab.measure.timeline import Iteration, Timeline
from gaudi_lab.shapes import Shape
from gaudi_lab.transformers import evaluation
from tests.unit import tiny_models

CONFIGURATIONS = {
    "eager": ("eager", {}),
    "eager attention": ("eager", {"attn_implementation": "eager"}),
    "eager FusedSDPA": ("eager", {"attn_implementation": "gaudi_fused_sdpa"}),
    "compile": ("eager", {"torch_compile": True, "dataloader_drop_last": False}),
    "compile regions": ("eager", {"torch_compile": True, "use_regional_compilation": True}),
    "lazy": ("lazy", {}),
    "lazy graphs": ("lazy", {"use_hpu_graphs_for_inference": True}),
    "lazy graphs padded": ("lazy", {"use_hpu_graphs_for_inference": True, "pad_last_batch": True}),
    "lazy graphs with options": (
        "lazy",
        {
            "use_hpu_graphs_for_inference": True,
            "max_hpu_graphs": 1,
            "disable_tensor_cache_hpu_graphs": True,
        },
    ),
    "lazy graphs FusedSDPA": (
        "lazy",
        {
            "use_hpu_graphs_for_inference": True,
            "attn_implementation": "gaudi_fused_sdpa",
            "flash_attention_recompute": True,
        },
    ),
}


@pytest.fixture
def classifier(classifier):
    """One with a single layer: a second one only takes its time to compile."""
    return functools.partial(classifier, num_hidden_layers=1)


@pytest.fixture
def on_the_cpu(workbench, classifier, samples, tmp_path):
    """What stock transformers says, on the CPU."""
    from transformers import Trainer, TrainingArguments

    args = TrainingArguments(
        output_dir=str(tmp_path), use_cpu=True, per_device_eval_batch_size=4, disable_tqdm=True
    )
    return Trainer(model=classifier(), args=args).predict(samples())


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_results_are_those_of_the_cpu(name, on_the_cpu, trainer, samples, in_mode, traces):
    mode, options = CONFIGURATIONS[name]
    in_mode(mode)
    made = trainer(**options)
    metrics = made.evaluate()
    predicted = made.predict(samples())

    np.testing.assert_allclose(predicted.predictions, on_the_cpu.predictions, atol=1e-5)
    np.testing.assert_array_equal(predicted.label_ids, on_the_cpu.label_ids)
    assert metrics["eval_loss"] == pytest.approx(on_the_cpu.metrics["test_loss"], abs=1e-5)
    assert len(made.warmup.iterations) == 3

    made.release()
    assert traces(made.model) == {"sdpa"}


def test_without_habana_all_of_it_runs_on_the_cpu(on_the_cpu, trainer, samples):
    made = trainer(use_habana=False)
    metrics = made.evaluate()
    assert next(made.model.parameters()).device.type == "cpu"
    assert metrics["eval_loss"] == pytest.approx(on_the_cpu.metrics["test_loss"])
    assert metrics["eval_graph_compilations"] == 0
    np.testing.assert_array_equal(made.predict(samples()).predictions, on_the_cpu.predictions)
    assert made.warmup.settings == "CPU"
    assert not made.warmup.emulated


def test_bfloat16_is_near_and_comes_out_as_float32(on_the_cpu, trainer, samples, in_mode):
    in_mode("lazy")
    made = trainer(bf16=True, use_hpu_graphs_for_inference=True)
    predictions = made.predict(samples()).predictions
    assert predictions.dtype == np.float32
    difference = np.abs(predictions - on_the_cpu.predictions).max()
    assert 0 < difference < 2e-2
    assert "bf16" in made.warmup.settings
    # The next trainer of this model is not in bfloat16, as it would be after accelerate's own autocast.
    again = trainer(model=made.model).predict(samples()).predictions
    np.testing.assert_allclose(again, on_the_cpu.predictions, atol=1e-5)


def test_a_config_can_ask_for_bfloat16(trainer):
    from gaudi_lab.transformers import GaudiConfig

    made = trainer(gaudi_config=GaudiConfig(use_torch_autocast=True))
    made.evaluate()
    assert "bf16" in made.warmup.settings


def test_what_an_evaluation_costs(trainer, samples, in_mode):
    in_mode("lazy")
    # A length of its own: what another test has compiled is not compiled again.
    made = trainer(data=samples(length=11), use_hpu_graphs_for_inference=True, dataloader_drop_last=True)
    first = made.evaluate()
    assert first["eval_graph_compilations"] == made.warmup.compilations > 0
    assert 0 < first["eval_graph_compilation_time"] < first["eval_warmup_runtime"] <= first["eval_runtime"]
    assert first["eval_cpu_fallbacks"] == 0
    assert made.warmup.settings == "lazy + HPU graphs"
    assert made.warmup.iterations[0].captures == 1

    second = made.evaluate()
    assert second["eval_graph_compilations"] == 0
    assert second["eval_warmup_runtime"] == 0
    assert second["eval_steady_samples_per_second"] > 0
    assert made.warmup.iterations_to_steady == 0


def test_the_names_of_optimum_habana_are_understood(trainer):
    metrics = trainer().evaluate()
    assert metrics["eval_graph_compliation_duration"] == metrics["eval_warmup_runtime"]
    assert metrics["eval_throughput"] == metrics["eval_steady_samples_per_second"]
    assert metrics.get("max_memory_allocated (GB)") >= 0
    assert "eval_graph_compliation_duration" in metrics
    assert "eval_graph_compliation_duration" not in dict(metrics)
    assert metrics.get("eval_unheard_of", 7) == 7
    with pytest.raises(KeyError):
        metrics["eval_unheard_of"]


def test_the_last_batch_is_named_with_the_ways_out(trainer, samples, in_mode):
    in_mode("lazy")
    made = trainer(data=samples(length=12))
    made.evaluate()
    cause = made.warmup.iterations[-1].causes[0]
    assert "4×12 → 2×12" in str(cause)
    assert str(cause).endswith(
        ", for the last batch with 2 of 4 samples (dataloader_drop_last=True drops 2, pad_last_batch=True fills it up)"
    )


def test_the_last_batch_is_named_where_it_is_captured_anew(trainer, in_mode):
    in_mode("lazy")
    made = trainer(use_hpu_graphs_for_inference=True)
    made.evaluate()
    made.release()
    made.evaluate()
    (cause,) = made.warmup.iterations[-1].causes
    assert "HPU graph again, for the last batch with 2 of 4 samples" in str(cause)


@pytest.mark.parametrize("way_out", ["dataloader_drop_last", "pad_last_batch"])
def test_the_ways_out_are_ways_out(way_out, trainer, in_mode):
    in_mode("lazy")
    made = trainer(**{way_out: True})
    made.evaluate()
    assert {str(shape) for i in made.warmup.iterations for shape in i.new_shapes} == {"4×8"}
    assert not made.warmup.iterations[-1].compilations


def test_fewer_batches_than_warmup_steps(trainer, samples, caplog):
    made = trainer(throughput_warmup_steps=50)
    made.evaluate()
    metrics = made.predict(samples(8)).metrics
    assert metrics["test_steady_samples_per_second"] > 0
    assert metrics["test_steady_samples_per_second"] < 1e6


def test_warmup_steps_are_left_out(trainer, samples):
    made = trainer(data=samples(24), throughput_warmup_steps=4)
    made.evaluate()
    metrics = made.evaluate()
    steps = made.warmup.iterations
    assert metrics["eval_warmup_runtime"] == pytest.approx(sum(i.wall_time for i in steps[:4]), abs=1e-3)
    rate = 8 / sum(i.wall_time for i in steps[4:])
    assert metrics["eval_steady_samples_per_second"] == pytest.approx(rate, rel=1e-3)


def test_an_empty_data_set(trainer, samples):
    made = trainer(use_habana=True)
    metrics = made.evaluate(samples(0))
    assert metrics["eval_steady_samples_per_second"] is None
    assert metrics["eval_warmup_runtime"] == 0
    assert not made.warmup.iterations
    assert "eval_loss" not in metrics


def test_several_data_sets(trainer, samples):
    metrics = trainer(data={"short": samples(4), "long": samples(8, length=16)}).evaluate()
    assert "eval_short_steady_samples_per_second" in metrics
    assert "eval_long_accuracy" in metrics


def test_data_that_raises_in_the_middle_leaves_nothing_behind(trainer, samples, in_mode, traces):
    in_mode("lazy")
    made = trainer(
        data=samples(12, raises_at=9),
        use_hpu_graphs_for_inference=True,
        attn_implementation="gaudi_fused_sdpa",
    )
    with pytest.raises(OSError, match="sample is gone"):
        made.evaluate()
    assert traces(made.model) == {"sdpa"}
    assert made.warmup.interrupted
    assert len(made.warmup.iterations) == 1  # the loader is one batch ahead of what it gives out

    assert made.evaluate(samples())["eval_graph_compilations"] >= 0
    assert made.warmup.iterations[0].captures == 1


@pytest.mark.parametrize(
    ("mode", "options"),
    [("lazy", {"use_hpu_graphs_for_inference": True}), ("lazy", {}), ("eager", {"torch_compile": True})],
)
def test_an_interrupt_during_a_compile_leaves_nothing_behind(
    mode, options, trainer, samples, in_mode, traces, monkeypatch, on_the_cpu
):
    in_mode(mode)
    made = trainer(**options)
    publish = "publish" if mode == "lazy" else None
    with monkeypatch.context() as patch:
        if publish is not None:
            patch.setattr("gaudi_lab.emulator.lazy.compile.publish", _interrupt)
        else:
            from gaudi_lab.emulator.traced import dynamo

            patch.setattr(dynamo, "publish", _interrupt)
        with pytest.raises(KeyboardInterrupt) as interrupt:
            made.evaluate()
    assert traces(made.model) == {"sdpa"}
    assert made.warmup.interrupted
    # The traceback is still there, as it is in a notebook.
    assert interrupt.tb is not None
    np.testing.assert_allclose(made.predict(samples()).predictions, on_the_cpu.predictions, atol=1e-5)


def _interrupt(*_, **__):
    raise KeyboardInterrupt


def test_labels_that_are_no_classes_are_not_padded(workbench, trainer, samples, in_mode):
    made = trainer(pad_last_batch=True)
    data = samples(3)
    floats = [{**data[i], "labels": torch.tensor(0.5)} for i in range(3)]
    with pytest.raises(ValueError, match="dataloader_drop_last=True"):
        made.evaluate(floats)


@pytest.mark.parametrize(
    ("kind", "changes"),
    [("BertForSequenceClassification", {"num_labels": 3}), ("BertForQuestionAnswering", {})],
)
def test_a_filled_batch_has_the_loss_of_its_own_samples(kind, changes, trainer, samples):
    positions = {"start_positions": torch.tensor(3), "end_positions": torch.tensor(5)}
    data = [{**samples(6)[i], **positions} for i in range(6)]

    def evaluate(**options):
        made = trainer(tiny_models.bert(kind, **changes), data, use_habana=False, **options)
        made.compute_metrics = None
        return made.evaluate()["eval_loss"]

    assert evaluate(pad_last_batch=True) == pytest.approx(evaluate(), abs=1e-6)


def test_stock_arguments_are_refused(workbench, classifier, tmp_path):
    from transformers import TrainingArguments

    from gaudi_lab.transformers import GaudiTrainer

    with pytest.raises(ValueError, match="GaudiTrainingArguments"):
        GaudiTrainer(model=classifier(), args=TrainingArguments(output_dir=str(tmp_path)))


def test_each_batch_is_an_iteration_and_the_end_is_none(workbench):
    class Loader(list):
        batch_size = 4

    with Recorder() as recorder:
        measured = evaluation.MeasuredLoader(Loader("ab"), recorder)
        assert (list(measured), len(measured), measured.batch_size) == (["a", "b"], 2, 4)
    assert len(recorder.timeline.iterations) == 2


IDS, LABELS = torch.zeros(5, 128), torch.zeros(5)


@pytest.mark.parametrize(
    ("batch", "shapes"),
    [
        ({"labels": LABELS, "ids": IDS, "mask": IDS}, (Shape("ids, labels, mask", (5, 128)),)),
        ({"ids": IDS, "pixels": torch.zeros(5, 3)}, (Shape("ids", (5, 128)), Shape("pixels", (5, 3)))),
        ({"ids": IDS, "scale": torch.tensor(1.0), "name": "a"}, (Shape("ids", (5, 128)),)),
        ({}, ()),
        ([IDS], ()),
    ],
)
def test_a_batch_has_one_shape_where_the_others_follow_from_it(batch, shapes):
    assert evaluation.read_shapes(batch) == shapes


def timeline_that_ends_with(**last):
    return Timeline((Iteration(1, 1.0), Iteration(2, 1.0, **last)))


SHAPE, SWITCH, OTHER = (
    Cause("shape", "new shape 2×8"),
    Cause("switch", "first time"),
    Cause("fallback", "nonzero"),
)


@pytest.mark.parametrize(
    ("causes", "named"), [((SHAPE,), 0), ((SWITCH, OTHER), 0), ((OTHER, SHAPE), 1), ((), None)]
)
def test_one_cause_of_a_smaller_last_batch_names_it(causes, named):
    explained = evaluation.explain_last_batch(timeline_that_ends_with(compilations=1, causes=causes), [4, 2])
    kinds = [cause.kind for cause in explained.iterations[-1].causes]
    assert kinds == ["last batch" if i == named else cause.kind for i, cause in enumerate(causes)]
    if named is not None:
        assert (
            explained.iterations[-1]
            .causes[named]
            .text.startswith(f"{causes[named].text}, for the last batch with 2 of 4 samples")
        )


@pytest.mark.parametrize(
    ("sizes", "compilations"),
    [([4, 4], 1), ([4, 2], 0), ([4], 1), ([2], 1)],
    ids=["as large as the others", "compiled nothing", "interrupted", "the only one"],
)
def test_otherwise_the_last_batch_is_like_any_other(sizes, compilations):
    timeline = timeline_that_ends_with(compilations=compilations, causes=(SHAPE,))
    assert evaluation.explain_last_batch(timeline, sizes) is timeline
