"""HPU graphs: capture, replay, and the wrapper that captures a model's forward once for every shape."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections import UserDict
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

import torch

from gaudi_lab.emulator.graph import CapturedGraph
from gaudi_lab.emulator.tensor import HpuTensor
from gaudi_lab.emulator.trace import recorder

from ..utils.internal import is_lazy
from . import streams


class HPUGraph:
    """A captured graph: `capture_begin`, device work, `capture_end`, then `replay` as often as wanted."""

    def __init__(self) -> None:
        if not is_lazy():
            raise RuntimeError("HPUGraph class is available in lazy mode only.")
        self._captured = CapturedGraph()
        self._stream: streams.Stream | None = None
        self._user_inputs: list[torch.Tensor] = []

    def capture_begin(self, dry_run: bool = False) -> None:
        """Start to capture. With `dry_run` nothing is computed until the first replay."""
        self._captured.begin(dry_run)
        self._stream = streams.current_stream()

    def capture_end(self) -> None:
        """End the capture."""
        if self._stream is not None and self._stream is not streams.current_stream():
            raise RuntimeError("GRAPH:: Capture must end on the same stream it began on.")
        self._captured.end()

    def replay(self, asynchronous: bool = False) -> None:
        """Run what was captured on the present contents of the same memory."""
        self._captured.replay()

    def replayV2(  # noqa: N802
        self, static_tlist: Sequence[torch.Tensor], tlist: Sequence[torch.Tensor], asynchronous: bool = False
    ) -> None:
        """Replay with `tlist` read in place of the captured inputs `static_tlist`."""
        self._captured.replay(
            {
                old._cell: new._cell
                for old, new in zip(static_tlist, tlist, strict=True)
                if isinstance(old, HpuTensor) and isinstance(new, HpuTensor)
            }
        )

    def replayV3(self, tlistI: Sequence[torch.Tensor], asynchronous: bool = False) -> None:  # noqa: N802, N803
        """Replay with `tlistI` read in place of the inputs given to `mark_user_inputs`."""
        self.replayV2(self._user_inputs, tlistI, asynchronous)

    def mark_user_inputs(self, static_tlist: Sequence[torch.Tensor]) -> None:
        """Say which captured tensors are the caller's inputs."""
        self._user_inputs = list(static_tlist)

    def mark_user_outputs(self, static_tlist: Sequence[torch.Tensor]) -> None:
        """Say which captured tensors the caller keeps: the others' memory is freed when nobody holds them."""

    def get_user_input_match_indices(self) -> list[int]:
        """Return the positions of the marked inputs."""
        return list(range(len(self._user_inputs)))

    def clear_inputs(self) -> None:
        """Let go of the marked inputs."""
        self._user_inputs = []

    def reset(self) -> None:
        """Let go of the graph and its memory; an open capture ends."""
        self._captured.clear()

    def __del__(self) -> None:
        captured = getattr(self, "_captured", None)
        if captured is not None:
            captured.clear()


class graph:  # noqa: N801
    """Capture the device work of a `with` block into `hpu_graph`, on `stream` if one is given."""

    def __init__(
        self, hpu_graph: HPUGraph, stream: streams.Stream | None = None, dry_run: bool = False
    ) -> None:
        self.hpu_graph = hpu_graph
        self.dry_run = dry_run
        self._stream = streams.stream(stream or streams.Stream())

    def __enter__(self) -> None:
        """Begin the capture."""
        self._stream.__enter__()
        self.hpu_graph.capture_begin(dry_run=self.dry_run)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End the capture."""
        self.hpu_graph.capture_end()
        self._stream.__exit__(kind, error, traceback)


class CachedParams:
    """A graph with the static inputs and outputs that it was captured with."""

    def __init__(
        self,
        graph_inputs: Any,
        graph_outputs: Any,
        graph: HPUGraph | None,
        out_tinfo_list: Any = None,
        asynchronous: bool = False,
    ) -> None:
        self.graph_inputs = graph_inputs
        self.graph_outputs = graph_outputs
        self.graph = graph
        self.out_tinfo_list = out_tinfo_list
        self.asynchronous = asynchronous


def is_current_stream_capturing() -> bool:
    """Return True while a graph is captured."""
    return recorder.capture is not None


def input_hash(obj: Any) -> int:
    """Return the key under which a forward call with these arguments is cached.

    A tensor counts by its shape and by whether autocast is on: neither dtype nor device nor strides are in the
    key. Everything else counts by value, so a number that changes with each call means a graph for each call.
    """
    if isinstance(obj, (dict, UserDict)):
        return hash(tuple((name, input_hash(x)) for name, x in obj.items()))
    if isinstance(obj, (list, tuple)):
        return hash(tuple(input_hash(x) for x in obj))
    autocast = torch.is_autocast_enabled("hpu")
    if torch.is_tensor(obj):
        return hash((obj.shape, autocast))
    if dataclasses.is_dataclass(obj) and not isinstance(obj, type):
        return hash(
            tuple((field.name, input_hash(getattr(obj, field.name))) for field in dataclasses.fields(obj))
        )
    return hash((obj, autocast))


def copy_to(dst: Any, src: Any) -> None:
    """Copy every tensor of `src` into its counterpart in `dst`, which has the same structure."""
    assert type(dst) is type(src)
    if isinstance(dst, (dict, UserDict)):
        for name, x in dst.items():
            copy_to(x, src[name])
    elif isinstance(dst, (list, tuple)):
        for x, y in zip(dst, src, strict=True):
            copy_to(x, y)
    elif torch.is_tensor(dst):
        dst.copy_(src, non_blocking=True)
    elif dataclasses.is_dataclass(dst) and not isinstance(dst, type):
        for field in dataclasses.fields(dst):
            copy_to(getattr(dst, field.name), getattr(src, field.name))


def wrap_in_hpu_graph(
    module: torch.nn.Module,
    asynchronous: bool = False,
    disable_tensor_cache: bool = False,
    dry_run: bool | None = None,
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
        Keep only inputs and outputs; overridden by ``PT_HPUGRAPH_DISABLE_TENSOR_CACHE``.
    dry_run
        Compute nothing while capturing; by default as `disable_tensor_cache`.
    """
    cache = _ForwardCache(module.forward, disable_tensor_cache, dry_run, max_graphs, asynchronous)
    module.forward = functools.wraps(module.forward)(cache)
    module.clear_cache = cache.clear  # type: ignore[assignment]
    module.clear_inputs = cache.clear_inputs  # type: ignore[assignment]
    return module


def wrap_in_hpu_graph_func(
    func: Callable[..., Any],
    asynchronous: bool = False,
    disable_tensor_cache: bool = False,
    dry_run: bool | None = None,
    max_graphs: int | None = None,
) -> Callable[..., Any]:
    """Return `func` captured once for every input key and replayed afterwards."""
    cache = _ForwardCache(func, disable_tensor_cache, dry_run, max_graphs, asynchronous)
    return functools.wraps(func)(cache)


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
        forced = os.environ.get("PT_HPUGRAPH_DISABLE_TENSOR_CACHE")
        if forced is not None:
            disable_tensor_cache = forced != "0"
        self._func = func
        self._dry_run = disable_tensor_cache if dry_run is None else dry_run
        self._max_graphs = max_graphs
        self._asynchronous = asynchronous
        self._graphs: dict[int, CachedParams] = {}

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if kwargs.pop("bypass_hpu_graphs", False):
            kwargs.pop("warmup_mode", None)
            kwargs.pop("cache_tensors_list", None)
            return self._func(*args, **kwargs)
        warmup = kwargs.pop("warmup_mode", False)
        kwargs.pop("cache_tensors_list", None)
        inputs = (args, kwargs)
        key = input_hash(inputs)
        cached = self._graphs.get(key)
        if cached is None:
            if self._max_graphs is not None and len(self._graphs) >= self._max_graphs:
                return self._func(*args, **kwargs)
            return self._capture(key, args, kwargs)
        copy_to(cached.graph_inputs, inputs)
        if not warmup:
            assert cached.graph is not None
            cached.graph.replay(self._asynchronous)
        return cached.graph_outputs

    def _capture(self, key: int, args: Any, kwargs: Any) -> Any:
        # As on hardware there is no `finally`: a forward that raises leaves the capture open until the
        # graph object dies.
        hpu_graph = HPUGraph()
        with streams.stream(streams.Stream()):
            hpu_graph.capture_begin(dry_run=self._dry_run)
            outputs = self._func(*args, **kwargs)
            hpu_graph.capture_end()
        if self._dry_run:
            hpu_graph.replay()
        self._graphs[key] = CachedParams((args, kwargs), outputs, hpu_graph, asynchronous=self._asynchronous)
        return outputs

    def clear(self) -> None:
        """Let go of every graph."""
        self._graphs.clear()

    def clear_inputs(self) -> None:
        """Let go of inputs that were updated in place and are held as outputs."""
        for cached in self._graphs.values():
            if cached.graph is not None:
                cached.graph.clear_inputs()
