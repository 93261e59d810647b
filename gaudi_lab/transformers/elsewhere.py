"""Arguments of optimum-habana that Gaudi Lab does not have: accepted as they are by default, refused otherwise.

Declared so that a command line or a script that names them at their defaults keeps working, and so that one
that counts on them is told.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from gaudi_lab.errors import LabValueError

_PREFIX = "Not part of Gaudi Lab. "


def _not_here(default: Any, instead: str) -> Any:
    # transformers' command line passes all metadata on to argparse, so there is none but the help.
    return field(default=default, metadata={"help": _PREFIX + instead})


@dataclass
class Elsewhere:
    """Arguments of optimum-habana without an effect here; see there."""

    use_hpu_graphs_for_training: bool = _not_here(False, "HPU graphs are for inference here.")
    use_compiled_autograd: bool = _not_here(False, "torch_compile=True compiles forward and backward.")
    compile_from_sec_iteration: bool = _not_here(False, "The warm-up metrics leave the first iterations out.")
    use_zero3_leaf_promotion: bool = _not_here(False, "Training on several cards is optimum-habana's.")
    cache_size_limit: int | None = _not_here(None, "Set torch._dynamo.config.recompile_limit.")
    inline_inbuilt_nn_modules: bool | None = _not_here(None, "Set torch._dynamo.config.")
    allow_unspec_int_on_nn_module: bool | None = _not_here(None, "Set torch._dynamo.config.")
    distribution_strategy: str = _not_here("ddp", "Training on several cards is optimum-habana's.")
    context_parallel_size: int = _not_here(1, "Training on several cards is optimum-habana's.")
    minimize_memory: bool = _not_here(False, "Training on several cards is optimum-habana's.")
    adjust_throughput: bool = _not_here(False, "Steady throughput never counts logging or saving here.")
    pipelining_fwd_bwd: bool = _not_here(False, "Set PT_HPU_LAZY_MODE=1 and use optimum-habana.")
    ignore_eos: bool = _not_here(True, "Generation is optimum-habana's.")
    non_blocking_data_copy: bool = _not_here(False, 'Use accelerator_config={"non_blocking": True}.')
    profiling_warmup_steps: int = _not_here(0, "Use torch.profiler around trainer.evaluate().")
    profiling_steps: int = _not_here(0, "Use torch.profiler around trainer.evaluate().")
    profiling_warmup_steps_eval: int = _not_here(0, "Use torch.profiler around trainer.evaluate().")
    profiling_steps_eval: int = _not_here(0, "Use torch.profiler around trainer.evaluate().")
    profiling_record_shapes: bool = _not_here(True, "trainer.warmup tells the shapes.")
    profiling_with_stack: bool = _not_here(False, "Use torch.profiler around trainer.evaluate().")
    flash_attention_causal_mask: bool = _not_here(False, "The model's own mask decides.")
    flash_attention_fp8: bool = _not_here(False, "fp8 is optimum-habana's.")
    fp8: bool = _not_here(False, "fp8 is optimum-habana's.")
    sdp_on_bf16: bool = _not_here(False, 'Use attn_implementation="gaudi_fused_sdpa".')


def problems(args: Elsewhere) -> Iterator[LabValueError]:
    """Yield one error for each argument of these that is not at its default."""
    for declared in dataclasses.fields(Elsewhere):
        if getattr(args, declared.name) != declared.default:
            yield LabValueError(
                f"{declared.name}={getattr(args, declared.name)!r} is not part of Gaudi Lab. "
                f"{declared.metadata['help'].removeprefix(_PREFIX)}",
                python=f"GaudiTrainingArguments({declared.name}={declared.default!r})",
            )
