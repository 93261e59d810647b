"""OpenVINO at work, in memory that was set up once: what is copied for a call, and what is not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from gaudi_lab.emulator.lazy import replay
from gaudi_lab.emulator.lazy.openvino.conversion import DTYPES, Model
from gaudi_lab.emulator.lazy.openvino.openvino_import import import_openvino
from gaudi_lab.emulator.lazy.program import Meta


class InferRequest:
    """One compiled model, with its inputs and results.

    Parameters
    ----------
    model
        The compiled model.
    hosts
        Inputs of the program of the right shapes and dtypes.
    own
        How many of its results are the program's; the rest is what is written into inputs.
    """

    def __init__(self, model: Model, hosts: Sequence[torch.Tensor], own: int) -> None:
        self._model = model  # and with it the memory of its weights
        self._request = model.compiled.create_infer_request()
        self._inputs = [_Input(self._request, n, hosts[position]) for n, position in enumerate(model.live)]
        self._live = model.live
        self._results = [_Output(self._request, n, meta) for n, meta in enumerate(model.results)]
        self._own = self._results[:own]
        self._left = self._results[own:]

    def __call__(self, hosts: Sequence[torch.Tensor]) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """Run on the program's inputs.

        Returns
        -------
        tuple
            The results, in memory of their own, and what the program leaves in its inputs, until the next call.
        """
        for held, position in zip(self._inputs, self._live, strict=True):
            host = hosts[position]
            if host.data_ptr() != held.address:
                held.take(host)
        self._request.infer({}, share_outputs=True, decode_strings=False)
        return [held.copy() for held in self._own], [held.memory for held in self._left]


class _Input:
    """An input: the caller's own memory if it is the same one again, else a copy.

    Attributes
    ----------
    address
        Where the caller's memory lies that is the model's input; 0 for a copy.
    """

    def __init__(self, request: Any, number: int, example: torch.Tensor) -> None:
        self.address = 0
        self._request = request
        self._number = number
        self._last = 0
        self._copy = torch.empty(example.shape, dtype=example.dtype)
        request.set_input_tensor(number, _over(self._copy))

    def take(self, host: torch.Tensor) -> None:
        """Take an input that lies elsewhere than the one before."""
        address = host.data_ptr()
        if address == self._last and host.is_contiguous():
            self._request.set_input_tensor(self._number, _over(host))
            self.address = address
            return
        if self.address:
            self._request.set_input_tensor(self._number, _over(self._copy))
            self.address = 0
        self._last = address
        self._copy.copy_(host)


class _Output:
    """A result.

    Attributes
    ----------
    memory
        Where the model writes it.
    """

    def __init__(self, request: Any, number: int, meta: Meta) -> None:
        self.memory = torch.empty(meta.size, dtype=meta.dtype)
        self._meta = meta
        self._plain = self.memory.stride() == meta.stride and not meta.offset
        request.set_output_tensor(number, _over(self.memory))

    def copy(self) -> torch.Tensor:
        """Return the result in memory of its own, in the strides that were recorded."""
        if self._plain:
            return self.memory.clone()
        laid = replay.conform(self.memory, self._meta)
        return laid.clone() if laid.data_ptr() == self.memory.data_ptr() else laid


def _over(memory: torch.Tensor) -> Any:
    """Return OpenVINO's view of a tensor's memory."""
    openvino = import_openvino()

    kind = getattr(openvino.Type, DTYPES[memory.dtype])
    # NumPy knows no bfloat16.
    seen = memory.view(torch.int16) if memory.dtype is torch.bfloat16 else memory
    return openvino.Tensor(seen.detach().numpy(), list(memory.shape), kind)
