"""Compiles what Dynamo traced."""

from __future__ import annotations

import importlib
from typing import Any

from gaudi_lab.emulator.traced import dynamo
from gaudi_lab.on_import import when_loaded

from . import config


def hpu_backend(graph_module: Any, example_inputs: Any, **kwargs: Any) -> Any:
    """Compile `graph_module` for the device, with the `options` of `torch.compile` as settings of the backend.

    Raises
    ------
    AttributeError
        An option is no setting of the backend.
    """
    options = kwargs.get("options") or {}
    with config.patch(dict(options)):  # type: ignore[attr-defined]
        return dynamo.compile_graph(graph_module, example_inputs)


def _register() -> None:
    from torch._dynamo import register_backend

    dynamo.keep_out()
    register_backend(hpu_backend)


def _describe() -> None:
    importlib.import_module("habana_frameworks.torch.dynamo.device_interface")  # which registers itself


# The first `torch.compile` loads both.
when_loaded("torch._dynamo", _register)
when_loaded("torch._dynamo.device_interface", _describe)
