"""`GaudiConfig`: files, folders, the hub, and lists of operators."""

import json

import pytest

from gaudi_lab import bridge
from gaudi_lab.errors import LabError, LabValueError
from gaudi_lab.gaudi_config import GaudiConfig, find_gaudi_config


def test_it_comes_back_from_a_folder(tmp_path):
    config = GaudiConfig(use_torch_autocast=True, autocast_fp32_ops=["softmax"])
    config.save_pretrained(tmp_path)
    assert GaudiConfig.from_pretrained(tmp_path) == config
    assert GaudiConfig.from_pretrained(tmp_path / "gaudi_config.json") == config


def test_keys_of_other_releases_are_left_out(tmp_path):
    values = {"use_fused_adam": True, "use_habana_mixed_precision": True, "hmp_is_verbose": False}
    (tmp_path / "gaudi_config.json").write_text(json.dumps(values))
    assert GaudiConfig.from_pretrained(tmp_path) == GaudiConfig(use_fused_adam=True)


def test_a_folder_without_one(tmp_path):
    with pytest.raises(ValueError, match=r"has no gaudi_config.json.*save_pretrained"):
        GaudiConfig.from_pretrained(tmp_path)


@pytest.mark.parametrize("text", ["use_fused_adam: true", "[]"])
def test_a_file_that_is_none(text, tmp_path):
    (tmp_path / "gaudi_config.json").write_text(text)
    with pytest.raises(ValueError, match="not a JSON object"):
        GaudiConfig.from_pretrained(tmp_path)


def test_offline_it_says_what_to_use_instead(monkeypatch, tmp_path):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ValueError, match="Use a folder that has one, or pass the object") as refused:
        GaudiConfig.from_pretrained("Habana/bert-base-uncased", cache_dir=tmp_path)
    assert "gaudi_config=GaudiConfig()" in str(refused.value)


def test_operator_lists_come_before_the_bridge(monkeypatch):
    monkeypatch.setattr(bridge, "loaded", lambda: False)
    for variable in ("PT_HPU_AUTOCAST_LOWER_PRECISION_OPS_LIST", "PT_HPU_AUTOCAST_FP32_OPS_LIST"):
        monkeypatch.setenv(variable, "")
    config = GaudiConfig(autocast_bf16_ops=["linear"], autocast_fp32_ops=["softmax", "layer_norm"])
    config.declare_autocast_bf16_fp32_ops()
    monkeypatch.setattr(bridge, "loaded", lambda: True)
    config.declare_autocast_bf16_fp32_ops()  # the same lists again are no change
    with pytest.raises(LabError, match="loaded already") as refused:
        GaudiConfig(autocast_bf16_ops=["mm"]).declare_autocast_bf16_fp32_ops()
    assert "autocast_bf16_ops=['mm']" in str(refused.value)


def test_an_object_a_folder_or_nothing_is_found(tmp_path):
    config = GaudiConfig(use_torch_autocast=True)
    config.save_pretrained(tmp_path)
    assert find_gaudi_config(config) is config
    assert find_gaudi_config(tmp_path) == config
    assert find_gaudi_config(str(tmp_path)) == config
    assert find_gaudi_config(None) is None


def test_anything_else_is_refused():
    with pytest.raises(LabValueError, match=r"not a dict.*gaudi_config=GaudiConfig\(\)"):
        find_gaudi_config({"use_torch_autocast": True})
