"""Trainers on the CPU and on hpu in one process do not take each other's device."""

import pytest


def where(trainer):
    return next(trainer.model.parameters()).device.type


@pytest.mark.parametrize("mode", ["eager", "lazy"])
def test_trainers_on_both_devices_take_turns(mode, trainer, in_mode):
    in_mode(mode)
    here, there = trainer(use_habana=False), trainer(use_hpu_graphs_for_inference=mode == "lazy")
    losses = [made.evaluate()["eval_loss"] for made in (here, there, here, there)]
    assert max(losses) - min(losses) < 1e-5
    assert (where(here), where(there)) == ("cpu", "hpu")


def test_one_model_goes_to_where_it_is_wanted(trainer, in_mode, traces):
    in_mode("lazy")
    there = trainer(use_hpu_graphs_for_inference=True)
    loss = there.evaluate()["eval_loss"]
    here = trainer(model=there.model, use_habana=False)
    assert here.evaluate()["eval_loss"] == pytest.approx(loss, abs=1e-5)
    assert traces(here.model) == {"sdpa"}
    assert there.evaluate()["eval_loss"] == pytest.approx(loss, abs=1e-5)


def test_arguments_made_before_others(workbench, classifier, samples, tmp_path):
    from gaudi_lab.transformers import GaudiTrainer, GaudiTrainingArguments

    options = {"output_dir": str(tmp_path), "disable_tqdm": True}
    here = GaudiTrainingArguments(use_habana=False, bf16=True, **options)
    there = GaudiTrainingArguments(use_habana=True, **options)
    made = [
        GaudiTrainer(model=classifier(), args=args, eval_dataset=samples()) for args in (here, there, here)
    ]
    assert [where(one) for one in made] == ["cpu", "hpu", "cpu"]
    for one in made:
        one.evaluate()
    assert [where(one) for one in made] == ["cpu", "hpu", "cpu"]


def test_two_trainers_of_one_model_each_have_their_switches(trainer, in_mode, traces):
    in_mode("lazy")
    first = trainer(use_hpu_graphs_for_inference=True)
    first.evaluate()
    second = trainer(model=first.model, attn_implementation="gaudi_fused_sdpa")
    second.evaluate()
    assert "forward" not in vars(first.model)
    first.evaluate()
    assert "gaudi_lab_fused_sdpa" not in traces(first.model)
    first.release()
    second.release()
    assert traces(first.model) == {"sdpa"}
