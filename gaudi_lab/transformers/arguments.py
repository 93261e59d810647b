"""The arguments that training on a Gaudi has beside those of transformers, with their defaults."""

from __future__ import annotations

from dataclasses import dataclass, field

from transformers import TrainingArguments

from gaudi_lab.transformers.elsewhere import Elsewhere


@dataclass
class Arguments(Elsewhere, TrainingArguments):
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
