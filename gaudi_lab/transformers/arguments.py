"""The arguments that training on a Gaudi has beside those of transformers, with their defaults.

Those that only optimum-habana has are declared too: a script that names them at their defaults keeps working, and
one that counts on them is told.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from transformers import TrainingArguments

from gaudi_lab.errors import LabValueError

_PREFIX = "Not part of Gaudi Lab. "


def _declare(default: Any, instead: str) -> Any:
    # transformers' command line passes all metadata on to argparse, so there is none but the help.
    return field(default=default, metadata={"help": _PREFIX + instead})


@dataclass
class UnsupportedArguments:
    """Arguments of optimum-habana without an effect here: accepted at their defaults, refused otherwise."""

    use_hpu_graphs_for_training: bool = _declare(False, "HPU graphs are for inference here.")
    use_compiled_autograd: bool = _declare(False, "torch_compile=True compiles forward and backward.")
    compile_from_sec_iteration: bool = _declare(False, "The warm-up metrics leave the first iterations out.")
    use_zero3_leaf_promotion: bool = _declare(False, "Training on several cards is optimum-habana's.")
    cache_size_limit: int | None = _declare(None, "Set torch._dynamo.config.recompile_limit.")
    inline_inbuilt_nn_modules: bool | None = _declare(None, "Set torch._dynamo.config.")
    allow_unspec_int_on_nn_module: bool | None = _declare(None, "Set torch._dynamo.config.")
    distribution_strategy: str = _declare("ddp", "Training on several cards is optimum-habana's.")
    context_parallel_size: int = _declare(1, "Training on several cards is optimum-habana's.")
    minimize_memory: bool = _declare(False, "Training on several cards is optimum-habana's.")
    adjust_throughput: bool = _declare(False, "Steady throughput never counts logging or saving here.")
    pipelining_fwd_bwd: bool = _declare(False, "Set PT_HPU_LAZY_MODE=1 and use optimum-habana.")
    ignore_eos: bool = _declare(True, "Generation is optimum-habana's.")
    non_blocking_data_copy: bool = _declare(False, 'Use accelerator_config={"non_blocking": True}.')
    profiling_warmup_steps: int = _declare(0, "Use torch.profiler around trainer.evaluate().")
    profiling_steps: int = _declare(0, "Use torch.profiler around trainer.evaluate().")
    profiling_warmup_steps_eval: int = _declare(0, "Use torch.profiler around trainer.evaluate().")
    profiling_steps_eval: int = _declare(0, "Use torch.profiler around trainer.evaluate().")
    profiling_record_shapes: bool = _declare(True, "trainer.warmup tells the shapes.")
    profiling_with_stack: bool = _declare(False, "Use torch.profiler around trainer.evaluate().")
    flash_attention_causal_mask: bool = _declare(False, "The model's own mask decides.")
    flash_attention_fp8: bool = _declare(False, "fp8 is optimum-habana's.")
    fp8: bool = _declare(False, "fp8 is optimum-habana's.")
    sdp_on_bf16: bool = _declare(False, 'Use attn_implementation="gaudi_fused_sdpa".')
    half_precision_backend: str = _declare("hpu_amp", "Half precision is bfloat16 by autocast: bf16=True.")


@dataclass
class Arguments(UnsupportedArguments, TrainingArguments):
    """Declared here, so that the rules can read them; documented and checked in `GaudiTrainingArguments`."""

    use_habana: bool = field(default=False, metadata={"help": "Run on the Gaudi."})
    gaudi_config_name: str | None = field(
        default=None, metadata={"help": "Folder or hub name of a gaudi_config.json."}
    )
    use_lazy_mode: bool | None = field(
        default=None, metadata={"help": "Lazy mode or eager mode; has to be that of the process."}
    )
    use_hpu_graphs: bool = field(
        default=False, metadata={"help": "Deprecated. Use use_hpu_graphs_for_inference."}
    )
    use_hpu_graphs_for_inference: bool = field(
        default=False, metadata={"help": "Capture the forward once per input shape and replay it."}
    )
    disable_tensor_cache_hpu_graphs: bool = field(
        default=False, metadata={"help": "HPU graphs hold no copies of intermediate tensors."}
    )
    max_hpu_graphs: int | None = field(
        default=None, metadata={"help": "The most HPU graphs to capture; further shapes run without."}
    )
    throughput_warmup_steps: int = field(
        default=0, metadata={"help": "First batches that the steady throughput leaves out."}
    )
    use_regional_compilation: bool = field(
        default=False, metadata={"help": "Compile repeated blocks instead of the whole model."}
    )
    compile_dynamic: bool | None = field(default=None, metadata={"help": "torch.compile's dynamic."})
    attn_implementation: str | None = field(
        default=None, metadata={"help": "eager, sdpa or gaudi_fused_sdpa; the model's own by default."}
    )
    flash_attention_recompute: bool | None = field(
        default=None,
        metadata={"help": "FusedSDPA recomputes, or does not; the bridge's own choice by default."},
    )
    flash_attention_fast_softmax: bool = field(
        default=False, metadata={"help": "FusedSDPA's fast softmax, for bfloat16."}
    )
    pad_last_batch: bool = field(
        default=False, metadata={"help": "Fill a smaller last batch up; its filling is left out of results."}
    )

    # Where optimum-habana departs from transformers, so that a script trains alike. `adamw_torch_fused`,
    # the default since torch 2.8, has no kernel on a Gaudi.
    optim: str = field(default="adamw_torch", metadata={"help": "The optimizer."})
    adam_epsilon: float = field(default=1e-6, metadata={"help": "Epsilon of AdamW."})
    logging_nan_inf_filter: bool = field(default=False, metadata={"help": "Leave NaN and inf out of losses."})

    @property
    def compiles(self) -> bool:
        """Whether `torch.compile` is asked for, by whichever argument."""
        return bool(self.torch_compile or self.torch_compile_backend or self.torch_compile_mode)


def write_line(args: Arguments, **changes: Any) -> str:
    """Return a line that makes arguments with `changes`, for the device that `args` are for."""
    options = {"use_habana": True, **changes} if args.use_habana else changes
    return f"GaudiTrainingArguments({', '.join(f'{name}={value!r}' for name, value in options.items())})"


def find_unsupported(args: Arguments) -> Iterator[LabValueError]:
    """Yield one error for each argument that only optimum-habana has and that is not at its default."""
    for declared in dataclasses.fields(UnsupportedArguments):
        if getattr(args, declared.name) != declared.default:
            yield LabValueError(
                f"{declared.name}={getattr(args, declared.name)!r} is not part of Gaudi Lab. "
                f"{declared.metadata['help'].removeprefix(_PREFIX)}",
                python=write_line(args, **{declared.name: declared.default}),
            )
