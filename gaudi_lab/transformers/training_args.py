"""`transformers.TrainingArguments` for a Gaudi, under the names that optimum-habana gave them."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

from gaudi_lab import bridge
from gaudi_lab.settings import Mode
from gaudi_lab.transformers import accelerate_state, rules
from gaudi_lab.transformers.arguments import Arguments
from gaudi_lab.workbench import lab


@dataclass
class GaudiTrainingArguments(Arguments):
    """Arguments of a `GaudiTrainer`; those of `transformers.TrainingArguments`, and these.

    Combinations that cannot work are refused here, before anything runs.

    Parameters
    ----------
    use_habana
        Run on the Gaudi, or on the emulated one where there is none. False runs on the CPU.
    gaudi_config_name
        Folder or hub name of a `gaudi_config.json`. A `GaudiConfig` given to the trainer goes first.
    use_lazy_mode
        Lazy mode (True) or eager mode (False). It has to be that of the process once that is decided; None
        takes it as it is, and lazy mode, as in optimum-habana, where nothing has decided it yet.
    use_hpu_graphs_for_inference
        Capture the model's forward once per input shape and replay it. Not while training.
    disable_tensor_cache_hpu_graphs, max_hpu_graphs
        Options of HPU graphs: hold no copies of intermediate tensors; capture at most so many shapes.
    throughput_warmup_steps
        First batches that the steady throughput leaves out, beside those that compiled or captured.
    use_regional_compilation
        With `torch_compile`: compile the model's repeated blocks once, by accelerate's `compile_regions`,
        and not the model as a whole.
    compile_dynamic
        Passed to `torch.compile` as `dynamic`. None compiles for each size.
    attn_implementation
        "eager", "sdpa" or "gaudi_fused_sdpa", put on the model that the trainer is given while it works.
        None leaves the model's own.
    flash_attention_recompute, flash_attention_fast_softmax
        Options of FusedSDPA. None leaves recomputing to the bridge.
    pad_last_batch
        Fill a smaller last batch up by repeating its last sample, and leave the results of the filling out:
        no second graph is compiled for it, and no sample is dropped.

    Raises
    ------
    LabValueError
        A `ValueError`: what was asked, why it cannot be, and the line to write instead.
    """

    def __post_init__(self) -> None:
        if self.use_hpu_graphs:
            warnings.warn(
                "use_hpu_graphs is deprecated. Write use_hpu_graphs_for_inference=True.",
                FutureWarning,
                stacklevel=3,
            )
            self.use_hpu_graphs_for_inference = True
        rules.check(self, rules.Process.now())
        if not self.use_habana:
            self.use_lazy_mode = False
            self.use_cpu = True
            super().__post_init__()
            return
        self.use_lazy_mode = _enter_mode(self.use_lazy_mode, compiles=self.compiles)
        accelerate_state.see_hpu()
        if not self.compiles:
            super().__post_init__()
            return
        # Set aside meanwhile: all that transformers does with it here is to advise an Ampere GPU.
        mode: str | None = self.__dict__["torch_compile_mode"]
        self._set_compile(False, None, None)
        super().__post_init__()
        self._set_compile(True, bridge.COMPILE_BACKEND, mode)

    def _set_compile(self, on: bool, backend: str | None, mode: str | None) -> None:
        self.torch_compile, self.torch_compile_backend, self.torch_compile_mode = on, backend, mode


def _enter_mode(asked: bool | None, *, compiles: bool) -> bool:
    """Put the process into the mode asked for, where nothing has decided it yet, and return the mode."""
    process = rules.Process.now()
    if not process.decided:
        lazy = not compiles if asked is None else asked
        # By the workbench: models that are on it go along.
        lab.current().change(mode=Mode.of_process(lazy))
    bridge.load()
    return bridge.is_lazy()
