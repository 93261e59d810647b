"""What a trainer's arguments switch on, and the model that the workbench switches for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from torch import nn

from gaudi_lab.settings import Mode, Settings
from gaudi_lab.transformers.rules import GAUDI_FUSED_SDPA
from gaudi_lab.workbench import lab
from gaudi_lab.workbench.model import ModelOptions

if TYPE_CHECKING:
    from gaudi_lab.transformers.arguments import Arguments


class TrainerSwitches:
    """The switches of one trainer on its model, which the workbench moves.

    What is put on stays on from one evaluation to the next, so that nothing is captured or compiled twice.
    While the trainer or its model is attached, the workbench's own switches hold.

    Parameters
    ----------
    trainer
        With its model, which is on the device. One on the CPU has nothing to switch, but takes off what
        others have on its model.
    """

    def __init__(self, trainer: Any) -> None:
        self._trainer = trainer
        on_hpu = trainer.args.use_habana
        self._entered = lab.current().enter(trainer, *read_arguments(trainer.args)) if on_hpu else None

    def __str__(self) -> str:
        return "CPU" if self._entered is None else str(lab.current().owner(self._entered))

    @contextmanager
    def on(self, *, training: bool = False) -> Iterator[None]:
        """Have the switches on meanwhile. If it does not end well, the model is left as it was.

        Raises
        ------
        LabError
            For training while the workbench has HPU graphs on for this model.
        """
        if self._entered is None:
            lab.current().free({"model": self._trainer.model})
            yield
            return
        with lab.current().on(self._entered, training=training):
            yield

    def take_off(self) -> None:
        """Put the model back as it was, unless it is attached."""
        if self._entered is not None:
            lab.current().take_off(self._entered)

    def replays(self) -> list[int]:
        """Return for each captured HPU graph how often it was replayed."""
        return [] if self._entered is None else lab.current().owner(self._entered).replays()

    def in_use(self, model: nn.Module) -> nn.Module:
        """Return what to call instead of `model`: its form with compiled regions, if there is one."""
        return model if self._entered is None else self._entered.in_use(model)


def read_arguments(args: Arguments) -> tuple[Settings, ModelOptions]:
    """Return the switches that `args` ask for, and what only arguments can say."""
    fused = args.attn_implementation == GAUDI_FUSED_SDPA
    graphs: dict[str, Any] = {}
    if args.disable_tensor_cache_hpu_graphs:
        graphs["disable_tensor_cache"] = True
    if args.max_hpu_graphs is not None:
        graphs["max_graphs"] = args.max_hpu_graphs
    compiling: dict[str, Any] = {"dynamic": bool(args.compile_dynamic)}
    if args.torch_compile_mode is not None:
        compiling["mode"] = args.torch_compile_mode
    settings = Settings(
        Mode.COMPILE if args.compiles else Mode.of_process(bool(args.use_lazy_mode)),
        hpu_graphs=args.use_hpu_graphs_for_inference,
        fused_sdpa=fused,
        recompute=args.flash_attention_recompute if fused else None,
        softmax="fast" if fused and args.flash_attention_fast_softmax else None,
    )
    options = ModelOptions(
        graphs,
        compiling,
        regional=args.use_regional_compilation,
        attention=None if fused else args.attn_implementation,
    )
    return settings, options
