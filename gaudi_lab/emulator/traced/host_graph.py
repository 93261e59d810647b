"""A traced graph, moved from the device to the host behind it."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

from gaudi_lab.emulator.device.tensor import HpuTensor
from gaudi_lab.emulator.kernels import twins


def to_host(graph_module: fx.GraphModule) -> None:
    """Rewrite a traced graph in place, from the device to the host: devices, constants, sub-graphs, and twins."""
    for module in graph_module.modules():
        for name, parameter in list(module._parameters.items()):
            if isinstance(parameter, HpuTensor):
                module._parameters[name] = torch.nn.Parameter(parameter._cell.read(), parameter.requires_grad)
        for name, buffer in list(module._buffers.items()):
            if isinstance(buffer, HpuTensor):
                module._buffers[name] = buffer._cell.read()
        for name, value in list(vars(module).items()):
            if isinstance(value, HpuTensor):
                setattr(module, name, value._cell.read())
        if isinstance(module, fx.GraphModule):
            for node in module.graph.nodes:
                if node.op == "call_function":
                    node.target = twins.twin_of_call(node.target) or node.target
                node.args = _rewrite(node.args)
                node.kwargs = _rewrite(node.kwargs)
            module.recompile()


class as_on_device:  # noqa: N801 - reads as a statement
    """Inside, host tensors are cast by the rules of the device's autocast, if the program has it on."""

    def __init__(self) -> None:
        self._on = torch.is_autocast_enabled("hpu")
        self._dtype = torch.get_autocast_dtype("hpu")

    def __enter__(self) -> None:
        self._guard = torch._C._IncludeDispatchKeyGuard(_AUTOCAST)
        self._guard.__enter__()
        self._before = torch.is_autocast_enabled("hpu"), torch.get_autocast_dtype("hpu")
        torch.set_autocast_enabled("hpu", self._on)
        torch.set_autocast_dtype("hpu", self._dtype)

    def __exit__(self, *exc: object) -> None:
        torch.set_autocast_enabled("hpu", self._before[0])
        torch.set_autocast_dtype("hpu", self._before[1])
        self._guard.__exit__(*exc)


_AUTOCAST: Any = torch._C._parse_dispatch_key("AutocastPrivateUse1")


def _rewrite(x: Any) -> Any:
    if isinstance(x, torch.device) and x.type == "hpu":
        return torch.device("cpu")
    if isinstance(x, str) and (x == "hpu" or x.startswith("hpu:")):
        return "cpu"
    if isinstance(x, dict):
        return {name: _rewrite(y) for name, y in x.items()}
    if isinstance(x, (list, tuple)):
        made = [_rewrite(y) for y in x]
        return type(x)(*made) if hasattr(x, "_fields") else type(x)(made)
    return x
