"""`habana_frameworks.torch.utils.debug`."""

from __future__ import annotations

import pytest
import torch


def test_what_there_is_is_shown(mode, capsys):
    import habana_frameworks.torch.utils.debug as htdebug

    x = torch.ones(3, device="hpu") + 1
    assert htdebug.get_tensor_info(x) == (x.data_ptr(), 12)
    assert htdebug.get_tensor_info(torch.ones(3)) is None
    htdebug._memstat_livealloc("after one")
    assert capsys.readouterr().out.startswith("after one\n")
    htdebug._enable_fuse_conv_bn_optimization(True)
    with pytest.raises(RuntimeError, match="PT_HPU_RECIPE_CACHE_CONFIG"):
        htdebug.save_ds_checkpoint("folder")


def test_fallbacks_are_counted(lazy):
    import habana_frameworks.torch.utils.debug as htdebug

    before = sum(htdebug._get_fallback_op_count().values())
    torch.ones(3, device="hpu").nonzero()
    assert sum(htdebug._get_fallback_op_count().values()) == before + 1


def test_after_a_cleanup_programs_compile_again(lazy):
    import habana_frameworks.torch.utils.debug as htdebug

    from gaudi_lab import bridge

    def compilations():
        before = bridge.counters()
        assert (x * 3).sum().item() == 9.0
        return bridge.counters().since(before).compilations

    x = torch.ones(3).to("hpu")
    compilations()
    assert compilations() == 0
    pending = x + 1
    htdebug._bridge_cleanup()
    assert pending.tolist() == [2.0] * 3
    assert compilations() == 1


def test_a_logger_formats_and_keeps_messages():
    from habana_frameworks.torch.utils.debug import Logger

    logger = Logger("PT_COMPILE")
    logger.info("not kept")
    logger.set_store_data(True)
    logger.warn("{} of {}", 1, 2)
    logger.error("%d %%", 3)
    logger.debug("plain", 4)
    assert logger.data == ["[PT_COMPILE] 1 of 2", "[PT_COMPILE] 3 %", "[PT_COMPILE] plain, 4"]
