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
