"""What a trainer is given; training on hpu: the losses of the CPU, one graph a step, and evaluation meanwhile."""

import pytest

from gaudi_lab.transformers import GaudiConfig

OPTIONS = {"max_steps": 6, "per_device_train_batch_size": 4, "logging_steps": 1, "save_strategy": "no"}


def losses(trained):
    return [entry["loss"] for entry in trained.state.log_history if "loss" in entry]


@pytest.fixture
def on_the_cpu(trainer, classifier, samples):
    made = trainer(
        model=classifier(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0),
        train_dataset=samples(24),
        use_habana=False,
        learning_rate=1e-3,
        **OPTIONS,
    )
    made.train()
    return losses(made)


@pytest.mark.parametrize(
    ("mode", "options"),
    [
        ("eager", {}),
        ("lazy", {"use_hpu_graphs_for_inference": True}),
        ("lazy", {"attn_implementation": "gaudi_fused_sdpa"}),
        ("eager", {"torch_compile": True}),
    ],
)
def test_losses_are_those_of_the_cpu(mode, options, on_the_cpu, trainer, classifier, samples, in_mode):
    in_mode(mode)
    made = trainer(
        model=classifier(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0),
        train_dataset=samples(24),
        learning_rate=1e-3,
        eval_strategy="steps",
        eval_steps=3,
        **OPTIONS,
        **options,
    )
    made.train()
    assert losses(made) == pytest.approx(on_the_cpu, abs=1e-4)
    assert losses(made)[-1] != losses(made)[0]
    # An evaluation after it has its switches, HPU graphs too.
    made.evaluate()
    assert bool(made.warmup.iterations[0].captures) is ("use_hpu_graphs_for_inference" in options)


def test_steps_compile_no_more_after_the_first(trainer, classifier, samples, in_mode):
    from gaudi_lab import bridge

    in_mode("lazy")
    made = trainer(
        model=classifier(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0),
        train_dataset=samples(64),
        lr_scheduler_type="constant",
        **{**OPTIONS, "max_steps": 12},
    )
    counted = []

    from transformers import TrainerCallback

    class Count(TrainerCallback):
        def on_step_end(self, *args, **kwargs):
            bridge.settle()
            counted.append(bridge.counters().compilations)

    made.add_callback(Count)
    made.train()
    assert counted[-1] == counted[-4]


def test_a_trainer_takes_a_folder(trainer, tmp_path):
    config = GaudiConfig(use_torch_autocast=True)
    config.save_pretrained(tmp_path / "config")
    assert trainer(gaudi_config_name=str(tmp_path / "config")).gaudi_config == config
    assert trainer(gaudi_config=tmp_path / "config").gaudi_config == config


def test_a_trainer_takes_the_object_first(trainer):
    made = trainer(gaudi_config_name="nowhere", gaudi_config=GaudiConfig(use_torch_autocast=True))
    assert made.gaudi_config.use_torch_autocast


def test_a_trainer_takes_nothing_else(trainer):
    with pytest.raises(ValueError, match="not a dict"):
        trainer(gaudi_config={"use_torch_autocast": True})


def watch(made, look):
    """Have `look` called at each step of a training and each batch of an evaluation, and return what it returns."""
    from transformers import TrainerCallback

    seen = []

    class Look(TrainerCallback):
        def on_step_end(self, *args, **kwargs):
            seen.append(look())

        def on_prediction_step(self, *args, **kwargs):
            seen.append(look())

    made.add_callback(Look)
    return seen


@pytest.mark.parametrize(
    ("asked", "before", "meanwhile"), [(True, False, True), (False, True, False), (None, True, True)]
)
def test_a_config_lets_shapes_vary_while_a_trainer_works(asked, before, meanwhile, trainer):
    from habana_frameworks.torch import hpu

    made = trainer(gaudi_config=GaudiConfig(use_dynamic_shapes=asked))
    seen = watch(made, hpu.get_dynamic_shape_status)
    status = {True: hpu.enable_dynamic_shape, False: hpu.disable_dynamic_shape}
    status[before]()
    try:
        made.evaluate()
        assert set(seen) == {meanwhile}
        assert hpu.get_dynamic_shape_status() is before
    finally:
        hpu.disable_dynamic_shape()


def test_the_attention_of_the_arguments_is_on_a_model_on_the_cpu_too(trainer):
    made = trainer(use_habana=False, attn_implementation="eager")
    own = made.model.config._attn_implementation
    seen = watch(made, lambda: made.model.config._attn_implementation)
    made.evaluate()
    assert own != "eager"
    assert set(seen) == {"eager"}
    assert made.model.config._attn_implementation == own
    assert made.warmup.settings == "CPU + eager attention"


@pytest.mark.parametrize("options", [{"torch_compile": True}, {"attn_implementation": "gaudi_fused_sdpa"}])
def test_the_model_that_is_made_for_a_training_has_the_switches(
    options, workbench, classifier, samples, traces, tmp_path
):
    from gaudi_lab.transformers import GaudiTrainer, GaudiTrainingArguments

    args = GaudiTrainingArguments(
        output_dir=str(tmp_path), use_habana=True, disable_tqdm=True, **{**OPTIONS, "max_steps": 1}, **options
    )
    made = GaudiTrainer(model_init=lambda: classifier(), args=args, train_dataset=samples(8))
    first = made.model
    untouched = traces(first)
    seen = watch(made, lambda: traces(made.model))
    made.train()
    assert made.model is not first
    assert traces(first) == untouched
    assert [found for found in seen if found == untouched] == []
