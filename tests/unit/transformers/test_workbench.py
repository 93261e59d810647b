"""The workbench's toggles on a live `GaudiTrainer`, on a stock `Trainer`, and on optimum-habana's."""

import numpy as np
import pytest

import gaudi_lab


def test_what_a_trainer_asks_for_goes_with_it_to_the_workbench(trainer, in_mode, workbench, traces):
    in_mode("lazy")
    made = trainer(use_hpu_graphs_for_inference=True, attn_implementation="gaudi_fused_sdpa")
    with gaudi_lab.attach(made, "trainer"):
        settings = workbench.get("trainer").settings
        assert settings.hpu_graphs
        assert settings.fused_sdpa
        made.evaluate()
        assert made.warmup.settings == "lazy + HPU graphs + FusedSDPA"
        assert len(workbench.status().models[0].graphs) == 2
    assert traces(made.model) == {"sdpa"}
    made.evaluate()
    assert made.warmup.settings == "lazy + HPU graphs + FusedSDPA"


def test_the_toggles_of_the_workbench_hold(trainer, samples, in_mode, workbench):
    in_mode("lazy")
    made = trainer()
    expected = made.predict(samples()).predictions
    gaudi_lab.attach(made, "trainer")
    seen = []
    for change in (
        lambda: gaudi_lab.hpu_graphs(made),
        lambda: gaudi_lab.fused_sdpa(made),
        lambda: gaudi_lab.mode("eager"),
        lambda: gaudi_lab.mode("compile"),
        lambda: (gaudi_lab.mode("eager"), gaudi_lab.mode("lazy")),
    ):
        change()
        np.testing.assert_allclose(made.predict(samples()).predictions, expected, atol=1e-5)
        seen.append(made.warmup.settings)
    assert seen == [
        "lazy + HPU graphs",
        "lazy + HPU graphs + FusedSDPA",
        "eager + FusedSDPA",
        "compile + FusedSDPA",
        "lazy + HPU graphs + FusedSDPA",
    ]


def test_a_model_on_the_workbench_is_the_workbenchs(trainer, in_mode, workbench, traces):
    in_mode("lazy")
    made = trainer(use_hpu_graphs_for_inference=True)
    made.evaluate()
    gaudi_lab.attach(made.model, "model")
    gaudi_lab.hpu_graphs("model", False)
    made.evaluate()
    assert made.warmup.settings == "lazy"
    assert "forward" not in vars(made.model)


def test_a_new_trainer_takes_its_model_from_the_workbench(trainer, classifier, in_mode, workbench):
    in_mode("eager")
    model = classifier().to("hpu")
    gaudi_lab.attach(model, "model")
    made = trainer(model=model, torch_compile=True)
    assert not workbench.models
    made.evaluate()
    assert made.warmup.settings == "compile"
    # And the workbench takes it back as it is, with what the arguments have asked for.
    gaudi_lab.attach(model, "model")
    made.evaluate()
    assert made.warmup.settings == "compile"


def test_no_training_under_hpu_graphs(trainer, samples, in_mode, workbench):
    in_mode("lazy")
    made = trainer(train_dataset=samples(8), max_steps=1)
    gaudi_lab.attach(made, "trainer")
    gaudi_lab.hpu_graphs("trainer")
    with pytest.raises(gaudi_lab.LabError, match="for inference") as refused:
        made.train()
    assert refused.value.for_notebook().endswith("%gaudi_graphs off")


def test_data_that_raises_on_the_workbench_leaves_its_switches(trainer, samples, in_mode, workbench):
    in_mode("lazy")
    made = trainer(data=samples(12, raises_at=9))
    gaudi_lab.attach(made, "trainer")
    gaudi_lab.hpu_graphs("trainer")
    with pytest.raises(OSError, match="sample is gone"):
        made.evaluate()
    assert workbench.get("trainer").settings.hpu_graphs
    assert workbench.get("trainer").captured() == ()
    made.evaluate(samples())
    assert len(workbench.get("trainer").captured()) == 2


def test_the_mode_changes_under_a_trainer(trainer, in_mode, workbench):
    in_mode("lazy")
    made = trainer(use_hpu_graphs_for_inference=True)
    made.evaluate()
    in_mode("eager")
    made.evaluate()
    assert made.warmup.settings == "eager"
    in_mode("lazy")
    made.evaluate()
    assert made.warmup.settings == "lazy + HPU graphs"


def test_a_stock_trainer(workbench, classifier, samples, in_mode, tmp_path, traces):
    from transformers import Trainer, TrainingArguments

    in_mode("lazy")
    options = {"output_dir": str(tmp_path), "per_device_eval_batch_size": 4, "disable_tqdm": True}
    stock = Trainer(model=classifier(), args=TrainingArguments(**options))
    expected = stock.predict(samples(8)).predictions
    with gaudi_lab.attach(stock, "stock"):
        with gaudi_lab.hpu_graphs("stock"), gaudi_lab.fused_sdpa("stock"):
            np.testing.assert_allclose(stock.predict(samples(8)).predictions, expected, atol=1e-5)
            (graph,) = workbench.get("stock").captured()
            assert graph.replays == 1
        timeline = gaudi_lab.warmup(lambda: stock.predict(samples(8)), n=2)
        assert len(timeline.iterations) == 2
    assert traces(stock.model) == {"sdpa"}


def test_a_trainer_of_optimum_habana(workbench, classifier, samples, in_mode, tmp_path):
    pytest.importorskip(
        "optimum.habana", reason="optimum-habana is not installed (it pins transformers < 4.56)"
    )
    from optimum.habana import GaudiConfig, GaudiTrainer, GaudiTrainingArguments

    in_mode("lazy")
    args = GaudiTrainingArguments(output_dir=str(tmp_path), use_habana=True, use_lazy_mode=True)
    theirs = GaudiTrainer(model=classifier(), gaudi_config=GaudiConfig(), args=args)
    expected = theirs.predict(samples(8)).predictions
    gaudi_lab.attach(theirs, "theirs")
    with gaudi_lab.hpu_graphs("theirs"):
        np.testing.assert_allclose(theirs.predict(samples(8)).predictions, expected, atol=1e-4)
    timeline = gaudi_lab.warmup(lambda: theirs.predict(samples(8)), n=2)
    assert len(timeline.iterations) == 2
