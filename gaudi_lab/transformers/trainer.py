"""`transformers.Trainer` on a Gaudi: evaluation that tells its warm-up, and training."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
import transformers
from accelerate.utils import TorchDynamoPlugin, convert_to_fp32, send_to_device
from torch import nn
from transformers.trainer_utils import EvalLoopOutput
from transformers.utils import logging

from gaudi_lab import bridge, frontend
from gaudi_lab.errors import LabValueError
from gaudi_lab.gaudi_config import GaudiConfig, find_gaudi_config
from gaudi_lab.measure.causes.seen import SeenShapes
from gaudi_lab.measure.recorder import Watch
from gaudi_lab.measure.timeline import Timeline
from gaudi_lab.transformers import (
    accelerate_state,
    evaluation_display,
    fused_kernels,
    padding,
    several_processes,
)
from gaudi_lab.transformers.evaluation import Evaluation
from gaudi_lab.transformers.trainer_switches import read_arguments
from gaudi_lab.transformers.training_args import GaudiTrainingArguments
from gaudi_lab.workbench import lab
from gaudi_lab.workbench.model import SwitchedModel

logger = logging.get_logger(__name__)


class MarkStep(transformers.TrainerCallback):
    """Ends a lazy graph with each optimizer step, so that steps are equal graphs and none grows."""

    def on_optimizer_step(self, *_: Any, **__: Any) -> None:
        """Run what was collected."""
        bridge.mark_step()


class GaudiTrainer(transformers.Trainer):
    """A `transformers.Trainer` that runs on a Gaudi, or on the emulated one.

    Nothing is patched: what `args` switch on is put on `model` at the first evaluation or training, and
    `release` takes it off. `gaudi_lab.attach(trainer)` puts the trainer on the workbench, whose switches
    then hold.

    Parameters
    ----------
    model
        As in `transformers.Trainer`.
    gaudi_config
        How to compute: a `GaudiConfig`, a folder or a name on the hub; that of `args.gaudi_config_name` if
        it is not given, else the defaults.
    args
        `GaudiTrainingArguments`.
    *rest, **options
        As in `transformers.Trainer`, in its order from `data_collator` on. `tokenizer` is taken as
        `processing_class`.

    Attributes
    ----------
    warmup
        `Timeline` of the last evaluation or prediction, one iteration a batch.

    Raises
    ------
    LabValueError
        If `args` are not `GaudiTrainingArguments`, or there is no such `gaudi_config`.
    """

    # transformers' own, which has no type that can be known here.
    optimizer_cls_and_kwargs: Any

    def __init__(
        self,
        model: Any = None,
        gaudi_config: GaudiConfig | str | Path | None = None,
        args: GaudiTrainingArguments | None = None,
        *rest: Any,
        **options: Any,
    ) -> None:
        if args is None:
            args = GaudiTrainingArguments(output_dir="tmp_trainer", use_habana=True)
        if not isinstance(args, GaudiTrainingArguments):
            raise LabValueError(
                f"GaudiTrainer takes GaudiTrainingArguments, and args are {type(args).__name__}.",
                python='GaudiTrainingArguments(use_habana=True, output_dir="out")',
            )
        if "tokenizer" in options:
            options["processing_class"] = options.pop("tokenizer")
        given = args.gaudi_config_name if gaudi_config is None else gaudi_config
        self.gaudi_config = find_gaudi_config(given) or GaudiConfig()
        if args.use_habana:
            self.gaudi_config.declare_autocast_bf16_fp32_ops()
        self.warmup = Timeline()
        self._seen = SeenShapes()
        self._evaluation: Evaluation | None = None
        self._at_work = False

        accelerate_state.prepare(args)
        super().__init__(model, args, *rest, **options)
        self._process_state = accelerate_state.ProcessState()
        # In lazy mode the weights are on their way until now. An interrupt later would lose them.
        self._on_device(bridge.settle)
        self._switched: SwitchedModel | None = None
        if args.use_habana:
            self._switched = lab.current().entries.enter(self, *read_arguments(args))
            self.add_callback(MarkStep)
        evaluation_display.leave_evaluations_out(self)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Come out of a file or another process, with the switches that the arguments ask for."""
        self.__dict__.update(state)
        if self._switched is not None:
            lab.current().entries.adopt(self._switched)

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Evaluate, as `transformers.Trainer.evaluate`, and return what it cost beside the other metrics.

        Returns
        -------
        dict
            The stock metrics and, after the prefix: warmup_runtime (s), graph_compilations,
            graph_compilation_time (s), steady_samples_per_second (None if no batch was steady),
            cpu_fallbacks. optimum-habana's names are understood too.

        In several processes, by `torchrun` or `accelerate launch`, the stock metrics are those of one process. What
        compiling took is that of this process; samples are those of all.
        """
        with self._set_up():
            return super().evaluate(*args, **kwargs)

    def predict(self, *args: Any, **kwargs: Any) -> Any:
        """Predict, as `transformers.Trainer.predict`, with the same metrics as `evaluate`."""
        with self._set_up():
            return super().predict(*args, **kwargs)

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """Train, as `transformers.Trainer.train`. HPU graphs go off: they hold the inference forward."""
        for remark in fused_kernels.find_ignored(self):
            logger.warning(remark)
        with self._set_up(training=True):
            return super().train(*args, **kwargs)

    def release(self) -> None:
        """Take everything that `args` have put on the model off it; the next evaluation puts it on again.

        While the trainer is attached, the workbench's own switches stay.
        """
        if self._switched is not None:
            lab.current().entries.take_off(self._switched)

    def evaluation_loop(
        self,
        dataloader: Any,
        description: str,
        prediction_loss_only: bool | None = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> EvalLoopOutput:
        """Run the stock loop, with each batch as one iteration of `warmup`."""
        shown = not self.is_in_train and not self.args.disable_tqdm and frontend.in_notebook()
        evaluation = self._evaluation = Evaluation(
            dataloader,
            Watch(settings=self._describe_settings(), graphs=self._replays, seen=self._seen),
            evaluation_display.Display() if shown else None,
            on_hpu=self.args.use_habana,
            compiles=self.args.use_habana and (bridge.is_lazy() or self.args.compiles),
        )
        try:
            with several_processes.evaluating(self), evaluation.measure() as batches:
                output = super().evaluation_loop(
                    batches, description, prediction_loss_only, ignore_keys, metric_key_prefix
                )
        finally:
            self._evaluation, self.warmup = None, evaluation.timeline
        metrics = evaluation.metrics(output.metrics, metric_key_prefix, self.args.throughput_warmup_steps)
        return output._replace(metrics=metrics)

    def prediction_step(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        prediction_loss_only: bool,
        ignore_keys: list[str] | None = None,
    ) -> tuple[Any, Any, Any]:
        """Run the stock step and bring its results to the host, filling a smaller batch up if asked to."""
        rows = several_processes.count_rows(self.accelerator, padding.count_samples(inputs))
        if rows.own < rows.here:
            inputs = padding.cut(inputs, rows.own, rows.here)
        full = self.args.eval_batch_size
        short = self.args.pad_last_batch and 0 < rows.own < full
        if short:
            padding.refuse_counting_loss(self, inputs)
            inputs = padding.fill(inputs, full, self.label_names)
        if self._evaluation is not None:
            self._evaluation.begin_batch(inputs, rows.own, rows.everywhere)
        results = super().prediction_step(self._in_use(model), inputs, prediction_loss_only, ignore_keys)
        self._on_device(bridge.mark_step)
        loss, logits, labels = map(self._to_host, results)
        if short:
            logits, labels = padding.cut(logits, rows.own, full), padding.cut(labels, rows.own, full)
        if rows.own < rows.here:
            # Only what has one size everywhere can be gathered. accelerate drops these rows again.
            logits, labels = (padding.fill_results(x, rows.own, rows.here) for x in (logits, labels))
        return loss, logits, labels

    def _inner_training_loop(self, *args: Any, **kwargs: Any) -> Any:
        """Run the stock loop, with the switches on the model that `model_init` has made for it."""
        with nullcontext() if self.model_init is None else self._use_switches(training=True):
            return super()._inner_training_loop(*args, **kwargs)

    def training_step(self, model: nn.Module, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Run the stock step; in lazy mode forward and backward are then one graph."""
        loss = super().training_step(self._in_use(model), *args, **kwargs)
        self._on_device(bridge.mark_step)
        return loss

    def autocast_smart_context_manager(
        self, cache_enabled: bool | None = True
    ) -> AbstractContextManager[Any]:
        """Return `torch.autocast` in bfloat16 if the arguments or the `GaudiConfig` ask for it."""
        if self._in_bfloat16:
            return torch.autocast(self.args.device.type, torch.bfloat16, cache_enabled=cache_enabled)
        return nullcontext()

    def create_accelerator_and_postprocess(self) -> None:
        """Make the accelerator, and take over from it what is done here."""
        super().create_accelerator_and_postprocess()
        self._take_over_from_accelerate()

    def create_optimizer(self, *args: Any, **kwargs: Any) -> torch.optim.Optimizer:
        """Make the stock optimizer, or the bridge's fused AdamW if the `GaudiConfig` asks for it."""
        given = self.optimizer_cls_and_kwargs
        if given is None and self.args.use_habana and self.gaudi_config.use_fused_adam:
            self.optimizer_cls_and_kwargs = fused_kernels.choose_adamw(self.args)
        try:
            return super().create_optimizer(*args, **kwargs)
        finally:
            self.optimizer_cls_and_kwargs = given

    @staticmethod
    def get_optimizer_cls_and_kwargs(args: Any, model: Any = None) -> tuple[Any, dict[str, Any]]:
        """Return the stock optimizer; in lazy mode in its form that keeps its step count on the device.

        Otherwise the count would be a number in the graph, and each step another graph.
        """
        kind, options = transformers.Trainer.get_optimizer_cls_and_kwargs(args, model)
        if getattr(args, "use_lazy_mode", False) and "capturable" in inspect.signature(kind).parameters:
            options = {**options, "capturable": True}
        return kind, options

    @property
    def shards(self) -> bool:
        """Whether accelerate has the weights in shards, by DeepSpeed or FSDP."""
        return bool(self.is_deepspeed_enabled or self.is_fsdp_enabled)

    @property
    def _in_bfloat16(self) -> bool:
        return bool(self.args.bf16 or (self.args.use_habana and self.gaudi_config.use_torch_autocast))

    @contextmanager
    def _set_up(self, *, training: bool = False) -> Iterator[None]:
        """Have accelerate's state and the model's switches as this trainer needs them, meanwhile."""
        if self._at_work:  # an evaluation while training, or one of several data sets
            yield
            return
        self._at_work = True
        try:
            shapes = self.gaudi_config.use_dynamic_shapes if self.args.use_habana else None
            with self._process_state.use(), bridge.dynamic_shapes(shapes):
                self._place_model()
                with self._use_switches(training=training):
                    yield
        finally:
            self._at_work = False

    def _place_model(self) -> None:
        """Bring the model back to the device of the arguments, should another trainer have moved it."""
        where = next((p.device for p in self.model.parameters()), None)
        if self.place_model_on_device and where is not None and where.type != self.args.device.type:
            self.release()
            self._move_model_to_device(self.model, self.args.device)
            self._on_device(bridge.settle)

    def _take_over_from_accelerate(self) -> None:
        """Keep accelerate from what it would put on the model for good, autocast and torch.compile, and from moving.

        The trainer has moved the model already, and moves each batch. To accelerate "hpu" and "hpu:0" differ.
        """
        if self.shards:
            return
        self.accelerator.native_amp = False
        self.accelerator.device_placement = self.accelerator.use_distributed
        if self.args.use_habana:
            self.accelerator.state.dynamo_plugin = TorchDynamoPlugin(backend="no")
            if self.gaudi_config.use_fused_clip_norm:
                fused_kernels.clip_by_kernel(self.accelerator)

    def _describe_settings(self) -> str:
        if self._switched is not None:
            switches = str(lab.current().entries.owner(self._switched))
        else:
            attention = self.args.attn_implementation
            switches = f"CPU + {attention} attention" if attention else "CPU"
        return f"{switches} + bf16 autocast" if self._in_bfloat16 else switches

    def _use_switches(self, *, training: bool) -> AbstractContextManager[Any]:
        if self._switched is not None:
            return lab.current().entries.on(self._switched, training=training)
        _, options = read_arguments(self.args)
        return lab.current().entries.on_the_host(self, options)

    def _replays(self) -> list[int]:
        return [] if self._switched is None else lab.current().entries.owner(self._switched).replays()

    def _in_use(self, model: nn.Module) -> nn.Module:
        return model if self._switched is None else self._switched.in_use(model)

    def _to_host(self, results: Any) -> Any:
        """Bring results to the host, in float32.

        There the stock loop joins those of all batches. On the device it would compile anew for every batch,
        as what is joined grows; and a replayed graph writes into the same outputs each time.
        Those of several processes are gathered first, device by device.
        """
        results = convert_to_fp32(results)
        return results if self.accelerator.use_distributed else send_to_device(results, "cpu")

    def _on_device(self, step: Any) -> None:
        if self.args.use_habana:
            step()
