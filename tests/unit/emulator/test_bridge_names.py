"""Names of the bridge that other people's programs call."""

from __future__ import annotations

import pytest
import torch
from torch import nn


@pytest.fixture
def hpu(device):
    return torch.hpu


def test_switches_keep_what_they_were_given(hpu):
    hpu.enable_inference_mode()
    assert hpu.is_inference_mode_enabled()
    hpu.disable_inference_mode()
    assert not hpu.is_inference_mode_enabled()
    with pytest.warns(UserWarning, match="use_deterministic_algorithms"):
        hpu.setDeterministic(True)
    with pytest.warns(UserWarning, match="are_deterministic_algorithms_enabled"):
        assert hpu.getDeterministic()
    with pytest.warns(UserWarning, match="deprecated"):
        hpu.setDeterministic(False)
    hpu.enable_quantization()
    hpu.disable_quantization()
    hpu.enable_dynamic_shape()
    assert hpu.get_dynamic_shape_status()
    hpu.disable_dynamic_shape()
    assert not hpu.get_dynamic_shape_status()


def test_old_names_of_memory(hpu):
    x = torch.ones(1000, device="hpu")
    assert hpu.memory_usage() == hpu.memory_allocated() >= x.nbytes
    with pytest.warns(FutureWarning, match="renamed to torch.hpu.memory_reserved"):
        assert hpu.memory_cached() == hpu.memory_reserved()
    with pytest.warns(FutureWarning, match="renamed to torch.hpu.max_memory_reserved"):
        assert hpu.max_memory_cached() == hpu.max_memory_reserved()


def test_the_debug_mode_of_streams_is_a_variable(hpu, monkeypatch):
    monkeypatch.delenv("PT_ENABLE_HABANA_STREAMASYNC", raising=False)
    with pytest.raises(KeyError):
        hpu.get_sync_debug_mode()
    hpu.set_sync_debug_mode(1)
    assert hpu.get_sync_debug_mode() == 1


def test_a_card_does_not_reach_itself(hpu):
    with pytest.raises(AssertionError, match="Both the ids are same"):
        hpu.can_device_access_peer(0, "hpu:0")
    with pytest.raises(AssertionError, match="Invalid device id : 99"):
        hpu.can_device_access_peer(0, 99)
    with pytest.raises(ValueError, match="Expected a hpu device, but got: cpu"):
        hpu.can_device_access_peer("cpu", 0)


def test_the_device_has_the_name_that_programs_compare(hpu):
    assert hpu.get_device_name() == "GAUDI2"
    assert hpu.get_device_properties(0).name == "GAUDI2"
    assert hpu.get_arch_list() == ["GAUDI2"]


def test_streams_have_numbers(hpu):
    stream = hpu.Stream()
    assert hpu.default_stream().id() == 0 != stream.id()
    assert hpu.get_stream_info(stream)[1] == stream.id()
    with hpu.stream(stream):
        assert hpu.current_stream() is stream
        with hpu.stream(None):
            assert hpu.current_stream() is stream
    assert hpu.current_stream() is hpu.default_stream()


def test_random_states_are_those_of_one_card(hpu):
    with pytest.raises(RuntimeError, match="supports only device 0"):
        hpu.get_rng_state(1)
    with pytest.raises(RuntimeError, match="supports only states len of 1"):
        hpu.set_rng_state_all([])
    hpu.set_rng_state_all(hpu.get_rng_state_all())


def test_tensors_are_packed_and_unpacked(hpu):
    x, y = torch.ones(2), torch.zeros(3)
    tensors, metadata = hpu.TensorPacker().pack({"a": [x, 7], "b": (y, {"c": x})})
    assert [tensor.shape for tensor in tensors] == [(2,), (3,), (2,)]
    found = hpu.TensorPacker().unpack(tensors, metadata)
    assert found["a"][0] is x
    assert found["a"][1] == 7
    assert found["b"][0] is y
    assert repr(metadata["b"][0]) == "#1"


def test_normalisations_are_folded_into_convolutions_for_inference(device, capsys):
    import habana_frameworks.torch.core as htcore

    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()).eval()
    model[1].running_mean.uniform_()
    model[1].running_var.uniform_(0.5, 2)
    folded = htcore.hpu_inference_set_env(model)
    x = torch.randn(1, 3, 5, 5)
    torch.testing.assert_close(folded(x), model(x))
    assert [node.target for node in folded.graph.nodes if node.op == "call_module"] == ["0", "2"]
    assert isinstance(model[1], nn.BatchNorm2d), "the caller's model stays what it was"
    training = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    assert htcore.hpu_set_inference_env(training) is training
    assert "Fusion is only applicable for eval mode" in capsys.readouterr().out
    htcore.hpu_inference_initialize(folded.to("hpu"), mark_only_scales_as_const=True)
    htcore.hpu_teardown_inference_env()


def test_settings_of_the_compile_backend_as_a_dictionary(device):
    from habana_frameworks.torch.dynamo.compile_backend import config

    flags = config.configuration_flags
    before = flags["use_compiled_recipes"]
    try:
        flags["use_compiled_recipes"] = not before
        assert config.use_compiled_recipes is (not before)
    finally:
        flags["use_compiled_recipes"] = before


def test_modules_lie_where_programs_import_them_from(device):
    from habana_frameworks.torch.hpex.kernels.FusedSDPA import FusedSDPA
    from habana_frameworks.torch.hpex.normalization.FusedRMSNorm import FusedRMSNorm
    from habana_frameworks.torch.hpex.optimizers.FusedAdamW import FusedAdamW
    from habana_frameworks.torch.hpu.metrics.saver import MetricDumpFormat
    from habana_frameworks.torch.utils.experimental import _is_fp16_supported
    from habana_frameworks.torch.utils.library_loader import is_habana_available

    assert {FusedSDPA.__name__, FusedRMSNorm.__name__, FusedAdamW.__name__} == {
        "FusedSDPA", "FusedRMSNorm", "FusedAdamW",
    }  # fmt: skip
    assert MetricDumpFormat.json
    assert _is_fp16_supported()
    assert is_habana_available()
