"""What runs, as bytes for another process: weights by safetensors, all else by cloudpickle."""

from __future__ import annotations

import io
import pickle
from dataclasses import dataclass
from typing import Any

import cloudpickle
import torch
from safetensors.torch import load, save
from torch import nn

from gaudi_lab.comparison.measuring import first_line
from gaudi_lab.comparison.subject import Subject
from gaudi_lab.errors import LabError


@dataclass(frozen=True)
class Packed:
    """What runs.

    Attributes
    ----------
    code
        All but the weights, with what a notebook defined.
    weights
        The weights, as a file of safetensors.
    """

    code: bytes
    weights: bytes

    @property
    def size(self) -> int:
        """Bytes of both."""
        return len(self.code) + len(self.weights)


def pack(subject: Subject) -> Packed:
    """Return what runs as bytes.

    Raises
    ------
    LabError
        Something cannot travel.
    """
    file = io.BytesIO()
    packer = _Packer(file)
    try:
        packer.dump(subject)
        return Packed(file.getvalue(), save(packer.weights))
    except Exception as error:
        raise LabError(
            f"{subject.name} cannot travel into a process of its own, which these settings need: "
            f"{first_line(error)}.",
            python='gaudi_lab.compare(..., method="resident")',
        ) from error


def unpack(packed: Packed) -> Any:
    """Return what runs, in this process."""
    return _Unpacker(io.BytesIO(packed.code), load(packed.weights)).load()


class _Packer(cloudpickle.Pickler):
    """Keeps parameters apart from all else."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self.weights: dict[str, torch.Tensor] = {}
        self._kept: dict[int, Any] = {}  # alive, so that no other gets its number

    def persistent_id(self, value: Any) -> Any:
        """Return what stands for a parameter; None for all else."""
        if not isinstance(value, nn.Parameter) or not _is_whole(value):
            return None
        name = str(id(value))
        if name not in self.weights:
            self._kept[id(value)] = value
            self.weights[name] = value.detach().cpu().contiguous()
        plain = value.detach()
        # Every tensor of the emulated device has attributes of its own.
        attributes = {own: x for own, x in vars(value).items() if own not in vars(plain)}
        return name, str(value.device), value.requires_grad, attributes


class _Unpacker(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, weights: dict[str, torch.Tensor]) -> None:
        super().__init__(file)
        self._weights = weights
        self._made: dict[str, nn.Parameter] = {}

    def persistent_load(self, kept: Any) -> nn.Parameter:
        """Return the parameter that something stands for: the same one wherever there was one."""
        name, device, requires_grad, attributes = kept
        if name not in self._made:
            made = nn.Parameter(self._weights[name].to(device), requires_grad)
            vars(made).update(attributes)
            self._made[name] = made
        return self._made[name]


def _is_whole(value: torch.Tensor) -> bool:
    """Whether a tensor is all of some memory, and nothing else of it has to come along."""
    if value.layout != torch.strided or not value.is_contiguous() or value.is_meta or value.grad is not None:
        return False
    return value.untyped_storage().nbytes() == value.numel() * value.element_size()
