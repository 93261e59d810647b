"""Graphs for training, cached by the shapes of their inputs."""

from __future__ import annotations

import copy
import functools
import inspect
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch.utils import _pytree as pytree

from gaudi_lab.emulator.process.flags import read_boolean

from ..utils.internal import is_lazy
from .caching import input_hash
from .statistics import Statistics
from .training_graphs import GraphedCallable


class ModuleCacher:
    """Captures the training step of a model once for every input key.

    Parameters
    ----------
    max_graphs
        How many graphs to keep: calls with a key beyond these run uncached.
    """

    def __init__(self, max_graphs: int = 10) -> None:
        self.max_graphs = max_graphs
        self._iteration = 0
        self._counts: Counter[int] | None = None
        self._most_frequent: set[int] = set()

    def set_iteration_count(self, iter_num: int) -> None:
        """Say which micro-batch comes next: number 0 is the first since the gradients were set to zero.

        With `have_grad_accumulation` the first has a graph of its own.
        """
        self._iteration = iter_num

    def capture_start(self) -> None:
        """Count from here on how often each input key comes, for `use_lfu`; what comes meanwhile runs uncached."""
        self._counts = Counter()

    def capture_end(self) -> None:
        """Stop counting: with `use_lfu` the `max_graphs` most frequent input keys get graphs from here on."""
        counts = self._counts or Counter()
        self._most_frequent = {key for key, _ in counts.most_common(self.max_graphs)}
        self._counts = None

    def __call__(
        self,
        model: torch.nn.Module,
        use_lfu: bool = False,
        inplace: bool = True,
        allow_unused_input: bool = False,
        asynchronous: bool = False,
        have_grad_accumulation: bool = False,
        log_frequency: int = 100,
        verbose: bool = False,
        disable_tensor_cache: bool = False,
        dry_run: bool = False,
    ) -> torch.nn.Module:
        """Return `model`, or a copy that shares its parameters, with a forward that replays while it trains.

        A call is cached by the shapes of its tensors and the values of everything else. Outside training, without
        gradients and in eager mode the model runs as it is. `set_iteration_count`, `capture_start` and `capture_end`
        are there on the model too.

        Parameters
        ----------
        use_lfu
            Cache the keys that came most often between `capture_start` and `capture_end`, and not the first.
        have_grad_accumulation
            The model accumulates gradients, and says by `set_iteration_count` where it begins to.

        Raises
        ------
        AssertionError
            The forward takes ``*args``, or arguments by position only; or `model` is one for several devices already.
        """
        assert not isinstance(
            model, (torch.nn.parallel.DataParallel, torch.nn.parallel.DistributedDataParallel)
        ), "Use DataParallel/DistributedDataParallel only after wrapping with ModuleCacher"
        dry_run = dry_run or disable_tensor_cache or read_boolean("PT_HPUGRAPH_ENABLE_DRY_RUN", default=False)
        target = model if inplace else copy.copy(model)
        # A deep copy of instance attributes would bind the original's forward.
        original = type(model).forward.__get__(target) if "forward" not in vars(model) else model.forward
        _check(original)
        cache = _TrainingCache(
            target,
            original,
            functools.partial(self._key_of, have_grad_accumulation),
            functools.partial(self._may_cache, use_lfu),
            Statistics("ModuleCacher", log_frequency if verbose else 0),
        )
        cache.options = {
            "allow_unused_input": allow_unused_input,
            "asynchronous": asynchronous,
            "dry_run": dry_run,
        }
        vars(target).update(
            forward=functools.wraps(original)(cache.caller()),
            set_iteration_count=self.set_iteration_count,
            capture_start=self.capture_start,
            capture_end=self.capture_end,
        )
        return target

    def _key_of(self, accumulates: bool, inputs: Any) -> int:
        """Return the key of a call, and count it if keys are counted."""
        key = input_hash(inputs)
        if accumulates and self._iteration == 0:
            key = hash((key, "first"))
        if self._counts is not None:
            self._counts[key] += 1
        return key

    def _may_cache(self, use_lfu: bool, key: int, cached: int) -> bool:
        """Return whether a call that has no graph is to get one, where `cached` have."""
        if use_lfu:
            return self._counts is None and key in self._most_frequent
        return cached < self.max_graphs


class _TrainingCache:
    """The captured training steps of one model, by input key.

    Attributes
    ----------
    options
        How to capture, as `GraphedCallable` takes it.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        forward: Callable[..., Any],
        key_of: Callable[[Any], int],
        may_cache: Callable[[int, int], bool],
        statistics: Statistics,
    ) -> None:
        self._model = model
        self._forward = forward
        self._key_of = key_of
        self._may_cache = may_cache
        self._statistics = statistics
        self._graphs: dict[int, GraphedCallable] = {}
        self.options: dict[str, bool] = {}

    def caller(self) -> Callable[..., Any]:
        """Return a plain function for `call`."""

        def forward(*args: Any, **kwargs: Any) -> Any:
            if not (self._model.training and torch.is_grad_enabled() and is_lazy()):
                return self._forward(*args, **kwargs)
            return self.call(args, kwargs)

        return forward

    def call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Replay the graph for these arguments; capture it if there is none yet and may be one."""
        key = self._key_of((args, kwargs))
        leaves, structure = pytree.tree_flatten((args, kwargs))
        positions = [position for position, x in enumerate(leaves) if isinstance(x, torch.Tensor)]
        graphed = self._graphs.get(key)
        self._statistics.count(hit=graphed is not None, cached=len(self._graphs))
        if graphed is None:
            if not self._may_cache(key, len(self._graphs)):
                return self._forward(*args, **kwargs)
            graphed = self._graphs[key] = self._capture(leaves, structure, positions)
        return graphed(*[leaves[position] for position in positions])

    def _capture(self, leaves: list[Any], structure: Any, positions: list[int]) -> GraphedCallable:
        constant = [None if isinstance(x, torch.Tensor) else x for x in leaves]

        def run(*tensors: torch.Tensor) -> Any:
            filled = list(constant)
            for position, x in zip(positions, tensors, strict=True):
                filled[position] = x
            args, kwargs = pytree.tree_unflatten(filled, structure)
            return self._forward(*args, **kwargs)

        # The graph's own inputs: the caller's may be part of another graph of autograd.
        sample = [
            leaves[position].detach().clone().requires_grad_(leaves[position].requires_grad)
            for position in positions
        ]
        parameters = [x for x in self._model.parameters() if x.requires_grad]
        return GraphedCallable(run, parameters, sample, **self.options)


def _check(forward: Callable[..., Any]) -> None:
    refused = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.VAR_POSITIONAL)
    for parameter in inspect.signature(forward).parameters.values():
        assert parameter.kind not in refused, f"Unsupported argument type : {parameter.kind}"
