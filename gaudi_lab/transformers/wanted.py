"""What a trainer's arguments ask to be put on its model, as plain values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gaudi_lab.settings import Mode, Settings
from gaudi_lab.transformers.rules import FUSED_SDPA

if TYPE_CHECKING:
    from gaudi_lab.transformers.arguments import Arguments


@dataclass(frozen=True)
class Wanted:
    """The switches of one trainer.

    Attributes
    ----------
    settings
        Those that the workbench knows too.
    graph_options
        For `wrap_in_hpu_graph`.
    compile_options
        For `torch.compile`.
    regional
        Compile repeated blocks and not the whole.
    attention
        Another attention of transformers' own; None leaves the model's.
    """

    settings: Settings
    graph_options: dict[str, Any] = field(default_factory=dict)
    compile_options: dict[str, Any] = field(default_factory=dict)
    regional: bool = False
    attention: str | None = None

    def told(self, settings: Settings) -> str:
        """Return in words what is on: `settings`, with what only arguments have."""
        mode, *rest = str(settings).split(" + ")
        if self.regional and settings.mode is Mode.COMPILE:
            mode = f"{mode} regions"
        if self.attention is not None and not settings.fused_sdpa:
            rest.append(f"{self.attention} attention")
        return " + ".join([mode, *rest])


def of_arguments(args: Arguments) -> Wanted:
    """Return what `args` ask for."""
    fused = args.attn_implementation == FUSED_SDPA
    process = Mode.LAZY if args.use_lazy_mode else Mode.EAGER
    mode = Mode.COMPILE if args.compiles else process
    options: dict[str, Any] = {}
    if args.disable_tensor_cache_hpu_graphs:
        options["disable_tensor_cache"] = True
    if args.max_hpu_graphs is not None:
        options["max_graphs"] = args.max_hpu_graphs
    compiling: dict[str, Any] = {"dynamic": bool(args.compile_dynamic)}
    if args.torch_compile_mode is not None:
        compiling["mode"] = args.torch_compile_mode
    return Wanted(
        Settings(
            mode,
            hpu_graphs=args.use_hpu_graphs_for_inference,
            fused_sdpa=fused,
            recompute=True if fused and args.flash_attention_recompute else None,
            softmax="fast" if fused and args.flash_attention_fast_softmax else None,
        ),
        graph_options=options,
        compile_options=compiling,
        regional=args.use_regional_compilation,
        attention=None if fused else args.attn_implementation,
    )
