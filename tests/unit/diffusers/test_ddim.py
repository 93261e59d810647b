import pickle

import pytest
import tiny
import torch
from diffusers import DDIMScheduler

import gaudi_lab
from gaudi_lab import bridge
from gaudi_lab.diffusers import GaudiDDIMScheduler

CONFIGS = [
    {},
    {"set_alpha_to_one": True, "clip_sample": True},
    {"prediction_type": "v_prediction", "timestep_spacing": "trailing"},
    {"prediction_type": "sample", "timestep_spacing": "linspace", "thresholding": True},
    {"rescale_betas_zero_snr": True, "prediction_type": "v_prediction"},
]


def walk(scheduler, *, eta=0.0, steps=5, order=None, device="cpu", **options):
    """Take all steps from the same noise, with a model that predicts a tenth of the sample."""
    scheduler.set_timesteps(steps, device=device)
    sample = torch.randn(2, 4, 4, 4, generator=tiny.seed()).to(device)
    noise, samples = tiny.seed(1), []
    timesteps = [timestep.clone() for timestep in scheduler.timesteps]
    bridge.mark_step()
    for timestep in [timesteps[position] for position in order or range(steps)]:
        sample = scheduler.step(
            sample * 0.1, timestep, sample, eta=eta, generator=noise if eta else None, **options
        ).prev_sample
        samples.append(sample.cpu())
    return samples


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("eta", [0.0, 0.7])
def test_every_step_is_that_of_the_stock_scheduler(config, eta):
    expected = walk(tiny.scheduler(**config), eta=eta, use_clipped_model_output=bool(eta))
    found = walk(tiny.scheduler(GaudiDDIMScheduler, **config), eta=eta, use_clipped_model_output=bool(eta))
    torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)


def test_steps_may_be_taken_in_any_order():
    order = [3, 0, 4, 0]
    expected = walk(tiny.scheduler(), order=order)
    torch.testing.assert_close(
        walk(tiny.scheduler(GaudiDDIMScheduler), order=order), expected, rtol=0, atol=0
    )


def test_a_generation_that_was_interrupted_leaves_nothing_behind():
    scheduler = tiny.scheduler(GaudiDDIMScheduler)
    walk(scheduler, order=[0, 1])
    torch.testing.assert_close(walk(scheduler), walk(tiny.scheduler()), rtol=0, atol=0)
    torch.testing.assert_close(walk(scheduler, steps=7), walk(tiny.scheduler(), steps=7), rtol=0, atol=0)


def test_a_timestep_may_be_a_number():
    scheduler, stock = tiny.scheduler(GaudiDDIMScheduler), tiny.scheduler()
    sample = torch.ones(1, 4, 2, 2)
    for each in (scheduler, stock):
        each.set_timesteps(5)
    found = scheduler.step(sample, 401, sample, return_dict=False)[0]
    torch.testing.assert_close(found, stock.step(sample, 401, sample, return_dict=False)[0], rtol=0, atol=0)


def test_all_steps_are_one_graph(workbench):
    gaudi_lab.mode("lazy")
    scheduler = tiny.scheduler(GaudiDDIMScheduler)
    expected = walk(tiny.scheduler(), steps=11)
    walk(scheduler, device="hpu")
    before = bridge.counters().compilations
    found = walk(scheduler, device="hpu", steps=11)
    assert bridge.counters().compilations == before + 1, "taking eleven timesteps apart, and no step"
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_it_says_what_is_missing():
    scheduler = tiny.scheduler(GaudiDDIMScheduler)
    sample = torch.ones(1, 4, 2, 2)
    with pytest.raises(ValueError, match="set_timesteps"):
        scheduler.step(sample, 1, sample)
    scheduler.set_timesteps(5)
    with pytest.raises(ValueError, match="not both"):
        scheduler.step(sample, 1, sample, eta=1.0, generator=tiny.seed(), variance_noise=sample)


def test_it_is_saved_as_the_stock_scheduler_and_loads_as_either(tmp_path):
    tiny.scheduler(GaudiDDIMScheduler).save_pretrained(tmp_path)
    assert '"_class_name": "DDIMScheduler"' in (tmp_path / "scheduler_config.json").read_text()
    for kind in (DDIMScheduler, GaudiDDIMScheduler):
        assert type(kind.from_pretrained(tmp_path)) is kind


def test_it_can_be_pickled_in_use():
    scheduler = tiny.scheduler(GaudiDDIMScheduler)
    walk(scheduler)
    torch.testing.assert_close(walk(pickle.loads(pickle.dumps(scheduler))), walk(tiny.scheduler()))
