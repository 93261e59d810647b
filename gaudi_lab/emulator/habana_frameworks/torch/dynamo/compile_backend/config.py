"""Settings of the backend, with the bridge's names and defaults; `config.patch(...)` changes some for a while.

``options`` of `torch.compile` may name any of them. The emulated backend takes them all, and none changes what it
computes.
"""

import os
import sys

from torch.utils._config_module import install_config_module


def _flag(name: str, default: bool) -> bool:
    return os.environ.get(name, str(int(default))).lower() in ("1", "true")


use_compiled_recipes: bool = _flag("PT_HPU_COMPILE_USE_RECIPES", True)
decomposition_mode: str = "habana"
keep_input_mutations: bool = _flag("PT_HPU_KEEP_INPUT_MUTATIONS", True)
use_eager_fallback: bool = _flag("PT_HPU_USE_EAGER_FALLBACK", True)
use_graph_freezing: bool = _flag("PT_HPU_COMPILE_GRAPH_FREEZE", False)
discard_frozen_params: bool = False
remove_unnecessary_clones: bool = True
use_inplace_allreduce: bool = True
use_inplace_index_copy: bool = True
inference: bool = _flag("PT_HPU_USE_INFERENCE_COMPILER", True)
enable_sfg: bool = False
use_cpp_partitioner: bool = True
enable_allreduce_graph_split: bool = True
force_static_compile: bool = _flag("PT_HPU_FORCE_STATIC_COMPILE", False)
reinplace_add: bool = True
reassign_full_copy: bool = True
reassign_copy_: bool = True
use_boxed_input: bool = True

install_config_module(sys.modules[__name__])
