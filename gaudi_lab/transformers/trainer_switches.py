"""What a trainer's arguments switch on, for the workbench."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gaudi_lab.settings import Mode, Settings
from gaudi_lab.transformers.rules import GAUDI_FUSED_SDPA
from gaudi_lab.workbench.model import ModelOptions

if TYPE_CHECKING:
    from gaudi_lab.transformers.arguments import Arguments


def read_arguments(args: Arguments) -> tuple[Settings, ModelOptions]:
    """Return the switches that `args` ask for, and what only arguments can say."""
    fused = args.attn_implementation == GAUDI_FUSED_SDPA
    graphs: dict[str, Any] = {}
    if args.disable_tensor_cache_hpu_graphs:
        graphs["disable_tensor_cache"] = True
    if args.max_hpu_graphs is not None:
        graphs["max_graphs"] = args.max_hpu_graphs
    compiling: dict[str, Any] = {}
    if args.torch_compile_mode is not None:
        compiling["mode"] = args.torch_compile_mode
    settings = Settings(
        Mode.COMPILE if args.compiles else Mode.of_process(bool(args.use_lazy_mode)),
        hpu_graphs=args.use_hpu_graphs_for_inference,
        fused_sdpa=fused,
        recompute=args.flash_attention_recompute if fused else None,
        softmax="fast" if fused and args.flash_attention_fast_softmax else None,
        dynamic=True if args.compiles and args.compile_dynamic else None,
    )
    options = ModelOptions(
        graphs,
        compiling,
        regional=args.use_regional_compilation,
        attention=None if fused else args.attn_implementation,
    )
    return settings, options
