"""Graphs for training, cached by the shapes of their inputs."""

from __future__ import annotations

import copy
import functools
import inspect
from collections import Counter, OrderedDict
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
        How many graphs to keep; then the least recently, or least frequently, used one makes room.
    """

    def __init__(self, max_graphs: int = 10) -> None:
        self.max_graphs = max_graphs

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
        gradients and in eager mode the model runs as it is.

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
            self.max_graphs,
            use_lfu,
            Statistics("ModuleCacher", log_frequency if verbose else 0),
        )
        cache.options = {
            "allow_unused_input": allow_unused_input,
            "asynchronous": asynchronous,
            "dry_run": dry_run,
        }
        vars(target)["forward"] = functools.wraps(original)(cache.caller())
        return target


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
        max_graphs: int,
        use_lfu: bool,
        statistics: Statistics,
    ) -> None:
        self._model = model
        self._forward = forward
        self._max_graphs = max_graphs
        self._use_lfu = use_lfu
        self._statistics = statistics
        self._graphs: OrderedDict[int, GraphedCallable] = OrderedDict()
        self._uses: Counter[int] = Counter()
        self.options: dict[str, bool] = {}

    def caller(self) -> Callable[..., Any]:
        """Return a plain function for `call`."""

        def forward(*args: Any, **kwargs: Any) -> Any:
            if not (self._model.training and torch.is_grad_enabled() and is_lazy()):
                return self._forward(*args, **kwargs)
            return self.call(args, kwargs)

        return forward

    def call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Replay the graph for these arguments; capture it if there is none yet."""
        key = input_hash((args, kwargs))
        leaves, structure = pytree.tree_flatten((args, kwargs))
        positions = [position for position, x in enumerate(leaves) if isinstance(x, torch.Tensor)]
        tensors = [leaves[position] for position in positions]
        graphed = self._graphs.get(key)
        self._statistics.count(hit=graphed is not None, cached=len(self._graphs))
        if graphed is None:
            graphed = self._capture(leaves, structure, positions)
            self._make_room()
            self._graphs[key] = graphed
        self._graphs.move_to_end(key)
        self._uses[key] += 1
        return graphed(*tensors)

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

    def _make_room(self) -> None:
        while len(self._graphs) >= self._max_graphs:
            victim = (
                min(self._graphs, key=self._uses.__getitem__) if self._use_lfu else next(iter(self._graphs))
            )
            del self._graphs[victim]
            del self._uses[victim]


def _check(forward: Callable[..., Any]) -> None:
    refused = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.VAR_POSITIONAL)
    for parameter in inspect.signature(forward).parameters.values():
        assert parameter.kind not in refused, f"Unsupported argument type : {parameter.kind}"
