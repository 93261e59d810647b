"""Graphs for inference: a model's forward, captured once for every input key."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch

from gaudi_lab.emulator.process.flags import read_boolean
from gaudi_lab.emulator.process.older_signatures import narrow_signature
from gaudi_lab.emulator.process.release import release

from . import streams
from .caching import CachedParams, copy_to, input_hash, tensors_of
from .hpu_graph import HPUGraph
from .statistics import Statistics


def wrap_in_hpu_graph(
    module: torch.nn.Module,
    asynchronous: bool = False,
    disable_tensor_cache: bool = False,
    dry_run: bool = False,
    max_graphs: int | None = None,
    free_inplace: bool = False,
    verbose: bool = False,
    log_frequency: int = 100,
) -> torch.nn.Module:
    """Capture `module.forward` once for every input key and replay it afterwards, for inference.

    The module is changed in place and returned. Later calls with a known key return the same output tensors,
    overwritten. There is no way back.

    Parameters
    ----------
    max_graphs
        Once so many graphs are cached, calls with a new key run uncached.
    disable_tensor_cache
        Let go of what the caller does not get; overridden by ``PT_HPUGRAPH_DISABLE_TENSOR_CACHE``.
    dry_run
        Compute nothing while capturing; without a tensor cache nothing is computed either.
    free_inplace
        Taken and without effect: the emulated device keeps no second copy of inputs updated in place.
    verbose, log_frequency
        Print how many graphs are cached and how often they were found, every so many calls.
    """
    cache = _ForwardCache(module.forward, disable_tensor_cache, dry_run, max_graphs, asynchronous)
    if verbose:
        cache.statistics.every = log_frequency
    module.forward = functools.wraps(module.forward)(cache.caller())
    module.clear_cache = cache.clear  # type: ignore[assignment]
    module.clear_inputs = cache.clear_inputs  # type: ignore[assignment]
    return module


def wrap_in_hpu_graph_func(
    func: Callable[..., Any],
    asynchronous: bool = False,
    disable_tensor_cache: bool = False,
    dry_run: bool = False,
    max_graphs: int | None = None,
) -> Callable[..., Any]:
    """Return `func` captured once for every input key and replayed afterwards."""
    cache = _ForwardCache(func, disable_tensor_cache, dry_run, max_graphs, asynchronous)
    return functools.wraps(func)(cache.caller())


class _ForwardCache:
    """The captured graphs of one function, by input key."""

    def __init__(
        self,
        func: Callable[..., Any],
        disable_tensor_cache: bool,
        dry_run: bool | None,
        max_graphs: int | None,
        asynchronous: bool,
    ) -> None:
        disable_tensor_cache = read_boolean("PT_HPUGRAPH_DISABLE_TENSOR_CACHE", disable_tensor_cache)
        if dry_run is None or release() < (1, 21) or release() >= (1, 23):
            dry_run = bool(dry_run) or disable_tensor_cache
        self._func = func
        self._dry_run = dry_run
        self._disable_tensor_cache = disable_tensor_cache
        self._max_graphs = max_graphs
        self._asynchronous = asynchronous
        self._graphs: dict[int, CachedParams] = {}
        self.statistics = Statistics("HPUGraph")

    def caller(self) -> Callable[..., Any]:
        """Return a plain function for `call`: what stands at `module.forward` is looked at by many."""

        def forward(*args: Any, **kwargs: Any) -> Any:
            return self.call(args, kwargs)

        return forward

    def call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Replay the graph for these arguments; capture it if there is none yet."""
        warmup, kept = False, []
        if kwargs:
            bypass = kwargs.pop("bypass_hpu_graphs", False)
            warmup = kwargs.pop("warmup_mode", False)
            kept = kwargs.pop("cache_tensors_list", [])
            if bypass:
                return self._func(*args, **kwargs)
        inputs = args, kwargs
        key = input_hash(inputs)
        cached = self._graphs.get(key)
        self.statistics.count(hit=cached is not None, cached=len(self._graphs))
        if cached is None:
            if self._max_graphs is not None and len(self._graphs) >= self._max_graphs:
                return self._func(*args, **kwargs)
            return self._capture(key, inputs, kept)
        assert cached.graph is not None
        copy_to(cached.graph_inputs, inputs)
        if not warmup:
            cached.graph.replay(self._asynchronous)
        return cached.graph_outputs

    def _capture(self, key: int, inputs: tuple[Any, dict[str, Any]], kept: list[torch.Tensor]) -> Any:
        # As on hardware there is no `finally`: a forward that raises leaves the capture open until the
        # graph object dies.
        hpu_graph = HPUGraph()
        with streams.stream(streams.Stream()):
            hpu_graph.capture_begin(dry_run=self._dry_run)
            outputs = self._func(*inputs[0], **inputs[1])
            hpu_graph.capture_end()
        hpu_graph.mark_user_inputs(tensors_of(inputs))
        if self._disable_tensor_cache:
            hpu_graph.mark_user_outputs([*tensors_of(outputs), *kept])
        if self._dry_run:
            hpu_graph.replay()
        self._graphs[key] = CachedParams(inputs, outputs, hpu_graph, asynchronous=self._asynchronous)
        return outputs

    def clear(self) -> None:
        """Let go of every graph."""
        self._graphs.clear()

    def clear_inputs(self) -> None:
        """Let go of inputs that were updated in place and are held as outputs."""
        for cached in self._graphs.values():
            if cached.graph is not None:
                cached.graph.clear_inputs()


_LATER = ("free_inplace", "verbose", "log_frequency")
if release() < (1, 21):
    wrap_in_hpu_graph = narrow_signature(wrap_in_hpu_graph, without=_LATER)
elif release() < (1, 23):
    wrap_in_hpu_graph = narrow_signature(wrap_in_hpu_graph, without=_LATER, dry_run=None)
    wrap_in_hpu_graph_func = narrow_signature(wrap_in_hpu_graph_func, dry_run=None)
