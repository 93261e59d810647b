import pytest
import torch
from torch import nn

from gaudi_lab.errors import LabError, LabValueError
from gaudi_lab.instruments import components


class Half(nn.Module):
    """An autoencoder as pipelines use it: by its halves."""

    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = nn.Linear(2, 2), nn.Linear(2, 2)

    def decode(self, x):
        return self.decoder(x)


DiffusionPipeline = type("DiffusionPipeline", (), {"__module__": "diffusers.pipelines.pipeline_utils"})
Trainer = type("Trainer", (), {"__module__": "transformers.trainer"})


class Pipeline(DiffusionPipeline):
    def __init__(self):
        self.components = {"unet": nn.Linear(2, 2), "vae": Half(), "scheduler": object()}


def test_a_pipeline_gives_its_networks_and_the_halves_of_its_autoencoder():
    pipeline = Pipeline()
    found = components.of(pipeline)
    assert list(found) == ["unet", "vae.encoder", "vae.decoder"]
    assert found["vae.decoder"] is pipeline.components["vae"].decoder


def test_a_trainer_gives_its_model():
    trainer = Trainer()
    trainer.model = nn.Linear(2, 2)
    assert components.of(trainer) == {"model": trainer.model}


def test_anything_else_is_refused():
    with pytest.raises(LabValueError, match="A list is not a model"):
        components.of([])


def test_a_model_elsewhere_is_refused_with_the_line_that_moves_it(workbench):
    model = nn.Linear(2, 2)
    with pytest.raises(LabError, match=r'judge is on cpu, not on hpu. Run: judge.to\("hpu"\)'):
        components.require_on_hpu("judge", model)
    components.require_on_hpu("judge", model.to("hpu"))
    components.require_on_hpu("empty", nn.ReLU())


def test_a_model_that_is_only_partly_moved_is_not_on_the_device(workbench):
    model = nn.Sequential(nn.Linear(2, 2).to("hpu"), nn.Linear(2, 2))
    assert components.device_type(model) == "cpu"


def test_a_trainers_model_is_what_has_to_be_moved():
    trainer = Trainer()
    trainer.model = nn.Linear(2, 2, dtype=torch.float32)
    with pytest.raises(LabError, match=r'Run: trainer.model.to\("hpu"\)'):
        components.require_on_hpu("trainer", trainer)
