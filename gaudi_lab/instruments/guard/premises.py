"""What a captured graph takes for granted, because no replay reads it again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from gaudi_lab.instruments.guard import call_arguments, graph_refusals, operators_seen
from gaudi_lab.instruments.guard.object_state import State
from gaudi_lab.report import GraphRefusal


class Premises:
    """The objects among the arguments, and the values of tensors on the host, as they were at the capture.

    What the host does with a tensor of its own, such as `lengths.tolist()`, no operator shows. So such values may not
    change, used or not.

    Parameters
    ----------
    call
        The arguments by name, after the capture.

    Attributes
    ----------
    any
        Whether there is anything of the kind.
    """

    def __init__(self, call: Mapping[str, Any]) -> None:
        objects = call_arguments.objects(call)
        self._objects = State(objects)
        self._on_host = {name: x.detach().clone() for name, x in _on_host(call).items()}
        self.any = bool(objects or self._on_host)

    def broken(self, call: Callable[[], Mapping[str, Any]]) -> GraphRefusal | None:
        """Return why a call cannot be replayed; None if it can. `call` reads its arguments by name."""
        if not self._objects.intact():
            name = next((change.name for change in self._objects.changes()), "an argument")
            return graph_refusals.refuse(graph_refusals.OBJECT_MOVED_ON, name)
        given = _on_host(call()) if self._on_host else {}
        for name, x in self._on_host.items():
            y = given.get(name)
            if y is None or x.dtype != y.dtype or not call_arguments.same_values(x, y):
                return graph_refusals.refuse(operators_seen.ARGUMENT_ON_HOST, name)
        return None


def _on_host(call: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    tensors = call_arguments.tensors(call).items()
    return {name: x for name, x in tensors if x.device.type == "cpu" and x.layout is torch.strided}
