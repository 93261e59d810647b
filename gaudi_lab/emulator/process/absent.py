"""What Intel's bridge has and the emulated one has not: one table, and the sentence that an import of it ends with.

A module is `internal` where nobody but the bridge itself is meant to import it, and `refused` where programs do: then
the row says what to use instead. A row speaks for everything inside the module too.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import ModuleType
from typing import NamedTuple


class Absent(NamedTuple):
    """Why a module of the bridge is not there.

    Attributes
    ----------
    what
        What it is, after "which is".
    instead
        What a program uses instead; empty for what is internal.
    """

    what: str
    instead: str = ""

    def sentence(self, module: str) -> str:
        """Return what an import of `module` is refused with."""
        if self.instead:
            return f"{module} is {self.what}, and is not emulated: {self.instead}"
        return f"{module} is {self.what}: internal to Intel's bridge, and the emulated one works without"


_COMPILED = Absent("compiled from C++")
_PASSES = Absent("a part of Intel's graph compiler")
_PT2E = Absent(
    "quantisation of exported graphs for the device",
    "quantise with Intel Neural Compressor's FP8, or with torch.ao.quantization on the CPU",
)
_TRACE = Absent(
    "tracing of the hardware and its driver",
    "use torch.profiler, which records what the host does for the device",
)
_DUMPS = Absent(
    "drawing of the graphs that Intel's compiler makes", "see %gaudi_warmup or torch._dynamo.explain"
)

_TORCH = "habana_frameworks.torch"
TABLE: dict[str, Absent] = {
    "habana_dataloader": Absent(
        "Intel's loader that decodes images on the device", "use torch.utils.data.DataLoader"
    ),
    "habana_frameworks.mediapipe": Absent(
        "Intel's media pipe, which decodes on the device", "load images with torchvision or PIL"
    ),
    "habana_frameworks.medialoaders": Absent(
        "a part of Intel's media pipe, which decodes on the device", "load images with torchvision or PIL"
    ),
    "mpi4py": Absent(
        "the Python side of MPI, by which DeepSpeed starts what no launcher has started",
        "start it with python -m torch.distributed.run --nproc_per_node 1",
    ),
    "torch_hpu": Absent("an old name", "use habana_frameworks.torch.hpu"),
    f"{_TORCH}.activity_profiler": _TRACE,
    f"{_TORCH}.core.observer": _PT2E,
    f"{_TORCH}.core.pattern_matcher": _PT2E,
    f"{_TORCH}.core.quantize_pt2e": _PT2E,
    f"{_TORCH}.core.quantizer": _PT2E,
    f"{_TORCH}.core.torch_overwrites": Absent("what the bridge changes in PyTorch as it loads"),
    f"{_TORCH}.dynamo._custom_op_meta_registrations": Absent(
        "shapes of the bridge's operators, as torch.compile asks"
    ),
    f"{_TORCH}.dynamo._fx_jit_lowering_utils": _PASSES,
    f"{_TORCH}.dynamo._fx_to_jit_lowering": _PASSES,
    f"{_TORCH}.dynamo.compile_backend._helpers": _PASSES,
    f"{_TORCH}.dynamo.compile_backend._passes": _PASSES,
    f"{_TORCH}.dynamo.compile_backend.cluster_compiler": _PASSES,
    f"{_TORCH}.dynamo.compile_backend.compilers": _PASSES,
    f"{_TORCH}.dynamo.compile_backend.decomposition": _PASSES,
    f"{_TORCH}.dynamo.compile_backend.freezing_passes": _PASSES,
    f"{_TORCH}.dynamo.compile_backend.internal": _PASSES,
    f"{_TORCH}.dynamo.compile_backend.logger": _PASSES,
    f"{_TORCH}.dynamo.compile_backend.partition_fn": _PASSES,
    f"{_TORCH}.dynamo.compile_backend.partitioner": _PASSES,
    f"{_TORCH}.dynamo.compile_backend.random_utils": _PASSES,
    f"{_TORCH}.dynamo.compile_backend.recipe_compiler": _PASSES,
    f"{_TORCH}.dynamo.compile_backend.symbolic_execution": _PASSES,
    f"{_TORCH}.dynamo.debug_utils": _DUMPS,
    f"{_TORCH}.dynamo.trace_rules": Absent("what Dynamo is to leave out"),
    f"{_TORCH}.dynamo.utils": _PASSES,
    f"{_TORCH}.hpex.experimental.transformer_engine": Absent(
        "Intel's separate package intel_transformer_engine, whose FP8 kernels run on a Gaudi only",
        'Train in bfloat16 instead, with torch.autocast("hpu", dtype=torch.bfloat16)',
    ),
    f"{_TORCH}.hpex.kernels.CustomNms": Absent("an operator of 1.18", "use torchvision.ops.nms on the host"),
    f"{_TORCH}.hpex.kernels.CustomRoiAlign": Absent(
        "an operator of 1.18", "use torchvision.ops.roi_align on the host"
    ),
    f"{_TORCH}.hpex.kernels.EmbeddingBag": Absent(
        "a sum of embeddings with Intel's own preparation of its indices",
        "use torch.nn.functional.embedding_bag",
    ),
    f"{_TORCH}.hpex.kernels.EmbeddingBagPreproc": Absent(
        "a sum of embeddings with Intel's own preparation of its indices",
        "use torch.nn.functional.embedding_bag",
    ),
    f"{_TORCH}.hpex.kernels.RandomSeed": Absent(
        "seeds from the device's generator", "use torch.hpu.manual_seed"
    ),
    f"{_TORCH}.hpex.kernels.ScaledMaskedSoftmax": Absent("an operator of 1.18", "use torch.softmax"),
    f"{_TORCH}.hpex.kernels.Softmax": Absent(
        "a softmax of rows of different lengths", "use torch.softmax with a mask of -inf"
    ),
    f"{_TORCH}.hpex.kernels.fbgemm": Absent(
        "FBGEMM's operators on tables of embeddings", "use fbgemm_gpu on the host"
    ),
    f"{_TORCH}.hpex.optimizers.SparseAdagrad": Absent("an empty module", "use torch.optim.Adagrad"),
    f"{_TORCH}.hpex.optimizers.SparseSGD": Absent("an empty module", "use torch.optim.SGD"),
    f"{_TORCH}.hpu._proxy_module": Absent("stand-ins for C++ classes"),
    f"{_TORCH}.internal.synrec_helper": _TRACE,
    f"{_TORCH}.media_pyt_bridge": Absent(
        "a part of Intel's media pipe, which decodes on the device", "load images with torchvision or PIL"
    ),
    f"{_TORCH}.profiler": _TRACE,
    f"{_TORCH}.utils._weights_only_unpickler": Absent("the bridge's own torch.load"),
    f"{_TORCH}.utils.debug.cprofile_wrapper": Absent("cProfile for the bridge's developers"),
    f"{_TORCH}.utils.debug.dsa_debugger": Absent("a tool that holds two runs on hardware against each other"),
    f"{_TORCH}.utils.debug.dynamo_utils": Absent(
        "a count of what Intel's compiler made of a graph", "use torch._dynamo.explain"
    ),
    f"{_TORCH}.utils.debug.test_simple": Absent("a test"),
    f"{_TORCH}.utils.debug.utils": Absent(
        "a dump of the hardware's state that ends the program",
        "read the traceback: nothing here lies outside Python",
    ),
    f"{_TORCH}.utils.profiler": _TRACE,
    f"{_TORCH}.utils.visualization": _DUMPS,
}


def why_absent(module: str) -> str | None:
    """Return why the bridge's module of this name is not there; None if nothing is known of such a module."""
    if module.startswith("habana_frameworks.") and module.endswith("_C"):
        return _COMPILED.sentence(module)
    name = module
    while name:
        if name in TABLE:
            return TABLE[name].sentence(module)
        name = name.rpartition(".")[0]
    return None


class AbsentFinder:
    """The last finder of all: ends the import of a module that the table knows with its sentence."""

    @staticmethod
    def find_spec(
        name: str,
        path: Sequence[str] | None = None,  # noqa: ARG004
        target: ModuleType | None = None,  # noqa: ARG004
    ) -> None:
        """Find nothing.

        Raises
        ------
        ModuleNotFoundError
            An import has asked for a module in the table. `importlib.util.find_spec`, which only asks whether there
            is one, gets None as its answer.
        """
        # 0 is this function, 1 the loop over finders, 2 who runs it.
        if sys._getframe(2).f_code.co_name == "find_spec":
            return
        sentence = why_absent(name)
        if sentence is not None:
            # Without a name, or `from package import module` would hide the sentence behind one of its own.
            raise ModuleNotFoundError(sentence)


def install() -> None:
    """Put the finder behind all others, once."""
    if AbsentFinder not in sys.meta_path:
        sys.meta_path.append(AbsentFinder)
