"""HPU graphs: capture, replay, and the wrappers that do both for a model."""

from .caching import CachedParams, copy_to, input_hash
from .hpu_graph import HPUGraph, graph, is_current_stream_capturing
from .inference_graphs import wrap_in_hpu_graph, wrap_in_hpu_graph_func
from .module_cacher import ModuleCacher
from .packing import TensorPacker
from .training_graphs import make_graphed_callables

__all__ = [
    "CachedParams",
    "HPUGraph",
    "ModuleCacher",
    "TensorPacker",
    "copy_to",
    "graph",
    "input_hash",
    "is_current_stream_capturing",
    "make_graphed_callables",
    "wrap_in_hpu_graph",
    "wrap_in_hpu_graph_func",
]
