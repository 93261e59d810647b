"""One evaluation of a trainer: its batches, each one iteration of a recorder, and in the end what it cost."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from transformers.trainer_utils import has_length
from transformers.utils import logging

from gaudi_lab import bridge
from gaudi_lab.measure.causes.cause import Cause
from gaudi_lab.measure.recorder import Recorder, Watch
from gaudi_lab.measure.timeline import Timeline
from gaudi_lab.shapes import Shape, Shapes
from gaudi_lab.transformers.evaluation_display import Display, Phase
from gaudi_lab.transformers.evaluation_metrics import Metrics, summarize

logger = logging.get_logger(__name__)


class Evaluation:
    """Measures an evaluation or a prediction while the stock loop runs it.

    Parameters
    ----------
    loader
        The stock data loader.
    watch
        Its settings, HPU graphs and shapes seen; it needs no modules, as `begin_batch` says what is computed.
    display
        Where to show what is going on; None to show nothing, as transformers' own progress bar does so.
    on_hpu
        Whether the model is there. Nothing that the bridge counts is this evaluation's otherwise.
    compiles
        Whether a new shape compiles a graph.

    Attributes
    ----------
    timeline
        One iteration a batch; complete once `measure` is left, however it is left.
    """

    def __init__(
        self, loader: Any, watch: Watch, display: Display | None, *, on_hpu: bool, compiles: bool
    ) -> None:
        self.timeline = Timeline()
        self._loader = loader
        self._total = len(loader) if has_length(loader) else None
        self._recorder = Recorder(watch)
        self._display = display
        self._on_hpu = on_hpu
        self._compiles = compiles
        self._sizes: list[int] = []
        self._everywhere: list[int] = []
        self._before = bridge.counters()

    @contextmanager
    def measure(self) -> Iterator[MeasuredLoader]:
        """Yield the loader to run over, and have the device finished in the end."""
        try:
            with self._recorder:
                yield MeasuredLoader(self._loader, self._recorder)
                if self._on_hpu:
                    bridge.settle()
        finally:
            timeline = self._recorder.timeline
            if not self._on_hpu:
                timeline = dataclasses.replace(timeline, emulated=False)
            self.timeline = explain_last_batch(timeline, self._sizes)
            if self._display is not None:
                self._display.show_timeline(self.timeline)

    def begin_batch(self, batch: Any, samples: int, everywhere: int) -> None:
        """Tell recorder and reader which batch is computed now.

        Parameters
        ----------
        batch
            What the model is called with.
        samples
            How many samples it has, filling apart.
        everywhere
            The same of the batches that all processes compute now.
        """
        self._sizes.append(samples)
        self._everywhere.append(everywhere)
        shapes = read_shapes(batch)
        new = self._recorder.saw("", shapes)
        if self._display is None:
            return
        done = self._recorder.timeline
        self._display.show_batch(
            Phase(
                len(done.iterations) + 1,
                self._total,
                done.compilations + 1 if new and self._compiles else None,
                shapes if new else (),
                emulated=self._on_hpu and done.emulated,
            )
        )

    def metrics(self, stock: Mapping[str, Any], prefix: str, warmup_steps: int) -> Metrics:
        """Return the stock metrics, and what the evaluation cost beside them.

        Parameters
        ----------
        stock
            Under their own names.
        prefix
            What the names of the others begin with, such as "eval".
        warmup_steps
            First batches that the steady throughput leaves out.
        """
        count = len(self.timeline.iterations)
        if 0 < count <= warmup_steps:
            logger.warning(
                f"throughput_warmup_steps={warmup_steps} leaves out all {count} batches, so every steady one counts."
            )
        counted = bridge.counters().since(self._before) if self._on_hpu else bridge.Counters()
        cost = summarize(self.timeline, self._everywhere, counted, warmup_steps=warmup_steps)
        values = {**stock, **{f"{prefix}_{name}": value for name, value in cost.items()}}
        return Metrics(values, prefix, bridge.memory() if self._on_hpu else None)


class MeasuredLoader:
    """A data loader of which each batch is one recorded iteration, from loading it to being done with it.

    Parameters
    ----------
    loader
        Any data loader; everything asked of this object but its batches is asked of that.
    recorder
        Entered before the first batch is asked for.
    """

    def __init__(self, loader: Any, recorder: Recorder) -> None:
        self._loader = loader
        self._recorder = recorder

    def __getattr__(self, name: str) -> Any:
        if name == "_loader":  # while it is made from a file, it has none
            raise AttributeError(name)
        return getattr(self._loader, name)

    def __len__(self) -> int:
        return len(self._loader)

    def __iter__(self) -> Iterator[Any]:
        batches = iter(self._loader)
        try:
            while True:
                # An iteration that raises is not recorded, and asking for a batch too many is none.
                with self._recorder.iteration():
                    batch = next(batches, _END)
                    if batch is _END:
                        raise _Exhausted
                    yield batch
        except _Exhausted:
            return


class _Exhausted(Exception):
    """There are no more batches."""


_END = object()


def read_shapes(batch: Any) -> Shapes:
    """Return the shapes of the tensors in `batch`, as one where the others follow from it.

    5 by 128 says all there is to say about a batch of token ids with mask and labels.
    """
    if not isinstance(batch, Mapping):
        return ()
    tensors = {str(name): x for name, x in batch.items() if isinstance(x, torch.Tensor) and x.dim()}
    if not tensors:
        return ()
    largest = max(tensors.values(), key=torch.Tensor.dim)
    if all(x.shape == largest.shape[: x.dim()] for x in tensors.values()):
        tensors = {", ".join(sorted(tensors)): largest}
    return tuple(Shape(name, tuple(x.shape)) for name, x in tensors.items())


def explain_last_batch(timeline: Timeline, sizes: Sequence[int]) -> Timeline:
    """Return `timeline` with a smaller last batch named as the cause of what it compiled, and the ways out.

    Parameters
    ----------
    timeline
        One iteration a batch.
    sizes
        How many samples each batch had.
    """
    if len(sizes) != len(timeline.iterations) or len(sizes) < 2:
        return timeline
    full, rest = max(sizes), sizes[-1]
    last = timeline.iterations[-1]
    if rest == full or not (last.compilations or last.captures):
        return timeline
    # A shape that was met before, with other switches, is captured or compiled anew with these.
    first = next((c for c in last.causes if c.kind == "shape"), last.causes[0] if last.causes else None)
    causes = tuple(_name_last_batch(c, rest, full) if c is first else c for c in last.causes)
    iteration = dataclasses.replace(last, causes=causes)
    return dataclasses.replace(timeline, iterations=(*timeline.iterations[:-1], iteration))


def _name_last_batch(cause: Cause, rest: int, full: int) -> Cause:
    return dataclasses.replace(
        cause,
        kind="last batch",
        text=f"{cause.text}, for the last batch with {rest} of {full} samples (dataloader_drop_last=True drops {rest}, "
        "pad_last_batch=True fills it up)",
        remedy="dataloader_drop_last=True, or pad_last_batch=True",
    )
