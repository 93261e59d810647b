"""`habana_frameworks.torch.utils.debug`: what the bridge shows of itself and lets one switch.

What there is here is shown: fallbacks, memory, addresses. The passes of Intel's graph compiler and its buckets for
dynamic shapes are not there, so switches and statistics of theirs do nothing. Source: the bridge's files, 1.17 to 1.19.
"""

from __future__ import annotations

import logging
from typing import Any

import torch

from gaudi_lab.emulator.device.tensor import HpuTensor
from gaudi_lab.emulator.lazy.record import tape, trie
from gaudi_lab.emulator.process import flags

from ...hpu.memory import memory_summary
from ...hpu.metrics import metric_global
from .logger import Logger

_log = logging.getLogger("habana_frameworks.torch")

_NO_BUCKETS = (
    "The emulated bridge has no buckets of dynamic shapes to keep. Compiled programs are kept on disk with "
    "PT_HPU_RECIPE_CACHE_CONFIG=FOLDER,false,1024"
)


def _get_fallback_op_count() -> dict[str, int]:
    """Return how often each operator ran on the host."""
    metric = metric_global("cpu_fallback")
    return dict(dict(metric.stats()).get("FallbackOps") or {}) if metric is not None else {}


def get_tensor_info(tensor: torch.Tensor) -> tuple[int, int] | None:
    """Return the address of the tensor's memory and its size in bytes; None for a tensor that is not on the device."""
    if not isinstance(tensor, HpuTensor):
        return None
    storage = tensor.untyped_storage()
    return storage.data_ptr(), storage.nbytes()


def _bridge_cleanup() -> None:
    """Run what is recorded, and forget every program: each compiles again."""
    tape.flush()
    trie.clear()
    tape.restart()


def clear_dynamic_bucket_recipe_info() -> None:
    """Forget every program, as `_bridge_cleanup` does."""
    _bridge_cleanup()


def load_ds_checkpoint(path: str) -> None:
    """Refuse to load buckets of dynamic shapes.

    Raises
    ------
    RuntimeError
        Always.
    """
    raise RuntimeError(_NO_BUCKETS)


def save_ds_checkpoint(path: str) -> None:
    """Refuse to save buckets of dynamic shapes.

    Raises
    ------
    RuntimeError
        Always.
    """
    raise RuntimeError(_NO_BUCKETS)


def _set_dynamic_mode() -> None:
    """Let graphs serve a range of shapes, as `torch.hpu.enable_dynamic_shape` does."""
    flags.put("PT_HPU_ENABLE_REFINE_DYNAMIC_SHAPES", True)


def _is_enabled_lazy_collectives() -> bool:
    """Return what ``PT_HPU_ENABLE_LAZY_COLLECTIVES`` says."""
    return bool(flags.get("PT_HPU_ENABLE_LAZY_COLLECTIVES"))


def _is_enabled_weight_permute_pass() -> bool:
    """Return False, as the bridge does: weights keep their layout."""
    return False


def _is_enabled_synapse_layout_handling() -> bool:
    """Return True, as the bridge does: layouts are the compiler's matter."""
    return True


def _get_shape_agnostic_unsupported_ops() -> set[str]:
    """Return no operator: eager mode here keeps nothing by shape."""
    return set()


def _get_eager_compiler_unsupported_op_prefixes() -> set[str]:
    """Return no operator: eager mode here compiles none."""
    return set()


def _get_jit_cache_size() -> int:
    """Return 0: eager mode here keeps no graphs of single operators."""
    return 0


def _clear_jit_cache() -> None:
    """Forget the graphs of single operators, of which there are none."""


def _set_module_name(name: str = "") -> None:
    """Name the module that records from here on. Programs here carry no names of modules."""


def _memstat_livealloc(msg: str = "") -> None:
    """Print `msg` and the device memory in use."""
    print(msg, memory_summary(), sep="\n")  # noqa: T201 - what it is called for


def _memstat_devmem_start_collect(msg: str = "", show_cs: bool = True) -> None:
    """Print `msg` and the device memory in use, as the beginning of a comparison."""
    _memstat_livealloc(msg)


def _memstat_devmem_stop_collect(msg: str = "") -> None:
    """Print `msg` and the device memory in use, as the end of a comparison."""
    _memstat_livealloc(msg)


def _dump_memory_reporter() -> None:
    """Log the device memory in use."""
    _log.debug(memory_summary())


def _mem_log(msg: str) -> None:
    """Log `msg` and the device memory in use."""
    _log.debug("%s\n%s", msg, memory_summary())


def _hb_print(msg: str) -> None:
    """Log `msg`."""
    _log.debug(msg)


def _hg_print(msg: str) -> None:
    """Log `msg` of an HPU graph."""
    _log.debug(msg)


def _towl_configure(flag: bool, config: str = "") -> None:
    """Configure Intel's timeline of device memory, which is not emulated."""


def _towl_print(text: str) -> None:
    """Log `text`, which on hardware would stand in the timeline of device memory."""
    _log.debug(text)


def _ignore_switch(flag: bool) -> None:
    """Switch a pass of Intel's graph compiler, which is not there: results are the same with it and without."""


def _print_nothing() -> None:
    """Print statistics of Intel's recipes and of its buckets for dynamic shapes, which are not there."""


def _disable_bucket_refinement() -> None:
    """Keep the buckets of dynamic shapes as they are; there are none."""


_enable_eliminate_common_subexpression = _enable_eliminate_dead_code = _ignore_switch
_enable_constant_pooling = _enable_peephole_optimization = _enable_permute_pass = _ignore_switch
_enable_fuse_t_mm_optimization = _enable_fuse_bn_relu_optimization = _ignore_switch
_enable_fuse_conv_bn_optimization = _enable_bn_param_recalculation = _ignore_switch
_enable_replace_inplace_ops = _enable_replace_views = _enable_weight_permute_pass = _ignore_switch

_dump_refined_recipe_stat = _dump_bucket_memory_stat = _dump_history_memory_stat = _print_nothing
_dump_recipe_memory_stat = _dump_synapse_recipe_memory_stat = _dump_dynamic_shape_memory_stat = _print_nothing
