"""The fused kernels that a `GaudiConfig` asks for: really used, and the same numbers as without."""

import pytest
import torch
from transformers.utils import logging

from gaudi_lab import bridge
from gaudi_lab.errors import LabError
from gaudi_lab.transformers import GaudiConfig

OPTIONS = {
    "max_steps": 3,
    "per_device_train_batch_size": 4,
    "logging_steps": 1,
    "save_strategy": "no",
    "learning_rate": 1e-3,
    "weight_decay": 0.1,
    "max_grad_norm": 0.1,
    # FusedAdamW adds it at another place.
    "adam_epsilon": 1e-12,
}


@pytest.fixture
def train(trainer, classifier, samples):
    """Return a function that trains the tiny classifier a few steps, and returns its trainer."""

    def run(*switches, **options):
        made = trainer(
            model=classifier(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0),
            train_dataset=samples(24),
            gaudi_config=GaudiConfig(**dict.fromkeys(switches, True)),
            **{**OPTIONS, **options},
        )
        made.train()
        return made

    return run


@pytest.fixture
def calls(monkeypatch):
    """How often each kernel has worked."""
    from habana_frameworks.torch.hpex.normalization import FusedClipNorm
    from habana_frameworks.torch.hpex.optimizers import FusedAdamW

    counted = {"adam": 0, "clip": 0}

    def count(kind, method, name):
        stock = getattr(kind, method)

        def counting(*args, **kwargs):
            counted[name] += 1
            return stock(*args, **kwargs)

        monkeypatch.setattr(kind, method, counting)

    count(FusedAdamW, "step", "adam")
    count(FusedClipNorm, "clip_norm", "clip")
    return counted


@pytest.fixture
def warnings(monkeypatch):
    """What is warned of."""
    heard = []
    monkeypatch.setattr(
        logging.get_logger("gaudi_lab.transformers.trainer"), "warning", lambda text, *_: heard.append(text)
    )
    return heard


def weights(model):
    return torch.cat([parameter.detach().cpu().flatten() for parameter in model.parameters()])


def told(made, name):
    return [entry[name] for entry in made.state.log_history if name in entry]


@pytest.mark.parametrize("mode", ["eager", "lazy"])
@pytest.mark.parametrize("switches", [("use_fused_adam",), ("use_fused_clip_norm",)])
def test_each_step_uses_the_kernel_and_learns_the_same(
    mode, switches, train, classifier, in_mode, calls, warnings
):
    in_mode(mode)
    plain = train()
    assert calls == {"adam": 0, "clip": 0}
    fused = train(*switches)
    assert calls == {
        "adam": 3 * ("use_fused_adam" in switches),
        "clip": 3 * ("use_fused_clip_norm" in switches),
    }
    assert told(fused, "loss") == pytest.approx(told(plain, "loss"), abs=1e-4)
    assert told(fused, "grad_norm") == pytest.approx(told(plain, "grad_norm"), rel=1e-3)
    assert min(told(plain, "grad_norm")) > OPTIONS["max_grad_norm"]
    # As a whole: where a gradient is little but rounding, so is the direction that AdamW goes.
    start, ours, theirs = (weights(model) for model in (classifier(), fused.model, plain.model))
    assert (ours - theirs).norm() < 3e-2 * (theirs - start).norm()
    assert not warnings


def test_both_compile_no_more_after_the_first_steps(trainer, classifier, samples, in_mode):
    from transformers import TrainerCallback

    counted = []

    class Count(TrainerCallback):
        def on_step_end(self, *args, **kwargs):
            bridge.settle()
            counted.append(bridge.counters().compilations)

    in_mode("lazy")
    made = trainer(
        model=classifier(),
        train_dataset=samples(64),
        gaudi_config=GaudiConfig(use_fused_adam=True, use_fused_clip_norm=True),
        **{**OPTIONS, "max_steps": 10, "logging_steps": 100},
    )
    made.add_callback(Count)
    made.train()
    assert counted[-1] == counted[-4]


def test_training_goes_on_from_a_checkpoint(train, calls, tmp_path):
    both = ("use_fused_adam", "use_fused_clip_norm")
    whole = train(*both, max_steps=4, save_strategy="steps", save_steps=2)
    calls["adam"] = 0
    rest = train(*both, max_steps=4, resume_from_checkpoint=None)
    rest.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    assert calls["adam"] == 4 + 2
    assert told(rest, "loss")[-1] == pytest.approx(told(whole, "loss")[-1], abs=1e-5)


def test_a_group_without_parameters_is_left_out(train):
    # With these, nothing but biases and norms learns, and the group with decay is empty.
    def freeze(model):
        for name, parameter in model.named_parameters():
            parameter.requires_grad = "bias" in name
        return model

    made = train("use_fused_adam")
    made.optimizer = made.lr_scheduler = None
    freeze(made.model)
    assert [len(group["params"]) > 0 for group in made.create_optimizer().param_groups] == [True]


def test_an_optimizer_that_was_given_goes_first(trainer, classifier, samples, calls, warnings):
    made = trainer(train_dataset=samples(8), gaudi_config=GaudiConfig(use_fused_adam=True), **OPTIONS)
    made.optimizer = torch.optim.SGD(made.model.parameters(), lr=0.1)
    made.train()
    assert calls["adam"] == 0
    assert warnings == ["use_fused_adam=True has no effect: the trainer was given SGD."]


def test_another_optimizer_by_name_gives_way_and_that_is_said(train, calls, warnings):
    train("use_fused_adam", optim="sgd")
    assert calls["adam"] == 3
    assert 'trains with FusedAdamW and not with optim="sgd"' in warnings[0]


def test_training_again_keeps_the_kernel_and_warns_of_nothing(train, calls, warnings):
    made = train("use_fused_adam", "use_fused_clip_norm")
    made.train()
    assert calls == {"adam": 6, "clip": 6}
    assert not warnings


def test_on_the_cpu_it_is_said_that_they_have_no_effect(train, calls, warnings):
    train("use_fused_adam", "use_fused_clip_norm", use_habana=False)
    assert calls == {"adam": 0, "clip": 0}
    assert [text.partition("=")[0] for text in warnings] == ["use_fused_adam", "use_fused_clip_norm"]


@pytest.mark.parametrize(
    ("switch", "module", "name"),
    [
        ("use_fused_adam", "optimizers", "FusedAdamW"),
        ("use_fused_clip_norm", "normalization", "FusedClipNorm"),
    ],
)
def test_a_bridge_without_the_kernel_is_an_error(switch, module, name, train, monkeypatch):
    import importlib

    monkeypatch.delattr(importlib.import_module(f"habana_frameworks.torch.hpex.{module}"), name)
    with pytest.raises(LabError, match=f"{switch}=True asks for a kernel.*GaudiConfig\\({switch}=False\\)"):
        train(switch)
