import pytest

from gaudi_lab.diffusers import gaudi_config
from gaudi_lab.errors import LabValueError
from gaudi_lab.gaudi_config import GaudiConfig


def test_an_object_a_folder_or_nothing(tmp_path):
    config = GaudiConfig(use_torch_autocast=True)
    config.save_pretrained(tmp_path)
    assert gaudi_config.resolve(config) is config
    assert gaudi_config.resolve(tmp_path) == config
    assert gaudi_config.resolve(str(tmp_path)) == config
    assert gaudi_config.resolve(None) is None


def test_a_name_on_the_hub_without_a_network(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(LabValueError, match=r"Habana/stable-diffusion.*GaudiConfig"):
        gaudi_config.resolve("Habana/stable-diffusion")


def test_anything_else_is_refused(make):
    with pytest.raises(LabValueError, match="not a dict"):
        make(use_habana=True, gaudi_config={"use_torch_autocast": True})


def test_it_turns_autocast_on(make):
    assert make(
        use_habana=True, gaudi_config=GaudiConfig(use_torch_autocast=True)
    ).gaudi_config.use_torch_autocast
