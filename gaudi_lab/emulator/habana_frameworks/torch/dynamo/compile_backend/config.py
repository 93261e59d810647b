"""Settings of the backend, with the bridge's names and defaults; `config.patch(...)` changes some for a while.

``options`` of `torch.compile` may name any of them. The emulated backend takes them all, and none changes what it
computes.
"""

import os
import sys

from torch.utils._config_module import install_config_module

from gaudi_lab.emulator.process.flags import parse_boolean
from gaudi_lab.emulator.process.release import release as _release


# The words stand inside the functions: every constant of this module becomes one of its settings.
def _flag(name: str, default: bool) -> bool:
    asked = os.environ.get(name, str(int(default))).lower()
    parsed = parse_boolean(asked)
    assert parsed is not None, f"Unrecognized boolean value in env config:\n\t{name}: {asked}"
    return parsed


def _decomposition(name: str) -> str:
    asked = os.environ.get(name, "habana").lower()
    known = asked in ("habana", "core_aten", "none")
    assert known, f"Unrecognized string value in env config:\n\t{name}: {asked}"
    return asked


use_compiled_recipes: bool = _flag("PT_HPU_COMPILE_USE_RECIPES", True)
decomposition_mode: str = _decomposition("PT_HPU_COMPILE_DECOMPOSITION_MODE")
keep_input_mutations: bool = _flag("PT_HPU_KEEP_INPUT_MUTATIONS", True)
use_eager_fallback: bool = _flag("PT_HPU_USE_EAGER_FALLBACK", True)
if _release() < (1, 21):
    use_graph_freezing: bool = _flag("PT_HPU_COMPILE_GRAPH_FREEZE", False)
discard_frozen_params: bool = _flag("PT_HPU_COMPILE_DISCARD_FROZEN_PARAMS", False)
remove_unnecessary_clones: bool = _flag("PT_HPU_COMPILE_REMOVE_UNNECESSARY_CLONES", True)
use_inplace_allreduce: bool = _flag("PT_HPU_USE_INPLACE_COLLECTIVE", True)
use_inplace_index_copy: bool = _flag("PT_HPU_USE_INPLACE_INDEX_COPY", True)
inference: bool = _flag("PT_HPU_USE_INFERENCE_COMPILER", True)
enable_sfg: bool = _flag("PT_HPU_ENABLE_SFG", False)
use_cpp_partitioner: bool = _flag("PT_HPU_USE_CPP_PARTITIONER", True)
enable_allreduce_graph_split: bool = _flag("PT_HPU_ENABLE_ALLREDUCE_GRAPH_SPLIT", True)
force_static_compile: bool = _flag("PT_HPU_FORCE_STATIC_COMPILE", False)
if _release() < (1, 19):
    verbose: bool = _flag("PT_HPU_COMPILE_VERBOSE", False)
else:
    reinplace_add: bool = _flag("PT_HPU_REINPLACE_ADD", True)
    reassign_full_copy: bool = _flag("PT_HPU_REASSIGN_FULL_COPY", True)
    reassign_copy_: bool = _flag("PT_HPU_REASSIGN_COPY_", True)
    use_boxed_input: bool = _flag("PT_HPU_USE_BOXED_INPUT", True)
if _release() >= (1, 21):
    dump_graph_repro: bool = _flag("PT_HPU_DUMP_GRAPH_REPRO", False)
    joint_graph_constant_folding: bool = _flag("PT_HPU_COMPILE_JOINT_GRAPH_CONSTANT_FOLDING", True)
    enable_waittensor_graph_split: bool = _flag("PT_HPU_ENABLE_WAITTENSOR_GRAPH_SPLIT", True)
    use_generic_reinplacer: bool = _flag("PT_HPU_USE_GENERIC_REINPLACER", True)
    enable_synapse_input_reuse: bool = _flag("PT_HPU_ENABLE_SYNAPSE_INPUT_REUSE", True)

install_config_module(sys.modules[__name__])


class DictLikeClass:
    """The settings as a dictionary, which they once were."""

    def __getitem__(self, key: str) -> object:
        return getattr(sys.modules[__name__], key)

    def __setitem__(self, key: str, value: object) -> None:
        setattr(sys.modules[__name__], key, value)


# After the line above: every constant before it becomes a setting.
vars()["configuration_flags"] = DictLikeClass()
