"""Compiles what Dynamo traced."""

from __future__ import annotations

from typing import Any

from torch._dynamo import register_backend

from gaudi_lab.emulator import dynamo


@register_backend
def hpu_backend(graph_module: Any, example_inputs: Any, **kwargs: Any) -> Any:
    """Compile `graph_module` for the device; `options` of `torch.compile` arrive as keywords."""
    return dynamo.compile_graph(graph_module, example_inputs)
