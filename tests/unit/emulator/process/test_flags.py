"""The bridge's environment variables."""

from __future__ import annotations

import pytest

from gaudi_lab.emulator.process import flags


@pytest.mark.parametrize("text", ["1", "true", "TRUE", "yes", "On", "y", "Y", "t"])
def test_every_word_for_yes_is_one(text, monkeypatch):
    monkeypatch.setenv("PT_HPU_METRICS_GC_DETAILS", text)
    monkeypatch.setenv("OF_NO_TABLE", text)
    assert flags.get("PT_HPU_METRICS_GC_DETAILS") is True
    assert flags.read_boolean("OF_NO_TABLE", default=False) is True


@pytest.mark.parametrize("text", ["0", "false", "No", "off", "n", "F", "", "maybe"])
def test_everything_else_is_no(text, monkeypatch):
    monkeypatch.setenv("PT_HPU_WEIGHT_SHARING", text)
    assert flags.get("PT_HPU_WEIGHT_SHARING") is False
    assert not flags.parse_boolean(text)


@pytest.mark.parametrize("text", ["Y", "yes", "1", "n", "0"])
def test_weight_sharing_is_read_in_one_way(text, monkeypatch):
    from habana_frameworks.torch.core import weight_sharing

    monkeypatch.setenv("PT_HPU_WEIGHT_SHARING", text)
    assert flags.get("PT_HPU_WEIGHT_SHARING") is weight_sharing.asked_for() is (text not in "n0")


def test_a_variable_has_the_class_of_its_default(monkeypatch):
    monkeypatch.setenv("PT_CACHE_FOLDER_SIZE_MB", "7")
    monkeypatch.setenv("PT_HPU_GRAPH_DUMP_MODE", "7")
    assert flags.get("PT_CACHE_FOLDER_SIZE_MB") == 7
    assert flags.get("PT_HPU_GRAPH_DUMP_MODE") == "7"
    monkeypatch.delenv("PT_CACHE_FOLDER_SIZE_MB")
    assert flags.get("PT_CACHE_FOLDER_SIZE_MB") == flags.FLAGS["PT_CACHE_FOLDER_SIZE_MB"].default


def test_what_is_set_by_the_program_wins_and_some_is_fixed(monkeypatch):
    monkeypatch.setattr(flags, "_set", {})
    monkeypatch.setenv("PT_COMPILE_ONLY_MODE", "0")
    flags.put("PT_COMPILE_ONLY_MODE", 1)
    assert flags.get("PT_COMPILE_ONLY_MODE") is True
    for name in ("PT_HPU_WEIGHT_SHARING", "PT_NO_SUCH_FLAG"):
        with pytest.raises(KeyError, match=name):
            flags.put(name, True)


def test_every_variable_of_the_bridge_has_a_getter():
    from habana_frameworks.torch.internal import bridge_config

    assert len(flags.FLAGS) > 180
    assert bridge_config.get_pt_hpu_gpu_migration() is False
    assert bridge_config.get_pt_hpu_thread_pool_queue_capacity() == 20000  # ten times as many up to 1.20
